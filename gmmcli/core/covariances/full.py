"""One matrix for each component."""

import numpy as np

from gmmcli.core.arrays import Array, Booleans, Integers
from gmmcli.core.covariances.matrices import TRIANGLE_ROWS, Matrices, are_sharper, multiply_lower
from gmmcli.core.covariances.products import pairs
from gmmcli.core.covariances.structure import EPS, LOG_2PI


class Full(Matrices):
    """Covariances of shape (K, d, d). φ(z) has the products of all pairs of columns."""

    has_products = True

    def shape(self, K: int, d: int) -> tuple[int, ...]:
        """See `Structure`."""
        return (K, d, d)

    def expanded_length(self, d: int) -> int:
        """See `Structure`."""
        return 1 + d + d * (d + 1) // 2

    def log_normalisers(self, factors: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        return np.asarray(log_det - 0.5 * d * LOG_2PI)

    def linear_and_quadratic(self, means: Array, factors: Array, W: Array) -> Array:
        """See `Structure`."""
        K, d = means.shape
        whitened = np.matmul(factors, means[:, :, None])[:, :, 0]
        W[:, 1 : 1 + d] = np.matmul(whitened[:, None], factors)[:, 0]
        i, j = pairs(d)
        places = np.maximum(i, j) * d + np.minimum(i, j)
        np.take(_precisions(factors).reshape(K, -1), places, axis=1, out=W[:, 1 + d :], mode="clip")
        np.negative(W[:, 1 + d :], out=W[:, 1 + d :])
        W[:, 1 + d : 1 + 2 * d] *= 0.5
        return np.asarray(whitened)

    def squares_of(self, T: Array, scatter: Array | None, d: int) -> Array:
        """See `Structure`."""
        i, j = pairs(d)
        place = np.empty((d, d), dtype=np.int64)
        place[i, j] = place[j, i] = np.arange(1 + d, T.shape[1])
        return np.asarray(np.take(T, place, axis=1))

    def whiten(self, factors: Array, k: int, centred: Array, out: Array) -> None:
        """See `Structure`."""
        multiply_lower(factors[k], centred, out=out)

    def add_squares(self, scaled: Array, squares: Array, k: int) -> None:
        """See `Structure`. A Aᵀ costs half of a general product."""
        np.matmul(scaled, scaled.T, out=squares[k])

    def are_unsafe(self, means: Array, covariances: Array, factors: Array, error: float) -> Booleans:
        """See `Structure`."""
        spread = 0.5 * EPS * ((means**2).sum(axis=1) + np.trace(covariances, axis1=1, axis2=2))
        return are_sharper(factors, error / spread)

    def cross(self, u: Array, e: Array) -> Array:
        """See `Structure`."""
        half = u[:, :, None] * e[:, None, :]
        return np.asarray(half + half.transpose(0, 2, 1))

    def divide(self, squares: Array, counts: Array, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(squares / counts[:, None, None])

    def pool(self, squares: Array, d: int) -> Array:
        """See `Structure`."""
        return np.asarray(squares.sum(axis=0))

    def matrices(self, covariances: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        return covariances

    def spread(self, Z: Array, covariances: Array, components: Integers) -> Array:
        """See `Structure`."""
        lower = self.lower(covariances)
        for k in np.unique(components):
            rows = components == k
            Z[rows] = Z[rows] @ lower[k].T
        return Z


def _precisions(factors: Array) -> Array:
    """Return FᵀF of lower triangular F, valid only on and below the diagonal."""
    d = factors.shape[-1]
    precisions = np.empty_like(factors)
    for first in range(0, d, TRIANGLE_ROWS):  # skips most zeros above F's diagonal
        last = min(first + TRIANGLE_ROWS, d)
        columns = factors[:, first:, first:last].transpose(0, 2, 1)
        np.matmul(columns, factors[:, first:, :last], out=precisions[:, first:last, :last])
    return precisions
