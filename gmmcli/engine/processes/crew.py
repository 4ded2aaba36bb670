"""The parent's side of worker processes that sum the blocks of a table.

Parent and workers take the numbers of blocks from one counter, and the parent adds all sums in block order.
Before that, the parts of the constants of a large mixture are computed in the same way. Mixtures, constants
and sums are in shared memory. Each worker has a socket for short messages; its end of file says that the
other side is gone.
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

from gmmcli.core.arrays import Array
from gmmcli.core.kernel.kernel import Sums
from gmmcli.core.mixture import Mixture
from gmmcli.core.precision import raise_not_positive
from gmmcli.engine.one_pass import Pass
from gmmcli.engine.processes import exchange, preparation, process
from gmmcli.engine.processes.counter import Counter
from gmmcli.engine.processes.memory import SharedArrays, shared_array
from gmmcli.engine.processes.worker import SLOTS, Shared, Worker
from gmmcli.errors import OutOfMemory
from gmmcli.remedies import Set

# The parent holds at most this many own sums while it waits for the sums of an earlier block.
MOST_AHEAD = 16
# The parent waits this long for a worker, which may be stopped, before it calls `check` again.
WAIT_MS = 200


@dataclass(frozen=True, eq=False)
class _Member:
    """A worker process, the parent's end of its socket, and the memory for its sums, shape (SLOTS, n)."""

    pid: int
    connection: socket.socket
    slots: Array


@dataclass(frozen=True, eq=False)
class _Done:
    """The sums of a block, and the worker that needs their slot again; None for the parent's own sums."""

    sums: Sums
    worker: _Member | None = None


class Crew:
    """Worker processes of one table. The caller limits BLAS to one thread before and while they exist.

    Parameters
    ----------
    sums : Pass
        Each worker gets a copy of it.
    samples : SharedArrays
        For the log densities of sampled rows.
    n_others : int
        Number of processes without this one.
    room : int
        The greatest number of float64 values in the sums of a block. A mixture and its constants hold no more
        than that each.

    Attributes
    ----------
    close : callable
        Ends the processes, whatever they are doing, and does not wait for their end.

    Raises
    ------
    OSError
        The system refuses a process or memory.
    """

    def __init__(self, sums: Pass, samples: SharedArrays, n_others: int, room: int) -> None:
        self.room = room
        self._sums, self._samples, self._pass = sums, samples, 0
        self._shared = Shared(sums, samples, Counter(), shared_array(room), shared_array(room))
        samples.share()
        self._workers: dict[int, _Member] = {}
        self.close = weakref.finalize(self, _end, self._workers, os.getpid())
        self._poll = select.poll()
        try:
            here = process.processor()  # called now: the first write to shared memory takes time
            for _ in range(n_others):
                process.send_away(self._start(), here)
        except BaseException:
            self.close()
            raise

    def prepare(self, mixture: Mixture, check: Callable[[], None], *, hard: bool, sample: int) -> None:
        """Prepare all processes for a pass: see `Pass.prepare`. `check` is as in `run`.

        Raises
        ------
        CovarianceNotPositive
            All workers wait for the next pass.
        OutOfMemory
            The system ended a worker.
        """
        arrays = (mixture.weights, mixture.means, mixture.covariances)
        shapes, found = [array.shape for array in arrays], None
        self._start_numbers()  # before the memory changes that a late worker may be reading
        exchange.write(self._shared.mixture, arrays)
        if preparation.is_worth_sharing(mixture):
            n_processes = 1 + len(self._workers)
            self._tell_all(check, task="constants", shapes=shapes, n_processes=n_processes)
            if not self._find_constants(arrays, n_processes, check):
                raise_not_positive(mixture)
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
        """Make the pass that all processes are prepared for.

        Parameters
        ----------
        check : callable
            Called before each block of this process and before each wait. If it raises, or a signal handler
            does, the crew cannot be used again.
        fold : callable
            Called with the sums of each block, in block order. They are valid during the call only.

        Raises
        ------
        OutOfMemory
            The system ended a worker.
        """
        done, folded = dict[int, _Done](), 0
        while folded < self._sums.n_blocks:
            check()
            is_ahead = sum(one.worker is None for one in done.values()) >= MOST_AHEAD
            own = None if is_ahead else self._shared.counter.take(self._pass, self._sums.n_blocks)
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
        """Compute the constants of a mixture in all processes; False if a covariance is not positive."""
        parts, answers = preparation.parts_of(len(arrays[0]), n_processes), list[bool]()
        while len(answers) < len(parts):
            check()
            own = self._shared.counter.take(self._pass, len(parts))
            if own is not None:
                answers.append(preparation.find_part(parts[own], arrays, self._shared.constants))
            answers += [bool(answer) for _, _, answer in self._hear_all(wait=own is None)]
        return all(answers)

    def _start_numbers(self) -> None:
        """Start a new pass of the counter: numbers of earlier passes can no longer be taken."""
        self._pass += 1
        self._shared.counter.start(self._pass)

    def _tell_all(self, check: Callable[[], None], **request: object) -> None:
        """Send a request to all workers: what to do for each number of the pass that started last."""
        message = json.dumps({"of_pass": self._pass, **request}).encode()
        for worker in self._workers.values():
            while not _has_room(worker):  # a stopped worker has not read its last message
                check()
            _tell(worker, message)

    def _hear_all(self, *, wait: bool) -> Iterator[tuple[_Member, int, int]]:
        """Yield the messages of workers; if there are none and `wait` is set, wait for up to `WAIT_MS`."""
        timeout = WAIT_MS if wait else 0
        while ready := self._poll.poll(timeout):
            for descriptor, _ in ready:
                worker = self._workers[descriptor]
                yield (worker, *exchange.READY.unpack(_hear(worker)))
            timeout = 0

    def _start(self) -> int:
        """Fork a worker; return its process id."""
        process.reap()
        slots = shared_array(SLOTS * (exchange.N_NUMBERS + self.room)).reshape(SLOTS, -1)
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, process.SIGNALS)  # until the child ignores them
            pid = process.fork()
            if pid == 0:
                ours.close()  # frees a descriptor: this process may be at its limit
                Worker(self._shared, theirs, slots).live(mask)
            self._workers[ours.fileno()] = _Member(pid, ours, slots)
            self._poll.register(ours, select.POLLIN)
        except BaseException:  # that of a signal too: the child ends when this end of its socket is closed
            ours.close()
            raise
        finally:
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            finally:  # a signal that another thread received may have interrupted the first call
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                theirs.close()
        return pid


def _end(workers: dict[int, _Member], parent: int) -> None:
    """Kill the workers."""
    if os.getpid() != parent:  # this process was forked by the user: the workers are its parent's
        return
    for worker in workers.values():
        worker.connection.close()
        process.kill(worker.pid)
    workers.clear()
    process.reap()


def _has_room(worker: _Member) -> bool:
    """Wait up to `WAIT_MS` until a message can be sent; return whether it can."""
    poll = select.poll()
    poll.register(worker.connection, select.POLLOUT)
    return bool(poll.poll(WAIT_MS))


def _tell(worker: _Member, message: bytes) -> None:
    """Send a message to a worker; raise `OutOfMemory` if the worker is gone."""
    with _missed(worker):
        exchange.send(worker.connection, message)


def _hear(worker: _Member) -> bytes:
    """Return the next message of a worker; raise `OutOfMemory` if the worker is gone."""
    with _missed(worker):
        return exchange.receive(worker.connection)


@contextlib.contextmanager
def _missed(worker: _Member) -> Iterator[None]:
    """Report a worker that is gone: killed for lack of memory, killed by somebody, or failed."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        end = None
        with contextlib.suppress(ChildProcessError):  # if the process ignores SIGCHLD, its status is lost
            end = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        if end is not None and end.si_code == os.CLD_EXITED and end.si_status != OutOfMemory.status:
            raise RuntimeError(f"worker {worker.pid} failed") from error
        fact = f"worker {worker.pid} was killed, probably because memory ran out"
        raise OutOfMemory("memory", fact, Set("--threads", "1")) from error
