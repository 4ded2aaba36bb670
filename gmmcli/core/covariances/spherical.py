"""One variance for each component."""

from collections.abc import Sequence

import numpy as np

from gmmcli.core.arrays import Array, Booleans, Integers
from gmmcli.core.covariances.structure import EPS, LOG_2PI
from gmmcli.core.covariances.variances import Variances


class Spherical(Variances):
    """Covariances of shape (K,). φ(z) is 1, z, ‖z‖². Squares are kept as their trace."""

    has_common_scale = True

    def shape(self, K: int, d: int) -> tuple[int, ...]:
        """See `Structure`."""
        return (K,)

    def n_free(self, d: int) -> int:
        """See `Structure`."""
        return 1

    def expanded_length(self, d: int) -> int:
        """See `Structure`."""
        return 2 + d

    def expand(self, X: Array, out: Array) -> None:
        """See `Structure`."""
        super().expand(X, out)
        np.einsum("sij,sij->sj", X, X, out=out[:, 1 + X.shape[1]])

    def log_normalisers(self, factors: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(d * np.log(factors) - 0.5 * d * LOG_2PI)

    def linear_and_quadratic(self, means: Array, factors: Array, W: Array) -> Array:
        """See `Structure`."""
        d = means.shape[1]
        whitened = factors[:, None] * means
        W[:, 1 : 1 + d] = factors[:, None] * whitened
        W[:, 1 + d] = -0.5 * factors**2
        return np.asarray(whitened)

    def squares_of(self, T: Array, scatter: Array | None, d: int) -> Array:
        """See `Structure`."""
        return T[:, 1 + d].copy()

    def whiten(self, factors: Array, k: int, centred: Array, out: Array) -> None:
        """See `Structure`."""
        np.multiply(centred, factors[k], out=out)

    def add_squares(self, scaled: Array, squares: Array, k: int) -> None:
        """See `Structure`."""
        squares[k] = np.einsum("ij,ij->", scaled, scaled)

    def are_unsafe(self, means: Array, covariances: Array, factors: Array, error: float) -> Booleans:
        """See `Structure`."""
        spread = 0.5 * EPS * ((means**2).sum(axis=1) + means.shape[1] * covariances)
        return np.asarray(spread * factors**2 > error)

    def cross(self, u: Array, e: Array) -> Array:
        """See `Structure`."""
        return np.asarray(2 * (e * u).sum(axis=1))

    def divide(self, squares: Array, counts: Array, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(squares / (counts * d))

    def pool(self, squares: Array, d: int) -> Array:
        """See `Structure`."""
        return np.full(d, squares.sum() / d)

    def by_feature(self, covariances: Array, d: int) -> Array:
        """See `Structure`."""
        return np.broadcast_to(covariances[:, None], (len(covariances), d))

    def magnitudes(self, sds: Array) -> Array:
        """See `Structure`."""
        return sds[:, 0] ** 2

    def matrices(self, covariances: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(covariances[:, None, None] * np.eye(d))

    def scale(self, scale: Array) -> Array:
        """See `Structure`. The columns share one scale."""
        return np.asarray(scale[0] ** 2)

    def restrict(self, covariances: Array, columns: Sequence[int]) -> Array:
        """See `Structure`."""
        return covariances

    def bound(self, covariances: Array, narrowest: Array) -> Array:
        """See `Structure`."""
        return np.asarray(np.maximum(covariances, (narrowest**2).max()))

    def spread(self, Z: Array, covariances: Array, components: Integers) -> Array:
        """See `Structure`."""
        return np.asarray(Z * np.sqrt(covariances)[components, None])
