"""One matrix that all components share."""

import numpy as np

from gmmcli.core.arrays import Array, Booleans, Integers
from gmmcli.core.covariances.matrices import Matrices, are_sharper, multiply_lower
from gmmcli.core.covariances.structure import EPS, LOG_2PI


class Tied(Matrices):
    """Covariances of shape (d, d). φ(z) has no quadratic features."""

    is_shared = True

    def shape(self, K: int, d: int) -> tuple[int, ...]:
        """See `Structure`."""
        return (d, d)

    def expanded_length(self, d: int) -> int:
        """See `Structure`."""
        return 1 + d

    def log_normalisers(self, factors: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(np.full(K, np.log(np.diagonal(factors)).sum()) - 0.5 * d * LOG_2PI)

    def linear_and_quadratic(self, means: Array, factors: Array, W: Array) -> Array:
        """See `Structure`."""
        whitened = np.matmul(factors, means[:, :, None])[:, :, 0]
        W[:, 1:] = np.matmul(whitened[:, None], factors)[:, 0]
        return np.asarray(whitened)

    def squares_of(self, T: Array, scatter: Array | None, d: int) -> Array:
        """See `Structure`."""
        assert scatter is not None, "a shared covariance needs the scatter"  # noqa: S101
        return np.asarray(0.5 * (scatter + scatter.T))

    def whiten(self, factors: Array, k: int, centred: Array, out: Array) -> None:
        """See `Structure`."""
        multiply_lower(factors, centred, out=out)

    def add_squares(self, scaled: Array, squares: Array, k: int) -> None:
        """See `Structure`."""
        squares += scaled @ scaled.T

    def are_unsafe(self, means: Array, covariances: Array, factors: Array, error: float) -> Booleans:
        """See `Structure`. The components are all safe or all unsafe."""
        spread = 0.5 * EPS * ((means**2).sum(axis=1) + np.trace(covariances))
        unsafe = are_sharper(factors[None], error / spread.max(keepdims=True))
        return np.broadcast_to(unsafe, len(means))

    def cross(self, u: Array, e: Array) -> Array:
        """See `Structure`."""
        half = u.T @ e
        return np.asarray(half + half.T)

    def divide(self, squares: Array, counts: Array, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(squares / counts.sum())

    def pool(self, squares: Array, d: int) -> Array:
        """See `Structure`."""
        return squares

    def matrices(self, covariances: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return np.broadcast_to(covariances, (K, d, d))

    def spread(self, Z: Array, covariances: Array, components: Integers) -> Array:
        """See `Structure`."""
        return np.asarray(Z @ self.lower(covariances).T)
