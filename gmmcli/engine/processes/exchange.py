"""What parent and workers exchange: short messages through a socket, arrays in memory that they share."""

import math
import socket
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from gmmcli.core.kernel.kernel import Sums
from gmmcli.core.mixture import Array

# The longest message: mixtures, constants and sums go through shared memory.
MOST_BYTES = 4096
# What a worker says: a number that it took is done; the slot of its sums, or 1 where it found constants.
READY = struct.Struct("=qq")
# What the parent says: the sums of one more slot have been added.
ADDED = b"added"
# Of sums, beside their arrays.
N_NUMBERS = 4


def send(connection: socket.socket, message: bytes) -> None:
    """Send a message; never by way of SIGPIPE, which would end this process too."""
    connection.send(message, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> bytes:
    """Return a message, EOFError where there is none to come."""
    message = connection.recv(MOST_BYTES)
    if not message:
        raise EOFError
    return message


def write(memory: Array, arrays: Sequence[Array]) -> None:
    """Write arrays to memory, one behind the other."""
    for array, place in zip(arrays, split(memory, [array.shape for array in arrays]), strict=True):
        place[...] = array


def write_sums(slot: Array, sums: Sums) -> None:
    """Write sums to a slot."""
    numbers = [sums.log_likelihood, sums.log_max_posterior, sums.rows, sums.total_weight]
    write(slot, (np.array(numbers, dtype=np.float64), *sums.arrays))


def read_sums(slot: Array, shapes: Sequence[tuple[int, ...]]) -> Sums:
    """Return sums whose arrays are views of a slot."""
    numbers, *arrays = split(slot, [(N_NUMBERS,), *shapes])
    log_likelihood, log_max_posterior, rows, total_weight = numbers.tolist()
    return Sums(tuple(arrays), log_likelihood, log_max_posterior, int(rows), total_weight)


def split(flat: Array, shapes: Sequence[Sequence[int]]) -> Iterator[Array]:
    """Yield views of these shapes, one behind the other."""
    begin = 0
    for shape in shapes:
        end = begin + math.prod(shape)
        yield flat[begin:end].reshape(shape)
        begin = end
