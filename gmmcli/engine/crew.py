"""Processes that sum blocks of a table: forked once it is in memory, so that they see it without a copy.

The parent hands out the numbers of blocks and adds what comes back in their order. Sums come back through
shared memory, everything else through a socket, whose end tells either side that the other is gone.
"""

import contextlib
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmmcli.core.kernel import Sums
from gmmcli.core.mixture import Array, Mixture
from gmmcli.engine.sweep import Sweep, shared_array
from gmmcli.errors import CovarianceNotPositive, OutOfMemory

# Blocks that a worker may hold: one at work, one waiting, and results whose turn to be added has not come.
SLOTS = 4
_LENGTHS = struct.Struct("=QQ")


@dataclass(frozen=True, eq=False)
class _Worker:
    """A process, the parent's end of its socket, and the memory for its sums, shape (SLOTS, size)."""

    pid: int
    connection: socket.socket
    slots: Array


class Crew:
    """Worker processes of one table. The caller keeps BLAS to one thread, before and while they are there.

    Parameters
    ----------
    sweep : Sweep
        What each of them gets a copy of.
    n_workers : int
    room : int
        How many numbers the sums of a block may hold.

    Raises
    ------
    OSError
        The system gives no process or no memory.
    """

    def __init__(self, sweep: Sweep, n_workers: int, room: int) -> None:
        self.room = room
        self._workers: dict[int, _Worker] = {}
        self._finalizer = weakref.finalize(self, _end, self._workers)
        self._poll = select.poll()
        try:
            for _ in range(n_workers):
                worker = _start(sweep, room)
                self._workers[worker.connection.fileno()] = worker
                self._poll.register(worker.connection, select.POLLIN)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._finalizer()

    def prepare(self, mixture: Mixture, *, hard: bool) -> None:
        """Tell the workers what the next pass is: `Sweep.prepare`."""
        shapes = [mixture.weights.shape, mixture.means.shape, mixture.covariances.shape]
        arrays = (mixture.weights, mixture.means, mixture.covariances)
        body = b"".join(array.tobytes() for array in arrays)
        for worker in self._workers.values():
            _tell(worker, [mixture.covariance_type, hard, shapes], body)

    def run(self, n_blocks: int, check: Callable[[], None], fold: Callable[[Sums], None]) -> None:
        """Make the pass that the workers are prepared for.

        Parameters
        ----------
        n_blocks : int
        check : callable
            Called before each block is handed out; may raise, as may a signal's handler. The crew is of no
            further use then.
        fold : callable
            Called with the sums of each block in order; they are valid during the call only.

        Raises
        ------
        OutOfMemory
            The system ended a worker.
        """
        free = deque((worker, slot) for slot in range(SLOTS) for worker in self._workers.values())
        done: dict[int, tuple[_Worker, int, Any]] = {}
        handed, folded = 0, 0
        while folded < n_blocks:
            while free and handed < n_blocks:
                check()
                worker, slot = free.popleft()
                _tell(worker, [handed, slot])
                handed += 1
            for descriptor, _ in self._poll.poll():
                worker = self._workers[descriptor]
                i, slot, *description = _hear(worker)
                done[i] = (worker, slot, description)
            while folded in done:
                worker, slot, description = done.pop(folded)
                fold(_unpack(worker.slots[slot], *description))
                free.append((worker, slot))
                folded += 1


def can_fork() -> bool:
    """Tell whether a process of many threads may be forked: on macOS the system's libraries forbid it."""
    return sys.platform.startswith("linux")


def _start(sweep: Sweep, size: int) -> _Worker:
    """Fork a worker."""
    slots = shared_array(SLOTS * size).reshape(SLOTS, size)
    ours, theirs = socket.socketpair()
    with warnings.catch_warnings():
        # That threads of other libraries are not in the child is as it should be: it uses numpy alone.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
    if pid == 0:
        status = 1
        try:
            _become_worker(theirs)
            _serve(sweep, theirs, slots)
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    return _Worker(pid, ours, slots)


def _end(workers: dict[int, _Worker]) -> None:
    """Kill processes and wait for them."""
    for worker in workers.values():
        worker.connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
    for worker in workers.values():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)
    workers.clear()


def _tell(worker: _Worker, header: Any, body: bytes = b"") -> None:
    """Send a message to a worker, `OutOfMemory` if it is gone."""
    with _missed(worker):
        _send(worker.connection, header, body)


def _hear(worker: _Worker) -> Any:
    """Return what a worker says, `OutOfMemory` if it is gone."""
    with _missed(worker):
        return _receive(worker.connection)[0]


@contextlib.contextmanager
def _missed(worker: _Worker) -> Iterator[None]:
    """Report the end of a worker: the system needed its memory, or somebody knew its number."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise OutOfMemory("memory", f"worker {worker.pid} was ended", "--threads 1") from error


def _send(connection: socket.socket, header: Any, body: bytes = b"") -> None:
    """Send a header of JSON and a body; never by way of SIGPIPE, which would end this process too."""
    text = json.dumps(header).encode()
    connection.sendall(_LENGTHS.pack(len(text), len(body)) + text + body, socket.MSG_NOSIGNAL)


def _receive(connection: socket.socket) -> tuple[Any, bytes]:
    """Return header and body of a message, EOFError where there is none to come."""
    lengths = _LENGTHS.unpack(_receive_bytes(connection, _LENGTHS.size))
    text, body = (_receive_bytes(connection, length) for length in lengths)
    return json.loads(text), body


def _receive_bytes(connection: socket.socket, length: int) -> bytes:
    """Return so many bytes."""
    received = bytearray()
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return bytes(received)


def _unpack(slot: Array, shapes: list[list[int]], numbers: list[float]) -> Sums:
    """Return sums whose arrays are views of a slot."""
    log_likelihood, log_max_posterior, rows, total_weight = numbers
    arrays = tuple(_split(slot, shapes))
    return Sums(arrays, log_likelihood, log_max_posterior, int(rows), total_weight)


def _pack(sums: Sums, slot: Array) -> tuple[list[tuple[int, ...]], list[float]]:
    """Write arrays to a slot; return their shapes and what else there is to know."""
    begin = 0
    for array in sums.arrays:
        slot[begin : begin + array.size] = array.reshape(-1)
        begin += array.size
    numbers = [sums.log_likelihood, sums.log_max_posterior, sums.rows, sums.total_weight]
    return [array.shape for array in sums.arrays], numbers


def _split(flat: Array, shapes: list[list[int]]) -> Iterator[Array]:
    """Yield views of these shapes, one behind the other."""
    begin = 0
    for shape in shapes:
        end = begin + math.prod(shape)
        yield flat[begin:end].reshape(shape)
        begin = end


def _become_worker(connection: socket.socket) -> None:
    """Let go of what belongs to the parent: its files and locks, its terminal, its signals."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    kept = connection.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def _serve(sweep: Sweep, connection: socket.socket, slots: Array) -> None:
    """Sum blocks until the parent is gone."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            header, body = _receive(connection)
            if len(header) == 2:
                i, slot = header
                sums = sweep.sum_block(i, sweep.work)
                _send(connection, [i, slot, *_pack(sums, slots[slot])])
            else:
                covariance_type, hard, shapes = header
                weights, means, covariances = _split(np.frombuffer(body), shapes)
                mixture = Mixture(weights, means, covariances, covariance_type)
                with contextlib.suppress(CovarianceNotPositive):  # the parent finds it as well, and tells
                    sweep.prepare(mixture, hard=hard)
