"""Covariances kept as matrices: what one matrix per component and one for all have in common."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gmmcli.core.arrays import Array, Booleans
from gmmcli.core.covariances.structure import EPS, LEAST_VARIANCE, Structure

# Rows of a triangular factor that are multiplied at once.
TRIANGLE_ROWS = 16
# A Cholesky pivot below PIVOT · d · variance is rounding error.
PIVOT = 4 * EPS
# A bounded covariance stays so many times above that.
_LEAST_PIVOTS = 4.0


class Matrices(Structure):
    """Covariances of shape (..., d, d)."""

    has_correlations = True

    def n_free(self, d: int) -> int:
        """See `Structure`."""
        return d * (d + 1) // 2

    def rows_needed(self, d: int) -> int:
        """See `Structure`."""
        return d + 1

    def centred_ns(self, d: int) -> float:
        """See `Structure`."""
        return 10 + 2.5 * d + 0.03 * d * d

    def factors(self, covariances: Array) -> Array:
        """See `Structure`."""
        return _invert_lower(self.lower(covariances))

    def check(self, covariances: Array) -> None:
        """See `Structure`. Skips the inverse of the Cholesky factors."""
        self.lower(covariances)

    def are_semidefinite(self, squares: Array) -> bool:
        """See `Structure`."""
        try:
            np.linalg.cholesky(squares)
        except np.linalg.LinAlgError:
            return False
        return True

    def lower(self, covariances: Array) -> Array:
        """Return the Cholesky factors.

        Raises
        ------
        LinAlgError
            A covariance is not positive definite. A covariance counts as singular if a pivot is rounding
            error, since the column adds nothing to the columns before it, or if a variance is below
            `LEAST_VARIANCE`.
        """
        lower = np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
        pivots = np.diagonal(lower, axis1=-2, axis2=-1) ** 2
        variances = np.diagonal(covariances, axis1=-2, axis2=-1)
        is_sound = (pivots > PIVOT * covariances.shape[-1] * variances) & (variances >= LEAST_VARIANCE)
        if not is_sound.all():
            raise np.linalg.LinAlgError
        return lower

    def variances(self, covariances: Array) -> Array:
        """See `Structure`."""
        return cast(Array, np.einsum("...ii->...i", covariances))

    def by_feature(self, covariances: Array, d: int) -> Array:
        """See `Structure`."""
        return self.variances(covariances).reshape(-1, d)

    def magnitudes(self, sds: Array) -> Array:
        """See `Structure`."""
        found = sds[:, :, None] * sds[:, None]
        return np.asarray(found[0] if self.is_shared else found)

    def scale(self, scale: Array) -> Array:
        """See `Structure`."""
        return np.asarray(scale[:, None] * scale)

    def restrict(self, covariances: Array, columns: Sequence[int]) -> Array:
        """See `Structure`."""
        return np.asarray(covariances[..., columns, :][..., columns])

    def bound(self, covariances: Array, narrowest: Array) -> Array:
        """See `Structure`. Nor is a covariance so narrow that its Cholesky factor would be rounding error.

        d³/3 work per matrix that keeps the bound (a Cholesky factor of S − F shows it), 9·d³ for one that
        does not.
        """
        d = covariances.shape[-1]
        variances = np.diagonal(covariances, axis1=-2, axis2=-1)
        floors = np.maximum(narrowest**2, _LEAST_PIVOTS * PIVOT * d * variances)
        bounded = covariances
        for place in _too_narrow(covariances - floors[..., None] * np.eye(d)):
            if bounded is covariances:
                bounded = covariances.copy()
            sds = np.sqrt(floors[place])
            # Rounding may leave a covariance that two variances are too small for.
            limits = np.sqrt(np.maximum(variances[place], 0.0))
            limits = limits * limits[:, None]
            possible = np.clip(covariances[place], -limits, limits)
            bounded[place] = possible
            widths, directions = np.linalg.eigh(possible / sds / sds[:, None])
            lifted = np.maximum(widths, 1.0) - widths
            # Only what is added is computed, so directions that are wide enough keep their digits.
            added = (directions * lifted) @ directions.T * sds * sds[:, None]
            bounded[place] += 0.5 * (added + added.T)
        return bounded

    def pack(self, covariances: Array) -> Array:
        """Return the Cholesky factors, with the log of their diagonals."""
        lower = self.lower(covariances)
        i = np.arange(lower.shape[-1])
        lower[..., i, i] = np.log(lower[..., i, i])
        return np.asarray(lower[..., *np.tril_indices(lower.shape[-1])].reshape(-1))

    def unpack(self, vector: Array, K: int, d: int) -> Array:
        """See `Structure`."""
        lower = np.zeros(self.shape(K, d))
        lower[..., *np.tril_indices(d)] = vector.reshape(*lower.shape[:-2], -1)
        i = np.arange(d)
        lower[..., i, i] = np.exp(lower[..., i, i])
        covariances = lower @ np.swapaxes(lower, -1, -2)
        return np.asarray(0.5 * (covariances + np.swapaxes(covariances, -1, -2)))


def multiply_lower(lower: Array, X: Array, out: Array) -> None:
    """Write the product of a lower triangular matrix with each slab, without most zeros of the matrix."""
    d = len(lower)
    for first in range(0, d, TRIANGLE_ROWS):
        last = min(first + TRIANGLE_ROWS, d)
        np.matmul(lower[first:last, :last], X[:, :last], out=out[:, first:last])


@np.errstate(over="ignore")
def are_sharper(factors: Array, limits: Array) -> Booleans:
    """Return whether λmax(FᵀF) exceeds its limit; computes eigenvalues only if bounds do not decide.

    Notes
    -----
    For P = FᵀF with d columns, ‖P²‖ / √d ≤ λmax² ≤ ‖P²‖ ≤ (tr P)² in the Frobenius norm. F is divided by its
    largest element first, since P² might overflow.
    """
    d = factors.shape[-1]
    sharper = ~((factors**2).sum(axis=(1, 2)) <= limits)
    for k in np.flatnonzero(sharper):
        scale = np.abs(factors[k]).max()
        factor, limit = factors[k] / scale, limits[k] / scale / scale
        P = factor.T @ factor
        bound = np.sqrt(np.linalg.norm(P @ P))
        if bound <= limit:
            sharper[k] = False
        elif bound <= limit * d**0.25:
            sharper[k] = np.linalg.eigvalsh(P)[-1] > limit
    return np.asarray(sharper)


def _invert_lower(matrices: Array) -> Array:
    """Invert lower triangular matrices in place, shape (..., d, d), and return them.

    Notes
    -----
    The inverse of [A, 0; B, C] is [A⁻¹, 0; −C⁻¹ B A⁻¹, C⁻¹]. Each round applies this to all diagonal blocks
    of one size, and doubles the size. Without the pivoting of a general solver, errors stay relative to each
    row, so columns of very different spread do no harm.
    """
    d = matrices.shape[-1]
    diagonal = np.einsum("...ii->...i", matrices)
    np.divide(1.0, diagonal, out=diagonal)
    h = 1
    while h < d:
        whole = d - d % (2 * h)  # the last block, after these, is smaller
        for block in (_diagonal_blocks(matrices[..., :whole, :whole], 2 * h), matrices[..., whole:, whole:]):
            block[..., h:, :h] = -block[..., h:, h:] @ (block[..., h:, :h] @ block[..., :h, :h])
        h *= 2
    return matrices


def _diagonal_blocks(matrices: Array, size: int) -> Array:
    """Return views of the blocks on the diagonal, shape (..., n // size, size, size)."""
    *others, row, column = matrices.strides
    *shape, n, _ = matrices.shape
    return as_strided(
        matrices, (*shape, n // size, size, size), (*others, size * (row + column), row, column)
    )


def _too_narrow(differences: Array) -> list[tuple[int, ...]]:
    """Return the places of matrices that are not positive definite, of one, (), or of an array of them."""
    try:
        np.linalg.cholesky(differences)
    except np.linalg.LinAlgError:
        pass
    else:
        return []
    if differences.ndim == 2:
        return [()]
    return [(k,) for k, matrix in enumerate(differences) if _too_narrow(matrix)]
