"""Threads of this machine: one E over blocks in memory, the same bytes for any number of threads.

Blocks are fixed by (d, K, type); their sums are added in block order, operand after operand, whichever
thread finishes first.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from gmmcli.core.em import Expectation
from gmmcli.core.kernel import Kernel, Sums, Workspace, block_rows
from gmmcli.core.mixture import Array, Integers, Mixture
from gmmcli.core.quantiles import sample_size

Work = TypeVar("Work")
Result = TypeVar("Result")


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread: the workers are ours, and sums must not depend on its own splitting."""
    with ThreadpoolController().limit(limits=1, user_api="blas"):
        yield


def blas_kernel() -> str:
    """Return the name of numpy's BLAS and the kernel it runs, for the checkpoint."""
    for library in ThreadpoolController().info():
        if library["user_api"] == "blas":
            return f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
    return "unknown"


class LocalEngine:
    """A table in memory, in standard units, and the threads that pass over it.

    Parameters
    ----------
    chunks : sequence of sequence of ndarray
        Per operand, arrays of shape (n_features, n_rows), float64. Kept, not copied.
    n_threads : int
    check : callable, optional
        Called before each block; may raise to abandon the pass.
    """

    def __init__(
        self,
        chunks: Sequence[Sequence[Array]],
        n_threads: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._chunks = [chunk for operand in chunks for chunk in operand if chunk.shape[1]]
        self._first_rows = [0, *accumulate(chunk.shape[1] for chunk in self._chunks)]
        self._n_threads = n_threads
        self._check = check

    @property
    def n_rows(self) -> int:
        """Rows in use."""
        return int(self._first_rows[-1])

    @property
    def n_features(self) -> int:
        """Features."""
        return int(self._chunks[0].shape[0])

    def take(self, indices: Integers) -> Array:
        """Return some rows, shape (len(indices), n_features), in standard units."""
        where = np.searchsorted(self._first_rows, indices, side="right") - 1
        rows = [self._chunks[c][:, i - self._first_rows[c]] for c, i in zip(where, indices, strict=True)]
        return np.array(rows)

    def expectation(self, mixture: Mixture, *, hard: bool = False) -> Expectation:
        """Return one E over all rows.

        Parameters
        ----------
        mixture : Mixture
            In standard units.
        hard : bool
            As in `Kernel.expectation`.

        Raises
        ------
        CovarianceNotPositive
        """
        kernel = Kernel(mixture)
        longest = block_rows(mixture.covariance_type, mixture.n_features, mixture.n_components)
        blocks = list(self._iter_blocks(longest))
        n, m = self.n_rows, sample_size(self.n_rows)
        sample = np.empty(m)
        total: list[Sums] = []

        def process(i: int, work: Workspace) -> Sums:
            self._check()
            first, X = blocks[i]
            sums, log_density = kernel.expectation(X, work, hard=hard)
            if m == n:
                sample[first : first + X.shape[1]] = log_density
            else:  # rows ⌊j·n/m⌋ of this block: j from ⌈first·m/n⌉ on
                start, stop = -(-first * m // n), -(-(first + X.shape[1]) * m // n)
                sample[start:stop] = log_density[np.arange(start, stop) * n // m - first]
            return sums

        def fold(sums: Sums) -> None:
            if total:
                total[0] += sums
            else:
                total.append(sums)

        run_in_order(len(blocks), lambda: Workspace(mixture, longest), process, fold, self._n_threads)
        return Expectation(kernel.statistics(total[0]), sample)

    def _iter_blocks(self, longest: int) -> Iterator[tuple[int, Array]]:
        """Yield (first row, block); a block never spans two chunks, nor, then, two operands."""
        for first, chunk in zip(self._first_rows, self._chunks, strict=False):
            for offset in range(0, chunk.shape[1], longest):
                yield first + offset, chunk[:, offset : offset + longest]


def run_in_order(
    n_tasks: int,
    make_work: Callable[[], Work],
    process: Callable[[int, Work], Result],
    fold: Callable[[Result], None],
    n_threads: int,
) -> None:
    """Process tasks on several threads, fold their results in the order of the tasks.

    Parameters
    ----------
    n_tasks : int
    make_work : callable
        Makes what one thread works in.
    process : callable
        Called with a task's number and the thread's own work.
    fold : callable
        Called with each result in order, by one thread at a time.
    n_threads : int

    Raises
    ------
    BaseException
        The first one that a task raised, or what arrived in this thread meanwhile (a signal's); no task
        goes on behind it.
    """
    n_threads = min(n_threads, n_tasks)
    if n_threads <= 1:
        work = make_work()
        for i in range(n_tasks):
            fold(process(i, work))
        return
    _Team(n_tasks, make_work, process, fold, window=4 * n_threads).run(n_threads)


class _Team(Generic[Work, Result]):
    """Threads that take tasks in order and fold whatever has become next."""

    def __init__(
        self,
        n_tasks: int,
        make_work: Callable[[], Work],
        process: Callable[[int, Work], Result],
        fold: Callable[[Result], None],
        window: int,
    ) -> None:
        self._n_tasks, self._make_work, self._process, self._fold = n_tasks, make_work, process, fold
        # How far a thread may run ahead of the slowest: bounds the results that wait to be folded.
        self._window = window
        self._condition = threading.Condition()
        self._next_task = self._next_fold = self._in_hand = 0
        self._results: dict[int, Result] = {}
        self._error: BaseException | None = None
        self._stopped = False
        # Not Thread.join: an exception that interrupts it can mark a running thread as ended (CPython 3.11).
        self._ended = threading.Event()

    def run(self, n_threads: int) -> None:
        """Do all tasks; an exception in this thread (a signal's) leaves once no task is in hand."""
        try:
            for _ in range(n_threads):
                threading.Thread(target=self._work, daemon=True).start()
            self._ended.wait()
        except BaseException as error:
            self._stop(error)
            self._ended.wait()
            raise
        if self._error is not None:
            raise self._error

    def _stop(self, error: BaseException) -> None:
        """Let every thread end after the task in its hands."""
        with self._condition:
            self._stopped = True
            self._error = self._error or error
            self._tell()

    def _work(self) -> None:
        """Take tasks until there are none."""
        try:
            work = self._make_work()
            while (i := self._take()) is not None:
                try:
                    self._hand_in(i, self._process(i, work))
                finally:
                    self._put_down()
        except BaseException as error:
            self._stop(error)

    def _take(self) -> int | None:
        """Return the next task, once the fold is near enough."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._stopped or self._next_task < self._next_fold + self._window
            )
            if self._stopped or self._next_task == self._n_tasks:
                return None
            self._next_task += 1
            self._in_hand += 1
            return self._next_task - 1

    def _hand_in(self, i: int, result: Result) -> None:
        """Keep a result, fold all that are next."""
        with self._condition:
            self._results[i] = result
            while self._next_fold in self._results:
                self._fold(self._results.pop(self._next_fold))
                self._next_fold += 1

    def _put_down(self) -> None:
        """Have one task less in hand."""
        with self._condition:
            self._in_hand -= 1
            self._tell()

    def _tell(self) -> None:
        """Wake those who wait for a task or for the end; the condition is held."""
        if not self._in_hand and (self._stopped or self._next_fold == self._n_tasks):
            self._ended.set()
        self._condition.notify_all()
