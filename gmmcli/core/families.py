"""The covariance families: which covariances an M-step may choose, and the structure that they are kept in.

The families are those of Celeux and Govaert (1995).
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariance_types import MCLUST_NAMES
from gmmcli.core.covariances.diag import Diag
from gmmcli.core.covariances.full import Full
from gmmcli.core.covariances.spherical import Spherical
from gmmcli.core.covariances.structure import Structure
from gmmcli.core.covariances.tied import Tied


@dataclass(frozen=True)
class Family:
    """Which covariances an M-step may choose.

    Parameters
    ----------
    name : str
        The `covariance_type` of mixtures, settings and exports.
    structure : Structure
        How the covariances are kept.
    is_equal : bool
        Whether all components have the same covariance, kept once or repeated.
    nested : tuple of str
        The largest families that are special cases of this one.
    """

    name: str
    structure: Structure
    is_equal: bool = False
    nested: tuple[str, ...] = ()

    def contains(self, other: str) -> bool:
        """Tell whether another family is a special case of this one."""
        return other in self.nested or any(FAMILIES[one].contains(other) for one in self.nested)

    def n_free(self, K: int, d: int) -> int:
        """Return the number of free parameters of the covariances of K components."""
        return self.structure.n_free(d) * (1 if self.is_equal else K)

    def least_count(self, d: int) -> int:
        """Return the number of rows that a component needs for its own mean and covariance."""
        return 1 if self.is_equal else self.structure.rows_needed(d)

    def rows_needed(self, K: int, d: int) -> int:
        """Return the smallest number of rows that determines K means and the covariances."""
        one = self.structure.rows_needed(d)
        return K + one - 1 if self.is_equal else K * one

    def choose(self, squares: Array, counts: Array, d: int) -> Array:
        """Return the most likely covariances of the family.

        Parameters
        ----------
        squares : ndarray, float64
            Posterior-weighted, about the means, in the shape of the structure.
        counts : ndarray of shape (K,), float64
            Posterior mass; 0 for a component whose covariance does not matter.
        d : int

        Returns
        -------
        ndarray
            A new array. Exactly symmetric, as the squares of the kernel's statistics are.
        """
        if self.structure.is_shared:
            return self.structure.divide(squares, counts, d)
        if self.is_equal:
            one = self.structure.divide(squares.sum(axis=0, keepdims=True), counts.sum(keepdims=True), d)
            return np.repeat(one, len(counts), axis=0)
        return self.structure.divide(squares, np.where(counts > 0, counts, 1.0), d)


# The name of a family in `FAMILIES`.
CovarianceType: TypeAlias = str
_DIAG, _SPHERICAL = Diag(), Spherical()
_KEPT: dict[CovarianceType, tuple[Structure, bool, tuple[str, ...]]] = {
    "full": (Full(), False, ("tied", "diag")),
    "tied": (Tied(), True, ("tied-diag",)),
    "diag": (_DIAG, False, ("tied-diag", "spherical")),
    "tied-diag": (_DIAG, True, ("tied-spherical",)),
    "spherical": (_SPHERICAL, False, ("tied-spherical",)),
    "tied-spherical": (_SPHERICAL, True, ()),
}
FAMILIES = {name: Family(name, *_KEPT[name]) for name in MCLUST_NAMES}
