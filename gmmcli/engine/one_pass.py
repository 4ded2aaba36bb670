"""One pass over a table under one mixture: what a worker does with each block."""

import numpy as np

from gmmcli.core.kernel.block import Workspace
from gmmcli.core.kernel.constants import Constants
from gmmcli.core.kernel.kernel import Kernel, Sums
from gmmcli.core.mixture import Array, CovarianceType, Mixture
from gmmcli.core.passes import Table
from gmmcli.core.quantiles import sample_size, sampled_rows
from gmmcli.engine.memory import adjoining

# Workspaces by covariance type, components and features.
Workspaces = dict[tuple[CovarianceType, int, int], Workspace]


class Pass:
    """The blocks of a table and a kernel to sum them with.

    Parameters
    ----------
    table : Table
    workspaces : dict
        Kept between passes: touching new memory costs as much as using it.

    Attributes
    ----------
    kernel : Kernel
        Of the last `prepare`.
    """

    def __init__(self, table: Table, workspaces: Workspaces) -> None:
        self._table, self._workspaces = table, workspaces

    def prepare(
        self, mixture: Mixture, sample: Array, *, hard: bool, constants: Constants | None = None
    ) -> None:
        """Make ready for a pass.

        Parameters
        ----------
        mixture : Mixture
        sample : ndarray of shape (sample_size(n_rows),), float64
            Filled with the log densities of rows ⌊i·n/m⌋ during the pass.
        hard : bool
            As in `Kernel.expectation`.
        constants : Constants, optional
            As for `Kernel`.

        Raises
        ------
        CovarianceNotPositive
        """
        self.kernel = Kernel(mixture, constants=constants)
        self._hard, self._sample = hard, sample
        layout = self.kernel.layout
        self._blocks = list(self._table.blocks(layout.block_rows, layout.last_rows))

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self._blocks)

    @property
    def sample_size(self) -> int:
        """Numbers that `prepare` needs as a sample."""
        return sample_size(self._table.n_rows)

    def sum_block(self, i: int) -> Sums:
        """Return the sums of a block, and write its part of the sample."""
        block, work = self._blocks[i], self._workspace()
        total: Sums | None = None
        for begin in range(0, block.n_rows, self.kernel.layout.tile_rows):
            tile = block[begin : begin + self.kernel.layout.tile_rows]
            sums, log_density = self.kernel.expectation(tile, work, hard=self._hard)
            self._keep_sample(tile.first_row, log_density)
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
        key = (mixture.covariance_type, mixture.n_components, mixture.n_features)
        if key not in self._workspaces:
            self._workspaces[key] = Workspace(mixture, self.kernel.layout, adjoining)
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
