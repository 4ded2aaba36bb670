"""A mixture applied to rows as they arrive: the same bytes for a row however the rows come in batches.

A matrix product may round a column differently at another place in its matrix. So a row is always evaluated
at the place in a slab of fixed length that its number in the operand gives it.
"""

from collections.abc import Collection

import numpy as np

from gmmcli.core.block import Workspace
from gmmcli.core.kernel import Kernel
from gmmcli.core.mixture import Array, Integers, Mixture
from gmmcli.core.posterior import PER_COMPONENT, evaluate
from gmmcli.core.units import FURTHEST_SD, Units
from gmmcli.engine.threads import run_in_order


class Evaluator:
    """A mixture and the threads that apply it.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    units : Units
    wanted : collection of str
        Quantities of `gmmcli.core.posterior`.
    n_threads : int

    Raises
    ------
    CovarianceNotPositive
    """

    def __init__(self, mixture: Mixture, units: Units, wanted: Collection[str], n_threads: int) -> None:
        self._kernel = Kernel(mixture)
        self._units = units
        self._wanted = tuple(wanted)
        self._n_threads = n_threads

    def evaluate(self, X: Array, first_row: int) -> dict[str, Array | Integers]:
        """Return the wanted quantities of consecutive rows.

        Parameters
        ----------
        X : ndarray of shape (n_features, n_rows), float64
            In the table's units; a row with a missing value (NaN) comes out as some finite numbers, and one
            further out than 1e100 sd as if it were there.
        first_row : int
            Number of the first row in its operand.

        Returns
        -------
        dict of ndarray
            Log densities in standard units.
        """
        n, K = X.shape[1], self._kernel.mixture.n_components
        found: dict[str, Array | Integers] = {}
        for name in self._wanted:
            found[name] = np.empty((K, n) if name in PER_COMPONENT else n)
        if "assignment" in found:
            found["assignment"] = np.empty(n, dtype=np.int64)
        length = self._kernel.layout.tile_rows
        first_block = first_row // length

        def process(i: int, work: Workspace) -> None:
            start = (first_block + i) * length - first_row
            begin, end = max(start, 0), min(start + length, n)
            self._evaluate_block(X[:, begin:end], first_row + begin, slice(begin, end), work, found)

        n_blocks = -(-(first_row + n) // length) - first_block if n else 0
        run_in_order(n_blocks, self._kernel.workspace, process, lambda _: None, self._n_threads)
        return found

    def _evaluate_block(
        self, X: Array, first_row: int, where: slice, work: Workspace, found: dict[str, Array | Integers]
    ) -> None:
        """Evaluate rows at their places in slabs, write their quantities where they belong."""
        Z = self._units.standardise(X.copy())
        np.nan_to_num(Z, copy=False, nan=0.0)
        np.clip(Z, -FURTHEST_SD, FURTHEST_SD, out=Z)
        block = work.load(Z, first_row % self._kernel.layout.slab_rows)
        for name, values in evaluate(self._kernel, block, self._wanted).items():
            found[name][..., where] = values
