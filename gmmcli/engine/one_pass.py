"""One pass over a table under one mixture: sums its blocks."""

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.families import CovarianceType
from gmmcli.core.kernel.block import Workspace
from gmmcli.core.kernel.constants import Constants
from gmmcli.core.kernel.kernel import Kernel, Sums
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Table
from gmmcli.core.quantiles import sampled_rows
from gmmcli.engine.memory import adjoining

# Workspaces by covariance type, components and features.
Workspaces = dict[tuple[CovarianceType, int, int], Workspace]


class Pass:
    """The blocks of a table, and a kernel that sums them.

    Parameters
    ----------
    table : Table
    workspaces : dict
        Kept between passes, because the first use of new memory is slow.

    Attributes
    ----------
    kernel : Kernel
        Set by `prepare`.
    n_blocks : int
        Set by `prepare`.
    """

    def __init__(self, table: Table, workspaces: Workspaces) -> None:
        self.n_blocks = 0
        self._table, self._workspaces = table, workspaces

    def prepare(
        self, mixture: Mixture, sample: Array, *, hard: bool, constants: Constants | None = None
    ) -> None:
        """Prepare a pass.

        Parameters
        ----------
        mixture : Mixture
        sample : ndarray of shape (sample_size(n_rows),), float64
            The pass writes the log densities of rows ⌊i·n/m⌋ to it.
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
        self.n_blocks = len(self._blocks)

    def sum_block(self, i: int) -> Sums:
        """Return the sums of a block, and write its log densities to the sample."""
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
            raise ValueError(f"block {i} has no rows")
        return total

    def _workspace(self) -> Workspace:
        """Return the workspace for mixtures of this type and size."""
        mixture = self.kernel.mixture
        key = (mixture.covariance_type, mixture.n_components, mixture.n_features)
        if key not in self._workspaces:
            self._workspaces[key] = Workspace(mixture, self.kernel.layout, adjoining)
        return self._workspaces[key]

    def _keep_sample(self, first: int, log_density: Array) -> None:
        """Write the log densities of those consecutive rows that are in the sample."""
        n, m = self._table.n_rows, len(self._sample)
        last = first + len(log_density)
        if m == n:
            self._sample[first:last] = log_density
        else:  # their places in the sample begin at ⌈first·m/n⌉
            start, stop = -(-first * m // n), -(-last * m // n)
            self._sample[start:stop] = log_density[sampled_rows(np.arange(start, stop), n, m) - first]
