"""Covariances kept as variances: what diag and spherical have in common."""

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import LEAST_VARIANCE, Structure


class Variances(Structure):
    """Covariances without correlations. Precision factors are 1/sd."""

    def rows_needed(self, d: int) -> int:
        """See `Structure`."""
        return 2

    def centred_ns(self, d: int) -> float:
        """See `Structure`."""
        return 10 + 2.5 * d

    def factors(self, covariances: Array) -> Array:
        """See `Structure`."""
        if not (covariances >= LEAST_VARIANCE).all():
            raise np.linalg.LinAlgError
        return np.asarray(1.0 / np.sqrt(covariances))

    def are_semidefinite(self, squares: Array) -> bool:
        """See `Structure`."""
        return bool((squares >= 0).all())

    def variances(self, covariances: Array) -> Array:
        """See `Structure`."""
        return covariances

    def pack(self, covariances: Array) -> Array:
        """Return the log of the standard deviations."""
        return np.asarray(-np.log(self.factors(covariances)).reshape(-1))

    def unpack(self, vector: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(np.exp(2 * vector).reshape(self.shape(K, d)))
