"""Processes of this machine: one E over a table in memory, the same bytes for any number of them.

Blocks are fixed by (d, K, type) and the rows of the table; their sums are added in block order, operand after
operand, whichever worker finishes first.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from threadpoolctl import ThreadpoolController

from gmmcli.core.block import choose_layout
from gmmcli.core.em import Expectation
from gmmcli.core.kernel import Sums
from gmmcli.core.mixture import Array, Integers, Mixture
from gmmcli.core.quantiles import sampled_rows
from gmmcli.core.statistics import Statistics
from gmmcli.engine.crew import Crew
from gmmcli.engine.process import can_fork
from gmmcli.engine.sweep import Sweep
from gmmcli.engine.table import TableInMemory
from gmmcli.errors import CovarianceNotPositive

# A pass that one process makes in less is not worth handing out.
INLINE_NS = 2e6
# Rows of a product whose bits must not depend on the mixture.
SCATTER_ROWS = 4096


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread: the workers are ours, and sums must not depend on its own splitting.

    The limit is the process's: where several threads ask for it, the first sets it and the last lifts it.
    """
    _BLAS_LIMIT.take()
    try:
        yield
    finally:
        _BLAS_LIMIT.give_back()


class _BlasLimit:
    """The limit, and how many have asked for it.

    A thread of its own sets and lifts it: of several threads only the one that set it may lift it. Where BLAS
    has one thread anyway, as in the command, there is nothing to set, and no thread is made.
    """

    def __init__(self) -> None:
        self._lock, self._n_takers = threading.Lock(), 0
        self._unused = threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self) -> None:
        """Set the limit, if it is not set."""
        with self._lock:
            if self._keeper is None and _blas_has_threads():
                is_set, self._unused = threading.Event(), threading.Event()
                keeper = threading.Thread(target=_keep_limit, args=(is_set, self._unused), daemon=True)
                keeper.start()
                is_set.wait()
                self._keeper = keeper  # not before: the system may have no thread to give
            self._n_takers += 1

    def give_back(self) -> None:
        """Lift the limit, if it was set here and nobody needs it any more."""
        with self._lock:
            self._n_takers -= 1
            if self._keeper is not None and not self._n_takers:
                self._unused.set()
                self._keeper.join()
                self._keeper = None


def _keep_limit(is_set: threading.Event, unused: threading.Event) -> None:
    """Keep BLAS to one thread until that is of no use any more."""
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            is_set.set()
            unused.wait()
    finally:
        is_set.set()


_BLAS_LIMIT = _BlasLimit()


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the libraries with threads of their own that were loaded when first asked for.

    Looking for them takes as long as a short pass. Later ones are not limited: workers use numpy alone.
    """
    return ThreadpoolController()


def _blas_has_threads() -> bool:
    """Tell whether a BLAS would use more than one thread."""
    return any(library["num_threads"] != 1 for library in _blas())


def blas_kernel() -> str:
    """Return the name of numpy's BLAS and the kernel it runs, for the checkpoint."""
    for library in _blas():
        return f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
    return "unknown"


def _blas() -> list[dict[str, Any]]:
    """Return what is known of every BLAS."""
    return [library for library in _libraries().info() if library["user_api"] == "blas"]


class LocalEngine:
    """A table in memory, in standard units, and the workers that pass over it.

    A context manager: leaving it ends the workers.

    Parameters
    ----------
    chunks : sequence of sequence of ndarray
        Per operand, arrays of shape (n_features, n_rows), float64. Kept, not copied; not to be changed once
        a pass has been made.
    n_workers : int
        Processes, this one included.
    check : callable, optional
        Called before each block, and five times a second while workers are waited for; may raise to abandon
        the pass.

    Notes
    -----
    Workers are processes: threads of one interpreter would spend a third of their time waiting for it
    (docs/decisions/0006). They see the table of the process they were forked from, without a copy.
    """

    def __init__(
        self,
        chunks: Sequence[Sequence[Array]],
        n_workers: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._table = TableInMemory(chunks)
        self._n_workers = n_workers
        self._check = check
        self._scatter: Array | None = None
        self._crew: Crew | None = None
        self._may_fork = can_fork()
        self._sweep = Sweep(self._table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; the next pass makes new ones."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    @property
    def n_rows(self) -> int:
        """Rows in use."""
        return self._table.n_rows

    @property
    def n_features(self) -> int:
        """Features."""
        return self._table.n_features

    def take(self, indices: Integers) -> Array:
        """Return some rows, shape (len(indices), n_features), in standard units."""
        return self._table.take(indices)

    def count_distinct(self, most: int) -> int:
        """Return how many different rows there are, or `most` as soon as it is reached."""
        return self._table.count_distinct(most)

    @contextlib.contextmanager
    def sample(self, n_rows: int) -> Iterator["LocalEngine"]:
        """Lend an engine over so many rows, evenly spaced; this one where that is half of all or more."""
        if self.n_rows <= 2 * n_rows:
            yield self
            return
        rows = self.take(sampled_rows(np.arange(n_rows), self.n_rows, n_rows))
        with LocalEngine([[np.ascontiguousarray(rows.T)]], self._n_workers, self._check) as engine:
            yield engine

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
        OutOfMemory
            The system ended a worker.
        """
        sweep, total = self._sweep, list[Sums]()

        def fold(sums: Sums) -> None:
            if total:
                total[0] += sums
            else:
                total.append(sums.copy())

        crew, sample = self._crew_for(mixture), sweep.samples.find_free()
        try:
            if crew is not None:
                crew.prepare(mixture, self._check, hard=hard, sample=sample)
                crew.run(self._check, fold)
            else:
                sweep.prepare(mixture, hard=hard, sample=sample)
                for i in range(sweep.n_blocks):
                    self._check()
                    fold(sweep.sum_block(i))
        except CovarianceNotPositive:
            raise
        except BaseException:
            self.close()  # the crew may still be at work on what nobody wants now
            raise
        scatter = self._scatter_of_all() if sweep.kernel.needs_scatter else None
        return Expectation(sweep.kernel.statistics(total[0], scatter), sweep.samples.lend(sample))

    def expectation_of(self, first: int, count: int, mixture: Mixture) -> Statistics:
        """Return one E over consecutive rows, made by this process alone; the first row follows the last."""
        batch = LocalEngine([self._table.part(first, count)], 1, self._check)
        batch._sweep.work_where(self._sweep)
        return batch.expectation(mixture).statistics

    def _crew_for(self, mixture: Mixture) -> Crew | None:
        """Return the workers for a pass; None where it is not worth handing out, or the system has none."""
        layout = choose_layout(mixture.covariance_type, mixture.n_features, mixture.n_components)
        if self._n_workers == 1 or layout.row_ns * self.n_rows < INLINE_NS:
            return None
        if self._crew is not None and self._crew.room < layout.most_sums:
            self.close()
        if self._crew is None and self._may_fork:
            try:
                self._crew = Crew(self._sweep, self._n_workers - 1, layout.most_sums)
            except OSError:  # the next pass would find no more
                self._may_fork = False
        return self._crew

    def _scatter_of_all(self) -> Array:
        """Return Σ z zᵀ over all rows: computed once, as no mixture changes it."""
        if self._scatter is None:
            d = self.n_features
            self._scatter = sum((X @ X.T for _, X in self._table.blocks(SCATTER_ROWS)), np.zeros((d, d)))
        return self._scatter
