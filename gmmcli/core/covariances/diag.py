"""One variance for each component and feature."""

from collections.abc import Sequence

import numpy as np

from gmmcli.core.arrays import Array, Booleans, Integers
from gmmcli.core.covariances.structure import EPS, LOG_2PI
from gmmcli.core.covariances.variances import Variances


class Diag(Variances):
    """Covariances of shape (K, d). φ(z) is 1, z, z²."""

    def shape(self, K: int, d: int) -> tuple[int, ...]:
        """See `Structure`."""
        return (K, d)

    def n_free(self, d: int) -> int:
        """See `Structure`."""
        return d

    def expanded_length(self, d: int) -> int:
        """See `Structure`."""
        return 1 + 2 * d

    def expand(self, X: Array, out: Array) -> None:
        """See `Structure`."""
        super().expand(X, out)
        d = X.shape[1]
        np.multiply(X, X, out=out[:, 1 + d : 1 + 2 * d])

    def log_normalisers(self, factors: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(np.log(factors).sum(axis=1) - 0.5 * d * LOG_2PI)

    def linear_and_quadratic(self, means: Array, factors: Array, W: Array) -> Array:
        """See `Structure`."""
        d = means.shape[1]
        whitened = factors * means
        W[:, 1 : 1 + d] = factors * whitened
        W[:, 1 + d :] = -0.5 * factors**2
        return np.asarray(whitened)

    def squares_of(self, T: Array, scatter: Array | None, d: int) -> Array:
        """See `Structure`."""
        return T[:, 1 + d :].copy()

    def whiten(self, factors: Array, k: int, centred: Array, out: Array) -> None:
        """See `Structure`."""
        np.multiply(centred, factors[k][:, None], out=out)

    def add_squares(self, scaled: Array, squares: Array, k: int) -> None:
        """See `Structure`."""
        np.einsum("ij,ij->i", scaled, scaled, out=squares[k])

    def are_unsafe(self, means: Array, covariances: Array, factors: Array, error: float) -> Booleans:
        """See `Structure`."""
        spread = 0.5 * EPS * ((means**2).sum(axis=1) + covariances.sum(axis=1))
        return np.asarray(spread * (factors**2).max(axis=1) > error)

    def cross(self, u: Array, e: Array) -> Array:
        """See `Structure`."""
        return np.asarray(2 * e * u)

    def divide(self, squares: Array, counts: Array, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(squares / counts[:, None])

    def pool(self, squares: Array, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(squares.sum(axis=0))

    def by_feature(self, covariances: Array, d: int) -> Array:
        """See `Structure`."""
        return covariances

    def magnitudes(self, sds: Array) -> Array:
        """See `Structure`."""
        return sds**2

    def matrices(self, covariances: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(covariances[:, :, None] * np.eye(d))

    def scale(self, scale: Array) -> Array:
        """See `Structure`."""
        return np.asarray(scale**2)

    def restrict(self, covariances: Array, columns: Sequence[int]) -> Array:
        """See `Structure`."""
        return np.asarray(covariances[:, columns])

    def bound(self, covariances: Array, narrowest: Array) -> Array:
        """See `Structure`."""
        return np.maximum(covariances, narrowest**2)

    def spread(self, Z: Array, covariances: Array, components: Integers) -> Array:
        """See `Structure`."""
        return np.asarray(Z * np.sqrt(covariances)[components])
