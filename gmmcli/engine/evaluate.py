"""Applies a mixture to rows as they arrive. The results of a row do not depend on how rows are batched.

A matrix product may round a column differently at another place in its matrix. So the number of a row in its
operand decides its place in a slab of fixed length.
"""

import contextlib
import queue
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.kernel.block import Workspace
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.kernel.posterior import PER_COMPONENT, evaluate
from gmmcli.core.mixture import Mixture
from gmmcli.core.units import FURTHEST_SD, Units
from gmmcli.engine.memory import adjoining

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class Evaluator(contextlib.AbstractContextManager["Evaluator"]):
    """A mixture and the threads that apply it. A context manager: leaving it ends the threads.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    units : Units
    wanted : collection of str
        Names from `gmmcli.core.kernel.posterior`.
    n_threads : int

    Raises
    ------
    CovarianceNotPositive
    """

    def __init__(self, mixture: Mixture, units: Units, wanted: Collection[str], n_threads: int) -> None:
        self._kernel, self._units, self._wanted = Kernel(mixture), units, tuple(wanted)
        self._n_threads = n_threads
        self._pool: ThreadPoolExecutor | None = None
        # Workspaces that no thread is using; a new one is made if there is none.
        self._idle: queue.SimpleQueue[Workspace] = queue.SimpleQueue()

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def evaluate(self, X: Array, first_row: int) -> dict[str, Array | Integers]:
        """Return the wanted quantities of consecutive rows.

        Parameters
        ----------
        X : ndarray of shape (n_features, n_rows), float64
            In the table's units. The results of a row with a missing value (NaN) are finite but meaningless.
            A row further than 1e100 sd from the centre is evaluated as if it were at 1e100 sd.
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

        def evaluate_tile(start: int) -> None:
            begin, end = max(start, 0), min(start + length, n)
            self._evaluate_rows(X[:, begin:end], first_row + begin, slice(begin, end), found)

        starts = range(-(first_row % length), n, length) if n else ()
        if self._n_threads == 1 or len(starts) < 2:
            for start in starts:
                evaluate_tile(start)
        else:
            # Imported here: the import takes longer than the evaluation of a small table.
            from concurrent.futures import ThreadPoolExecutor

            self._pool = self._pool or ThreadPoolExecutor(self._n_threads)
            for _ in self._pool.map(evaluate_tile, starts):
                pass
        return found

    def _evaluate_rows(
        self, X: Array, first_row: int, where: slice, found: dict[str, Array | Integers]
    ) -> None:
        """Evaluate rows at their places in slabs, and write their quantities to `found[...][..., where]`."""
        try:
            work = self._idle.get_nowait()
        except queue.Empty:
            work = Workspace(self._kernel.mixture, self._kernel.layout, adjoining)
        Z = self._units.standardise(X.copy())
        np.nan_to_num(Z, copy=False, nan=0.0)
        np.clip(Z, -FURTHEST_SD, FURTHEST_SD, out=Z)
        block = work.load(Z, first_row % self._kernel.layout.slab_rows)
        for name, values in evaluate(self._kernel, block, self._wanted).items():
            found[name][..., where] = values
        self._idle.put(work)
