"""Processes that sum blocks of a table: forked once it is in memory, so that they see it without a copy.

Parent and workers take the numbers of blocks from one counter, each as soon as it is done with the last; the
parent adds all sums in block order. Mixtures and sums lie in shared memory. A socket per worker says what is
ready there, and its end tells either side that the other is gone.
"""

import contextlib
import json
import math
import os
import select
import signal
import socket
import struct
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from gmmcli.core.kernel import Sums
from gmmcli.core.mixture import Array, Mixture
from gmmcli.engine import process
from gmmcli.engine.counter import Counter
from gmmcli.engine.memory import shared_array
from gmmcli.engine.sweep import Sweep
from gmmcli.errors import CovarianceNotPositive, OutOfMemory

# Sums that a worker may have ready before the parent has added the first of them.
SLOTS = 4
# Blocks that the parent sums before one that came earlier is ready.
MOST_AHEAD = 16
# How long the parent waits for a worker before it looks whether the run is to end: a worker may be stopped.
WAIT_MS = 200
# The longest message: mixtures and sums go through shared memory.
MOST_BYTES = 4096
_READY, _FREE = struct.Struct("=qq"), b"free"
# Of sums, beside their arrays.
_NUMBERS = 4


@dataclass(frozen=True, eq=False)
class _Worker:
    """A process, the parent's end of its socket, and the memory for its sums, shape (SLOTS, …)."""

    pid: int
    connection: socket.socket
    slots: Array


@dataclass(frozen=True, eq=False)
class _Done:
    """The sums of a block, and the worker that waits for their place, unless they are the parent's own."""

    sums: Sums
    worker: _Worker | None = None


class Crew:
    """Worker processes of one table. The caller keeps BLAS to one thread, before and while they are there.

    Parameters
    ----------
    sweep : Sweep
        What each of them gets a copy of.
    n_others : int
        Processes beside this one.
    room : int
        How many numbers the sums of a block may hold, and a mixture.

    Raises
    ------
    OSError
        The system gives no process or no memory.
    """

    def __init__(self, sweep: Sweep, n_others: int, room: int) -> None:
        self.room = room
        self._sweep, self._pass = sweep, 0
        self._counter, self._mixture = Counter(), shared_array(room)
        sweep.samples.share()
        self._workers: dict[int, _Worker] = {}
        self._finalizer = weakref.finalize(self, _end, self._workers, os.getpid())
        self._poll = select.poll()
        try:
            here = process.processor()  # asked before all memory is shared, which is slower to write to
            for _ in range(n_others):
                worker = self._start()
                self._workers[worker.connection.fileno()] = worker
                self._poll.register(worker.connection, select.POLLIN)
                process.send_away(worker.pid, here)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes, whatever they are doing. Does not wait for their end."""
        self._finalizer()

    def prepare(self, mixture: Mixture, check: Callable[[], None], *, hard: bool, sample: int) -> None:
        """Make all processes ready for a pass, this one too: `Sweep.prepare`; `check` as in `run`.

        Raises
        ------
        CovarianceNotPositive
            In every process: the crew waits for the next pass.
        OutOfMemory
            The system ended a worker.
        """
        arrays = (mixture.weights, mixture.means, mixture.covariances)
        self._pass += 1
        self._counter.start(self._pass)  # before what a worker may be reading changes
        _write(self._mixture, arrays)
        shapes = [array.shape for array in arrays]
        message = json.dumps([self._pass, mixture.covariance_type, hard, sample, shapes]).encode()
        for worker in self._workers.values():
            while not _has_room(worker):  # one that was stopped has not read what it was told before
                check()
            _tell(worker, message)
        self._sweep.prepare(mixture, hard=hard, sample=sample)

    def run(self, check: Callable[[], None], fold: Callable[[Sums], None]) -> None:
        """Make the pass that all are prepared for.

        Parameters
        ----------
        check : callable
            Called before each block of this process and each wait; may raise, as may a signal's handler. The
            crew is of no further use then.
        fold : callable
            Called with the sums of each block in order; they are valid during the call only.

        Raises
        ------
        OutOfMemory
            The system ended a worker.
        """
        sweep, done, folded = self._sweep, dict[int, _Done](), 0
        while folded < sweep.n_blocks:
            check()
            is_ahead = sum(one.worker is None for one in done.values()) >= MOST_AHEAD
            own = None if is_ahead else self._counter.take(self._pass, sweep.n_blocks)
            if own is not None:
                done[own] = _Done(sweep.sum_block(own))
            done |= self._gather(wait=own is None)
            while folded in done:
                one = done.pop(folded)
                fold(one.sums)
                if one.worker is not None:
                    _tell(one.worker, _FREE)
                folded += 1

    def _gather(self, *, wait: bool) -> dict[int, _Done]:
        """Return the blocks that workers have ready, by number; if there is none, wait a while for one."""
        found, timeout = dict[int, _Done](), WAIT_MS if wait else 0
        while ready := self._poll.poll(timeout):
            for descriptor, _ in ready:
                worker = self._workers[descriptor]
                i, slot = _READY.unpack(_hear(worker))
                found[i] = _Done(_read_sums(worker.slots[slot], self._sweep.kernel.shapes_of_sums), worker)
            timeout = 0
        return found

    def _start(self) -> _Worker:
        """Fork a worker."""
        process.reap()
        slots = shared_array(SLOTS * (_NUMBERS + self.room)).reshape(SLOTS, -1)
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)  # none may find the child unprepared
        try:
            pid = process.fork()
            if pid == 0:
                ours.close()  # a number to be free for what the child opens
                self._become_worker(theirs, slots, mask)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        return _Worker(pid, ours, slots)

    def _become_worker(self, connection: socket.socket, slots: Array, mask: set[int]) -> NoReturn:
        """Sum blocks in a process of one's own until the parent is gone, or something goes wrong."""
        status = 1
        try:
            process.keep_only(connection.fileno(), self._counter.descriptor)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._serve(connection, slots)
            status = 0
        except MemoryError:
            status = OutOfMemory.status
        finally:
            os._exit(status)

    def _serve(self, connection: socket.socket, slots: Array) -> None:
        """Sum blocks until the parent is gone."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                of_pass, covariance_type, hard, sample, shapes = json.loads(_receive(connection))
                # Copied, as what lies there may change once its pass has been looked at.
                weights, means, covariances = (array.copy() for array in _split(self._mixture, shapes))
                if not self._counter.is_at(of_pass):
                    continue  # the others have made that pass, and the mixture may be another
                with contextlib.suppress(CovarianceNotPositive):  # the parent finds it as well, and tells
                    mixture = Mixture(weights, means, covariances, covariance_type)
                    self._sweep.prepare(mixture, hard=hard, sample=sample)
                    self._sum_blocks(of_pass, connection, slots)

    def _sum_blocks(self, of_pass: int, connection: socket.socket, slots: Array) -> None:
        """Sum blocks as long as there are some in a pass, and wait until the parent has added them all."""
        n_ready, n_free = 0, SLOTS
        while (i := self._counter.take(of_pass, self._sweep.n_blocks)) is not None:
            sums = self._sweep.sum_block(i)
            if not n_free:
                _receive(connection)
                n_free += 1
            _write_sums(slots[n_ready % SLOTS], sums)
            _send(connection, _READY.pack(i, n_ready % SLOTS))
            n_ready, n_free = n_ready + 1, n_free - 1
        for _ in range(SLOTS - n_free):
            _receive(connection)


def _end(workers: dict[int, _Worker], parent: int) -> None:
    """Kill processes."""
    if os.getpid() != parent:  # one that the user forked meanwhile, and that ends
        return
    for worker in workers.values():
        worker.connection.close()
        process.kill(worker.pid)
    workers.clear()
    process.reap()


def _has_room(worker: _Worker) -> bool:
    """Wait a while until a message can be sent without waiting, tell whether it can."""
    poll = select.poll()
    poll.register(worker.connection, select.POLLOUT)
    return bool(poll.poll(WAIT_MS))


def _tell(worker: _Worker, message: bytes) -> None:
    """Send a message to a worker, `OutOfMemory` if it is gone."""
    with _missed(worker):
        _send(worker.connection, message)


def _hear(worker: _Worker) -> bytes:
    """Return what a worker says, `OutOfMemory` if it is gone."""
    with _missed(worker):
        return _receive(worker.connection)


@contextlib.contextmanager
def _missed(worker: _Worker) -> Iterator[None]:
    """Report the end of a worker: the system needed its memory, or somebody knew its number."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        end = None
        with contextlib.suppress(ChildProcessError):  # where the caller ignores SIGCHLD nobody knows how
            end = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        if end is not None and end.si_code == os.CLD_EXITED and end.si_status != OutOfMemory.status:
            raise RuntimeError(f"worker {worker.pid} failed") from error
        raise OutOfMemory("memory", f"worker {worker.pid} was ended", "--threads 1") from error


def _send(connection: socket.socket, message: bytes) -> None:
    """Send a message; never by way of SIGPIPE, which would end this process too."""
    connection.send(message, socket.MSG_NOSIGNAL)


def _receive(connection: socket.socket) -> bytes:
    """Return a message, EOFError where there is none to come."""
    message = connection.recv(MOST_BYTES)
    if not message:
        raise EOFError
    return message


def _write(memory: Array, arrays: Sequence[Array]) -> None:
    """Write arrays to memory, one behind the other."""
    for array, place in zip(arrays, _split(memory, [array.shape for array in arrays]), strict=True):
        place[...] = array


def _write_sums(slot: Array, sums: Sums) -> None:
    """Write sums to a slot."""
    numbers = [sums.log_likelihood, sums.log_max_posterior, sums.rows, sums.total_weight]
    _write(slot, (np.array(numbers, dtype=np.float64), *sums.arrays))


def _read_sums(slot: Array, shapes: Sequence[tuple[int, ...]]) -> Sums:
    """Return sums whose arrays are views of a slot."""
    numbers, *arrays = _split(slot, [(_NUMBERS,), *shapes])
    log_likelihood, log_max_posterior, rows, total_weight = numbers.tolist()
    return Sums(tuple(arrays), log_likelihood, log_max_posterior, int(rows), total_weight)


def _split(flat: Array, shapes: Sequence[Sequence[int]]) -> Iterator[Array]:
    """Yield views of these shapes, one behind the other."""
    begin = 0
    for shape in shapes:
        end = begin + math.prod(shape)
        yield flat[begin:end].reshape(shape)
        begin = end
