"""A mixture applied to rows as they arrive: the same bytes for a row however the rows come in batches.

A matrix product may round a column differently at another place in its block. So a row is always evaluated
at the place in a block of fixed length that its number in the operand gives it.
"""

from collections.abc import Collection

import numpy as np

from gmmcli.core.kernel import Kernel, Workspace, block_rows
from gmmcli.core.mixture import Array, Integers, Mixture
from gmmcli.core.posterior import PER_COMPONENT, evaluate
from gmmcli.core.units import FURTHEST_SD, Units
from gmmcli.engine.local import run_in_order


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
        self._length = block_rows(mixture.covariance_type, mixture.n_features, mixture.n_components)

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
        first_block = first_row // self._length

        def process(i: int, work: tuple[Array, Workspace]) -> None:
            start = (first_block + i) * self._length - first_row
            begin, end = max(start, 0), min(start + self._length, n)
            self._evaluate_block(X[:, begin:end], begin - start, slice(begin, end), work, found)

        n_blocks = -(-(first_row + n) // self._length) - first_block if n else 0
        run_in_order(n_blocks, self._make_work, process, lambda _: None, self._n_threads)
        return found

    def _make_work(self) -> tuple[Array, Workspace]:
        """Return a block of fixed length and a workspace for it."""
        mixture = self._kernel.mixture
        return np.zeros((mixture.n_features, self._length)), Workspace(mixture, self._length)

    def _evaluate_block(
        self,
        X: Array,
        offset: int,
        where: slice,
        work: tuple[Array, Workspace],
        found: dict[str, Array | Integers],
    ) -> None:
        """Evaluate rows at their places in a block, write their quantities where they belong."""
        block, workspace = work
        block[:] = 0.0
        places = slice(offset, offset + X.shape[1])
        inside = block[:, places]
        inside[:] = X
        self._units.standardise(inside)
        np.nan_to_num(inside, copy=False, nan=0.0)
        np.clip(inside, -FURTHEST_SD, FURTHEST_SD, out=inside)
        for name, values in evaluate(self._kernel, block, workspace, self._wanted).items():
            found[name][..., where] = values[..., places]
