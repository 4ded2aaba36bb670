"""One pass over a table under one mixture: what a worker does with each block."""

import numpy as np

from gmmcli.core.block import Workspace
from gmmcli.core.constants import Constants
from gmmcli.core.kernel import Kernel, Sums
from gmmcli.core.mixture import Array, CovarianceType, Mixture
from gmmcli.core.quantiles import sample_size, sampled_rows
from gmmcli.engine.memory import SharedArrays
from gmmcli.engine.table import TableInMemory

# One is being filled, while a run holds the pairs before and after a jump.
SAMPLES = 4


class Sweep:
    """The blocks of a table and a kernel to sum them with.

    Parameters
    ----------
    table : TableInMemory

    Attributes
    ----------
    kernel : Kernel
        Of the last `prepare`.
    samples : SharedArrays
        For log densities of rows ⌊i·n/m⌋, each of shape (min(n_rows, 2²⁰),).
    """

    def __init__(self, table: TableInMemory) -> None:
        self._table = table
        self.samples = SharedArrays(sample_size(table.n_rows), SAMPLES)
        # Kept between passes: touching new memory costs as much as using it.
        self._workspaces: dict[tuple[CovarianceType, int], Workspace] = {}

    def prepare(
        self, mixture: Mixture, *, hard: bool, sample: int, constants: Constants | None = None
    ) -> None:
        """Make ready for a pass, which fills one of the samples; `constants` as for `Kernel`.

        Raises
        ------
        CovarianceNotPositive
        """
        self.kernel = Kernel(mixture, constants=constants)
        self._hard, self._sample = hard, self.samples.at(sample)
        layout = self.kernel.layout
        self._blocks = list(self._table.blocks(layout.block_rows, layout.last_rows))

    def work_where(self, other: "Sweep") -> None:
        """Work in the arrays of another sweep of this process; they never work at the same time."""
        self._workspaces = other._workspaces

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self._blocks)

    def sum_block(self, i: int) -> Sums:
        """Return the sums of a block, and write its part of the sample."""
        first, X = self._blocks[i]
        step, work = self.kernel.layout.tile_rows, self._workspace()
        total: Sums | None = None
        for begin in range(0, X.shape[1], step):
            sums, log_density = self.kernel.expectation(X[:, begin : begin + step], work, hard=self._hard)
            self._keep_sample(first + begin, log_density)
            if total is None:
                total = sums
            else:
                total += sums
        if total is None:
            raise ValueError("a block has rows")
        return total

    def _workspace(self) -> Workspace:
        """Return arrays to work in."""
        mixture = self.kernel.mixture
        key = (mixture.covariance_type, mixture.n_components)
        if key not in self._workspaces:
            self._workspaces[key] = self.kernel.workspace()
        return self._workspaces[key]

    def _keep_sample(self, first: int, log_density: Array) -> None:
        """Write the log densities of sampled rows among some consecutive ones."""
        n, m = self._table.n_rows, len(self._sample)
        last = first + len(log_density)
        if m == n:
            self._sample[first:last] = log_density
        else:  # those among them stand at places from ⌈first·m/n⌉ on
            start, stop = -(-first * m // n), -(-last * m // n)
            self._sample[start:stop] = log_density[sampled_rows(np.arange(start, stop), n, m) - first]
