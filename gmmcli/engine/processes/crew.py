"""Processes that sum blocks of a table: forked once it is in memory, so that they see it without a copy.

Parent and workers take the numbers of blocks from one counter, each as soon as it is done with the last; the
parent adds all sums in block order. The constants of a large mixture are found in the same way before that.
Mixtures, constants and sums lie in shared memory. A socket per worker says what is ready there, and its end
tells either side that the other is gone.
"""

import contextlib
import json
import os
import select
import signal
import socket
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gmmcli.core import family
from gmmcli.core.kernel.kernel import Sums
from gmmcli.core.mixture import Array, Mixture
from gmmcli.engine.one_pass import Pass
from gmmcli.engine.processes import exchange, preparation, process
from gmmcli.engine.processes.counter import Counter
from gmmcli.engine.processes.memory import SharedArrays, shared_array
from gmmcli.engine.processes.worker import SLOTS, Shared, Worker
from gmmcli.errors import OutOfMemory
from gmmcli.remedies import Set

# Blocks that the parent sums before one that came earlier is ready.
MOST_AHEAD = 16
# How long the parent waits for a worker before it looks whether the run is to end: a worker may be stopped.
WAIT_MS = 200


@dataclass(frozen=True, eq=False)
class _Member:
    """A process, the parent's end of its socket, and the memory for its sums, shape (SLOTS, …)."""

    pid: int
    connection: socket.socket
    slots: Array


@dataclass(frozen=True, eq=False)
class _Done:
    """The sums of a block, and the worker that waits for their place, unless they are the parent's own."""

    sums: Sums
    worker: _Member | None = None


class Crew:
    """Worker processes of one table. The caller keeps BLAS to one thread, before and while they are there.

    Parameters
    ----------
    sums : Pass
        Each worker gets a copy of it.
    samples : SharedArrays
        For the log densities of sampled rows.
    n_others : int
        Processes beside this one.
    room : int
        How many numbers the sums of a block may hold; a mixture and its constants hold no more each.

    Raises
    ------
    OSError
        The system gives no process or no memory.
    """

    def __init__(self, sums: Pass, samples: SharedArrays, n_others: int, room: int) -> None:
        self.room = room
        self._sums, self._samples, self._pass = sums, samples, 0
        self._shared = Shared(sums, samples, Counter(), shared_array(room), shared_array(room))
        samples.share()
        self._workers: dict[int, _Member] = {}
        self._finalizer = weakref.finalize(self, _end, self._workers, os.getpid())
        self._poll = select.poll()
        try:
            here = process.processor()  # asked before all memory is shared, which is slower to write to
            for _ in range(n_others):
                process.send_away(self._start(), here)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes, whatever they are doing. Does not wait for their end."""
        self._finalizer()

    def prepare(self, mixture: Mixture, check: Callable[[], None], *, hard: bool, sample: int) -> None:
        """Make all processes ready for a pass, this one too: see `Pass.prepare`; `check` as in `run`.

        Raises
        ------
        CovarianceNotPositive
            All workers wait for the next pass.
        OutOfMemory
            The system ended a worker.
        """
        arrays = (mixture.weights, mixture.means, mixture.covariances)
        shapes, found = [array.shape for array in arrays], None
        self._start_numbers()  # before what a worker may be reading changes
        exchange.write(self._shared.mixture, arrays)
        if preparation.is_worth_sharing(mixture):
            n_processes = 1 + len(self._workers)
            self._tell_all(check, task="constants", shapes=shapes, n_processes=n_processes)
            if not self._find_constants(arrays, n_processes, check):
                family.raise_not_positive(mixture)
            found = preparation.read(self._shared.constants, *mixture.means.shape)
            self._start_numbers()
        self._tell_all(
            check,
            task="sums",
            shapes=shapes,
            covariance_type=mixture.covariance_type,
            are_found=found is not None,
            hard=hard,
            sample=sample,
        )
        self._sums.prepare(mixture, self._samples.at(sample), hard=hard, constants=found)

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
        done, folded = dict[int, _Done](), 0
        while folded < self._sums.n_blocks:
            check()
            is_ahead = sum(one.worker is None for one in done.values()) >= MOST_AHEAD
            own = None if is_ahead else self._take(self._sums.n_blocks)
            if own is not None:
                done[own] = _Done(self._sums.sum_block(own))
            for worker, i, slot in self._hear_all(wait=own is None):
                sums = exchange.read_sums(worker.slots[slot], self._sums.kernel.shapes_of_sums)
                done[i] = _Done(sums, worker)
            while folded in done:
                one = done.pop(folded)
                fold(one.sums)
                if one.worker is not None:
                    _tell(one.worker, exchange.ADDED)
                folded += 1

    def _find_constants(self, arrays: Sequence[Array], n_processes: int, check: Callable[[], None]) -> bool:
        """Find the constants of a mixture with all processes; False where a covariance is not positive."""
        parts, answers = preparation.parts_of(len(arrays[0]), n_processes), list[bool]()
        while len(answers) < len(parts):
            check()
            own = self._take(len(parts))
            if own is not None:
                answers.append(preparation.find_part(parts[own], arrays, self._shared.constants))
            answers += [bool(answer) for _, _, answer in self._hear_all(wait=own is None)]
        return all(answers)

    def _start_numbers(self) -> None:
        """Let new numbers be taken, and no more of the last ones."""
        self._pass += 1
        self._shared.counter.start(self._pass)

    def _take(self, end: int) -> int | None:
        """Take a number for this process."""
        return self._shared.counter.take(self._pass, end)

    def _tell_all(self, check: Callable[[], None], **request: object) -> None:
        """Tell all workers what the numbers are of that may be taken now."""
        message = json.dumps({"of_pass": self._pass, **request}).encode()
        for worker in self._workers.values():
            while not _has_room(worker):  # one that was stopped has not read what it was told before
                check()
            _tell(worker, message)

    def _hear_all(self, *, wait: bool) -> Iterator[tuple[_Member, int, int]]:
        """Yield what workers have said; if there is nothing, wait a while for it."""
        timeout = WAIT_MS if wait else 0
        while ready := self._poll.poll(timeout):
            for descriptor, _ in ready:
                worker = self._workers[descriptor]
                yield (worker, *exchange.READY.unpack(_hear(worker)))
            timeout = 0

    def _start(self) -> int:
        """Fork a worker, return its number."""
        process.reap()
        slots = shared_array(SLOTS * (exchange.N_NUMBERS + self.room)).reshape(SLOTS, -1)
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)  # none may find the child unprepared
            pid = process.fork()
            if pid == 0:
                ours.close()  # a number to be free for what the child opens
                Worker(self._shared, theirs, slots).live(mask)
            self._workers[ours.fileno()] = _Member(pid, ours, slots)
            self._poll.register(ours, select.POLLIN)
        except BaseException:  # a signal's as well: the child, if there is one, sees this end closed and ends
            ours.close()
            raise
        finally:
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            finally:  # a signal that came by way of another thread may have ended the first before it began
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                theirs.close()
        return pid


def _end(workers: dict[int, _Member], parent: int) -> None:
    """Kill processes."""
    if os.getpid() != parent:  # one that the user forked meanwhile, and that ends
        return
    for worker in workers.values():
        worker.connection.close()
        process.kill(worker.pid)
    workers.clear()
    process.reap()


def _has_room(worker: _Member) -> bool:
    """Wait a while until a message can be sent without waiting, tell whether it can."""
    poll = select.poll()
    poll.register(worker.connection, select.POLLOUT)
    return bool(poll.poll(WAIT_MS))


def _tell(worker: _Member, message: bytes) -> None:
    """Send a message to a worker, `OutOfMemory` if it is gone."""
    with _missed(worker):
        exchange.send(worker.connection, message)


def _hear(worker: _Member) -> bytes:
    """Return what a worker says, `OutOfMemory` if it is gone."""
    with _missed(worker):
        return exchange.receive(worker.connection)


@contextlib.contextmanager
def _missed(worker: _Member) -> Iterator[None]:
    """Report the end of a worker: the system needed its memory, or somebody knew its number."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        end = None
        with contextlib.suppress(ChildProcessError):  # where the caller ignores SIGCHLD nobody knows how
            end = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        if end is not None and end.si_code == os.CLD_EXITED and end.si_status != OutOfMemory.status:
            raise RuntimeError(f"worker {worker.pid} failed") from error
        raise OutOfMemory("memory", f"worker {worker.pid} was ended", Set("--threads", "1")) from error
