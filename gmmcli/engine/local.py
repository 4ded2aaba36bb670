"""Passes on one machine, with the same bytes for any number of worker processes.

Type, K, d and the rows of the table decide the blocks. Their sums are added in block order, whichever worker
finishes first.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.kernel.block import choose_layout
from gmmcli.core.kernel.kernel import Sums
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Expectation, Item, Result, Table
from gmmcli.core.quantiles import sample_size
from gmmcli.engine.one_pass import Pass, Workspaces
from gmmcli.engine.processes.crew import Crew
from gmmcli.engine.processes.memory import SharedArrays
from gmmcli.engine.processes.process import CAN_FORK
from gmmcli.errors import CovarianceNotPositive

# A pass that one process makes in less time is not handed to workers.
INLINE_NS = 2e6
# Rows of a block for the scatter, which must not depend on the mixture.
SCATTER_ROWS = 4096
# A run keeps at most three samples of log densities while the next one is filled.
SAMPLES = 4
# How often `check` is called while threads work, s.
_CHECKED_S = 0.2


class _Held:
    """The state of an engine for one table: kept between passes if the table is attached.

    Parameters
    ----------
    table : Table
    n_workers : int
    workspaces : dict

    Attributes
    ----------
    n_passes : int
    """

    def __init__(self, table: Table, n_workers: int, workspaces: Workspaces) -> None:
        self.table, self.n_passes = table, 0
        self.sums = Pass(table, workspaces)
        self.samples = SharedArrays(sample_size(table.n_rows), SAMPLES)
        self._n_workers, self._may_fork = n_workers, CAN_FORK
        self._crew: Crew | None = None
        self._scatter: Array | None = None

    def crew_for(self, mixture: Mixture) -> Crew | None:
        """Return the workers for a pass; None if the pass is too short or the system refuses processes."""
        layout = choose_layout(mixture.structure, mixture.n_features, mixture.n_components)
        if self._n_workers == 1 or layout.row_ns * self.table.n_rows < INLINE_NS:
            return None
        if self._crew is not None and self._crew.room < layout.most_sums:
            self.dismiss_crew()
        if self._crew is None and self._may_fork:
            try:
                self._crew = Crew(self.sums, self.samples, self._n_workers - 1, layout.most_sums)
            except OSError:  # the next pass would be refused too
                self._may_fork = False
        return self._crew

    def scatter(self) -> Array:
        """Return Σ w z zᵀ over all rows, computed once: it does not depend on the mixture."""
        if self._scatter is None:
            d = self.table.n_features
            self._scatter = np.zeros((d, d))
            for rows in self.table.blocks(SCATTER_ROWS):
                weighted = rows.X if rows.weights is None else rows.X * rows.weights
                self._scatter = self._scatter + weighted @ rows.X.T
        return self._scatter

    def dismiss_crew(self) -> None:
        """End the workers; the next pass makes new ones."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None


class LocalEngine:
    """Passes over tables in memory: an `Engine`.

    Only attached tables have worker processes. Passes over other tables (batches) run in this process.

    Parameters
    ----------
    n_workers : int
        Number of processes, this one included.
    check : callable, optional
        Called before each block, and five times a second while this process waits for workers. To abandon the
        pass it raises.

    Notes
    -----
    Workers are processes, because threads would spend a third of their time waiting for the interpreter
    (docs/decisions/0006). They are forked when the table is in memory, so that they share it without a copy.
    """

    def __init__(self, n_workers: int, check: Callable[[], None] = lambda: None) -> None:
        self._n_workers, self._check = n_workers, check
        self._attached: dict[Table, _Held] = {}
        self._workspaces: Workspaces = {}

    @contextlib.contextmanager
    def attached(self, *tables: Table) -> Iterator[None]:
        """Keep workers for the tables from their first pass to the end of the block."""
        new = [table for table in dict.fromkeys(tables) if table not in self._attached]
        self._attached |= {table: _Held(table, self._n_workers, {}) for table in new}
        try:
            yield
        finally:
            for table in new:
                self._attached.pop(table).dismiss_crew()

    def n_passes(self, table: Table) -> int:
        """Return the number of passes begun over an attached table."""
        return self._attached[table].n_passes

    def expectation(self, table: Table, mixture: Mixture, *, hard: bool = False) -> Expectation:
        """Return one E over all rows of a table.

        Parameters
        ----------
        table : Table
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
        held = self._attached.get(table) or _Held(table, 1, self._workspaces)
        held.n_passes += 1
        sums, total = held.sums, list[Sums]()

        def fold(more: Sums) -> None:
            if total:
                total[0] += more
            else:  # copied, since the arrays of a worker are used again
                total.append(replace(more, arrays=tuple(array.copy() for array in more.arrays)))

        crew, sample = held.crew_for(mixture), held.samples.find_free()
        try:
            if crew is not None:
                crew.prepare(mixture, self._check, hard=hard, sample=sample)
                crew.run(self._check, fold)
            else:
                sums.prepare(mixture, held.samples.at(sample), hard=hard)
                for i in range(sums.n_blocks):
                    self._check()
                    fold(sums.sum_block(i))
        except CovarianceNotPositive:
            raise
        except BaseException:
            held.dismiss_crew()  # it may still work on the abandoned pass
            raise
        scatter = held.scatter() if sums.kernel.needs_scatter else None
        return Expectation(sums.kernel.statistics(total[0], scatter), held.samples.lend(sample))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return the results of a function, in order, with as many threads as processes.

        Raises
        ------
        Exception
            What the function, or `check`, raises. The calls that are running end first.
        """
        if self._n_workers == 1 or len(items) < 2:
            return [function(item) for item in items if self._check() is None]
        with ThreadPoolExecutor(min(self._n_workers, len(items))) as pool:
            futures = [pool.submit(function, item) for item in items]
            try:
                while wait(futures, _CHECKED_S).not_done:
                    self._check()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in futures]
