"""Passes on one machine: the same bytes for any number of worker processes.

Blocks are fixed by (d, K, type) and the rows of the table; their sums are added in block order, operand after
operand, whichever worker finishes first.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from gmmcli.core.kernel.block import choose_layout
from gmmcli.core.kernel.kernel import Sums
from gmmcli.core.mixture import Array, Mixture
from gmmcli.core.passes import Expectation, Table
from gmmcli.engine.one_pass import Pass, Workspaces
from gmmcli.engine.processes.crew import Crew
from gmmcli.engine.processes.memory import SharedArrays
from gmmcli.engine.processes.process import can_fork
from gmmcli.errors import CovarianceNotPositive

# A pass that one process makes in less is not worth handing out.
INLINE_NS = 2e6
# Rows of a product whose bits must not depend on the mixture.
SCATTER_ROWS = 4096
# A run keeps at most three samples of log densities while the next is filled.
SAMPLES = 4


class _Held:
    """What the engine holds of a table for a pass: between passes, too, if the table is attached.

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
        self.samples = SharedArrays(self.sums.sample_size, SAMPLES)
        self._n_workers, self._may_fork = n_workers, can_fork()
        self._crew: Crew | None = None
        self._scatter: Array | None = None

    def crew_for(self, mixture: Mixture) -> Crew | None:
        """Return the workers for a pass; None where it is not worth handing out, or the system has none."""
        layout = choose_layout(mixture.covariance_type, mixture.n_features, mixture.n_components)
        if self._n_workers == 1 or layout.row_ns * self.table.n_rows < INLINE_NS:
            return None
        if self._crew is not None and self._crew.room < layout.most_sums:
            self.dismiss_crew()
        if self._crew is None and self._may_fork:
            try:
                self._crew = Crew(self.sums, self.samples, self._n_workers - 1, layout.most_sums)
            except OSError:  # the next pass would find no more
                self._may_fork = False
        return self._crew

    def scatter(self) -> Array:
        """Return Σ w z zᵀ over all rows: computed once, as no mixture changes it."""
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

    Worker processes, and what is kept between passes, serve the tables that are attached. Passes over any
    other table (a batch, say) run in this process alone.

    Parameters
    ----------
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

    def __init__(self, n_workers: int, check: Callable[[], None] = lambda: None) -> None:
        self._n_workers, self._check = n_workers, check
        self._attached: dict[Table, _Held] = {}
        self._workspaces: Workspaces = {}

    @contextlib.contextmanager
    def attached(self, *tables: Table) -> Iterator[None]:
        """Keep workers for tables from their first pass to the end of the block."""
        new = [table for table in tables if table not in self._attached]
        self._attached |= {table: _Held(table, self._n_workers, {}) for table in new}
        try:
            yield
        finally:
            for table in new:
                self._attached.pop(table).dismiss_crew()

    def n_passes(self, table: Table) -> int:
        """Return how many passes over an attached table were begun."""
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
            else:
                total.append(more.copy())

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
            held.dismiss_crew()  # it may still be at work on a pass that nobody wants now
            raise
        scatter = held.scatter() if sums.kernel.needs_scatter else None
        return Expectation(sums.kernel.statistics(total[0], scatter), held.samples.lend(sample))
