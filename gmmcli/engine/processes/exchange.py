"""Exchange between parent and workers: short messages through a socket, arrays in shared memory."""

import math
import socket
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.kernel.kernel import Sums

# The longest message: mixtures, constants and sums go through shared memory.
MOST_BYTES = 4096
# A worker's message: a number that is done, and the slot of its sums; for constants 1, or 0 if it failed.
READY = struct.Struct("=qq")
# The parent's message: the sums of the oldest ready slot were added.
ADDED = b"added"
# Scalars of sums, in addition to their arrays.
N_NUMBERS = 4


def send(connection: socket.socket, message: bytes) -> None:
    """Send a message, without SIGPIPE if the other side is gone."""
    connection.send(message, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> bytes:
    """Return the next message; raise `EOFError` if the other side is gone."""
    message = connection.recv(MOST_BYTES)
    if not message:
        raise EOFError
    return message


def write(memory: Array, arrays: Sequence[Array]) -> None:
    """Write arrays to memory, one after the other."""
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
    """Yield views of these shapes, one after the other."""
    begin = 0
    for shape in shapes:
        end = begin + math.prod(shape)
        yield flat[begin:end].reshape(shape)
        begin = end
