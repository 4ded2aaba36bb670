"""The mixture: weights, means and covariances, validated once and immutable."""

from dataclasses import dataclass

import numpy as np

from gmmcli.core.arrays import Array, Covariances, PerComponent, PerComponentAndFeature
from gmmcli.core.covariances.structure import Structure
from gmmcli.core.families import FAMILIES, CovarianceType, Family


def _frozen(values: Array) -> Array:
    """Return a read-only copy, or the array itself if it is read-only and owns its memory."""
    if type(values) is np.ndarray and values.dtype == np.float64:
        flags = values.flags
        if flags.c_contiguous and flags.owndata and not flags.writeable:
            return values
    array = np.array(values, dtype=np.float64, order="C")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Mixture:
    """A Gaussian mixture. Its owner knows in which units.

    Parameters
    ----------
    weights : ndarray of shape (n_components,), float64
        Non-negative, sum 1. A component of weight 0 explains no row.
    means : ndarray of shape (n_components, n_features), float64
    covariances : ndarray, float64
        (K, d, d) full, (d, d) tied, (K, d) diag and tied-diag, (K,) spherical and tied-spherical.
    covariance_type : str
        The name of the family, from `FAMILIES`.

    Raises
    ------
    ValueError
        Shapes disagree, a value is not finite, a weight is negative, or the weights do not sum to 1.

    Notes
    -----
    Positive definiteness is not checked here: the Cholesky factor that every use needs checks it. Arrays are
    copied, except read-only arrays that own their memory. The maker of such an array must not keep a writable
    view of it.
    """

    weights: PerComponent
    means: PerComponentAndFeature
    covariances: Covariances
    covariance_type: CovarianceType

    def __post_init__(self) -> None:
        for name in ("weights", "means", "covariances"):
            array = _frozen(getattr(self, name))
            for index in np.argwhere(~np.isfinite(array))[:1]:
                place = name + "".join(f"[{i}]" for i in index)
                raise ValueError(f"{place} is {array[tuple(index)]}, must be finite")
            object.__setattr__(self, name, array)
        if self.covariance_type not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise ValueError(f"covariance_type is {self.covariance_type!r}, must be one of {known}")
        if self.means.ndim != 2 or self.weights.shape != self.means.shape[:1] or 0 in self.means.shape:
            shapes = f"weights have shape {self.weights.shape} and means {self.means.shape}"
            raise ValueError(f"{shapes}, must be (K,) and (K, d)")
        expected = self.structure.shape(*self.means.shape)
        if self.covariances.shape != expected:
            raise ValueError(f"covariances have shape {self.covariances.shape}, must be {expected}")
        for (k,) in np.argwhere(self.weights < 0)[:1]:
            raise ValueError(f"component {k}: weight is {self.weights[k]:g}, must be >= 0")
        if abs(self.weights.sum() - 1) > 1e-6:
            raise ValueError(f"weights sum to {self.weights.sum():.9g}, must sum to 1")

    @property
    def n_components(self) -> int:
        """Number of components, K."""
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, frozen ones included: K − 1 + K·d + those of the covariances."""
        K, d = self.means.shape
        return int(K - 1 + K * d + self.family.n_free(K, d))

    @property
    def family(self) -> Family:
        """The covariances that an M-step may choose."""
        return FAMILIES[self.covariance_type]

    @property
    def structure(self) -> Structure:
        """How the covariances are kept."""
        return FAMILIES[self.covariance_type].structure

    @property
    def matrices(self) -> Array:
        """One full covariance matrix per component, shape (K, d, d)."""
        return self.structure.matrices(self.covariances, *self.means.shape)
