"""The four covariance types as exponential families: expand a block, natural parameters, moments.

A log density is linear in the expanded features φ(z), and an M-step needs only the posterior-weighted sums
of φ(z). The types differ only in the functions of this module. numpy only: predict pays for this import.
"""

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gmmcli.core.mixture import Array, CovarianceType, Integers, Mixture
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import NARROWEST_SD
from gmmcli.errors import CovarianceNotPositive

LOG_2PI = float(np.log(2 * np.pi))
# Replaces log 0 in matrix products, because −inf × 0 in a padded tile would be NaN. exp(LOG_ZERO) is 0.
LOG_ZERO = -1e300
# Rows of a triangular factor that are multiplied at once.
TRIANGLE_ROWS = 16
# A Cholesky pivot below PIVOT · d · variance is rounding error.
PIVOT = 4 * float(np.finfo(np.float64).eps)
# In standard units. With a smaller variance, squared distances overflow.
LEAST_VARIANCE = NARROWEST_SD**2


def expanded_length(covariance_type: CovarianceType, n_features: int) -> int:
    """Return D, the number of expanded features."""
    d = n_features
    return {"full": 1 + d + d * (d + 1) // 2, "tied": 1 + d, "diag": 1 + 2 * d, "spherical": 2 + d}[
        covariance_type
    ]


def pairs(n_features: int) -> tuple[Integers, Integers]:
    """Return i and j of the products z_i z_j in the order of φ: by shift, then by i.

    The shift of a pair is j − i modulo d. It takes the values 0 to d // 2; for even d the last shift has
    only d / 2 pairs. In this order one or two multiplications expand a range of shifts, for any d.
    """
    d = n_features
    whole = (d - 1) // 2 + 1
    shift, i = np.divmod(np.arange(d * (d + 1) // 2), d)
    return i, np.where(shift < whole, (i + shift) % d, i + d // 2)


def expand(X: Array, covariance_type: CovarianceType, out: Array) -> None:
    """Write the features of φ(z) that are not products of two columns: one array row per feature.

    full, tied: 1, z; diag: 1, z, z²; spherical: 1, z, ‖z‖².

    Parameters
    ----------
    X : ndarray of shape (n_slabs, n_features, n_rows), float64
    covariance_type : str
    out : ndarray of shape (n_slabs, as many features or more, n_rows), float64
    """
    d = X.shape[1]
    out[:, 0] = 1.0
    out[:, 1 : 1 + d] = X
    match covariance_type:
        case "diag":
            np.multiply(X, X, out=out[:, 1 + d : 1 + 2 * d])
        case "spherical":
            np.einsum("sij,sij->sj", X, X, out=out[:, 1 + d])


def shifted(X: Array, n_features: int) -> Array:
    """Return views of a block's features, one view per shift: the factors for `expand_products`.

    Parameters
    ----------
    X : ndarray of shape (n_slabs, n_features + n_repeated, n_rows), float64
        The features, followed by a copy of the first `n_repeated` features.
    n_features : int

    Returns
    -------
    ndarray of shape (n_slabs, 1 + n_repeated, n_features, n_rows)
        At [:, shift, i] feature i + shift modulo n_features.
    """
    n_slabs, width, n_rows = X.shape
    slab, step, place = X.strides
    shape = (n_slabs, 1 + width - n_features, n_features, n_rows)
    return as_strided(X, shape, (slab, step, step, place), writeable=False)


def expand_products(features: Array, first: int, last: int, out: Array) -> None:
    """Write the products z_i z_j whose shifts are in first ≤ shift < last, in the order of `pairs`.

    Parameters
    ----------
    features : ndarray of shape (n_slabs, n_features // 2 + 1, n_features, n_rows), float64
        The result of `shifted`, with half of the features repeated.
    first, last : int
        Between 0 and n_features // 2 + 1.
    out : ndarray of shape (n_slabs, number of such pairs, n_rows), float64
    """
    n_slabs, _, d, n_rows = features.shape
    whole = min(last, (d - 1) // 2 + 1)
    n = max(whole - first, 0)
    if n:
        products = out[:, : n * d].reshape(n_slabs, n, d, n_rows)
        np.multiply(features[:, :1], features[:, first:whole], out=products)
    if last > whole:
        half = d // 2
        np.multiply(features[:, 0, :half], features[:, half, :half], out=out[:, n * d :])


def precision_factors(mixture: Mixture) -> Array:
    """Return the inverse Cholesky factor of every covariance: Σ⁻¹ = FᵀF.

    Returns
    -------
    ndarray
        Shaped like the covariances; lower triangular for full and tied, 1/sd for diag and spherical.

    Raises
    ------
    CovarianceNotPositive

    Notes
    -----
    K·d³ work for full.
    """
    with _blaming(mixture):
        return factors_of(mixture.covariances, mixture.covariance_type)


def cholesky(mixture: Mixture) -> Array:
    """Return the Cholesky factors of full or tied covariances.

    Raises
    ------
    CovarianceNotPositive
    """
    with _blaming(mixture):
        return lower_of(mixture.covariances)


def factors_of(covariances: Array, covariance_type: CovarianceType) -> Array:
    """Return the precision factors of some components; the result does not depend on the other components.

    Raises
    ------
    LinAlgError
        One of the covariances is not positive definite.
    """
    if covariance_type in ("diag", "spherical"):
        if not (covariances >= LEAST_VARIANCE).all():
            raise np.linalg.LinAlgError
        return np.asarray(1.0 / np.sqrt(covariances))
    return _invert_lower(lower_of(covariances))


def lower_of(covariances: Array) -> Array:
    """Return the Cholesky factors of full or tied covariances.

    Raises
    ------
    LinAlgError
        A covariance is not positive definite. A covariance counts as singular if a pivot is rounding error,
        since the column adds nothing to the columns before it, or if a variance is below `LEAST_VARIANCE`.
    """
    lower = np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
    pivots = np.diagonal(lower, axis1=-2, axis2=-1) ** 2
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    is_sound = (pivots > PIVOT * covariances.shape[-1] * variances) & (variances >= LEAST_VARIANCE)
    if not is_sound.all():
        raise np.linalg.LinAlgError
    return lower


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


@contextlib.contextmanager
def _blaming(mixture: Mixture) -> Iterator[None]:
    """Turn `LinAlgError` into the error of `raise_not_positive`."""
    try:
        yield
    except np.linalg.LinAlgError:
        raise_not_positive(mixture)


def raise_not_positive(mixture: Mixture) -> NoReturn:
    """Raise `CovarianceNotPositive` for the covariance that is furthest from positive definite.

    Raises
    ------
    CovarianceNotPositive
        Names the component, and the features that take part in its flat direction.
    """
    variances, directions = np.linalg.eigh(covariances_of(mixture))
    # Relative to the largest variance: a component may be small, but not flat in one direction.
    largest = np.maximum(np.abs(variances).max(axis=1), np.finfo(float).tiny)
    is_nothing = variances[:, 0] < LEAST_VARIANCE
    k = int(np.argmin(np.where(is_nothing, -1.0, variances[:, 0] / largest)))
    features = np.flatnonzero(np.abs(directions[k, :, 0]) > 0.5 / np.sqrt(mixture.n_features))
    component = None if mixture.covariance_type == "tied" else k
    raise CovarianceNotPositive(component, tuple(map(int, features)))


def covariances_of(mixture: Mixture) -> Array:
    """Return one full matrix per component for any covariance type, shape (K, d, d)."""
    K, d = mixture.means.shape
    match mixture.covariance_type:
        case "full":
            return mixture.covariances
        case "tied":
            return np.broadcast_to(mixture.covariances, (K, d, d))
        case "diag":
            return mixture.covariances[:, :, None] * np.eye(d)
        case "spherical":
            return mixture.covariances[:, None, None] * np.eye(d)


def log_weights(weights: Array) -> Array:
    """Return the log of the weights, `LOG_ZERO` for a weight of 0."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(weights), LOG_ZERO)


def log_normalisers(factors: Array, covariance_type: CovarianceType, K: int, d: int) -> Array:
    """Return log N(μ_k | k), the log density of each component at its mean, shape (K,)."""
    match covariance_type:
        case "full":
            log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        case "tied":
            log_det = np.full(K, np.log(np.diagonal(factors)).sum())
        case "diag":
            log_det = np.log(factors).sum(axis=1)
        case "spherical":
            log_det = d * np.log(factors)
    return np.asarray(log_det - 0.5 * d * LOG_2PI)


def natural(weights: Array, means: Array, factors: Array, covariance_type: CovarianceType) -> Array:
    """Return W of shape (K, D) with log w_k + log N(z | k) = W φ(z).

    For tied, W omits the quadratic −½ ‖F z‖², which all components share.

    Parameters
    ----------
    weights : ndarray of shape (K,), float64
    means : ndarray of shape (K, n_features), float64
    factors : ndarray
        See `precision_factors`.
    covariance_type : str
    """
    K, d = means.shape
    W = np.empty((K, expanded_length(covariance_type, d)))
    match covariance_type:
        case "full" | "tied":
            whitened = np.matmul(factors, means[:, :, None])[:, :, 0]
            W[:, 1 : 1 + d] = np.matmul(whitened[:, None], factors)[:, 0]
        case "diag":
            whitened = factors * means
            W[:, 1 : 1 + d] = factors * whitened
            W[:, 1 + d :] = -0.5 * factors**2
        case "spherical":
            whitened = factors[:, None] * means
            W[:, 1 : 1 + d] = factors[:, None] * whitened
            W[:, 1 + d] = -0.5 * factors**2
    if covariance_type == "full":
        i, j = pairs(d)
        places = np.maximum(i, j) * d + np.minimum(i, j)
        np.take(_precisions(factors).reshape(K, -1), places, axis=1, out=W[:, 1 + d :], mode="clip")
        np.negative(W[:, 1 + d :], out=W[:, 1 + d :])
        W[:, 1 + d : 1 + 2 * d] *= 0.5
    peaks = log_weights(weights) + log_normalisers(factors, covariance_type, K, d)
    W[:, 0] = peaks - 0.5 * (whitened**2).sum(axis=1)
    return W


def _precisions(factors: Array) -> Array:
    """Return FᵀF of lower triangular F, valid only on and below the diagonal."""
    d = factors.shape[-1]
    precisions = np.empty_like(factors)
    for first in range(0, d, TRIANGLE_ROWS):  # skips most zeros above F's diagonal
        last = min(first + TRIANGLE_ROWS, d)
        columns = factors[:, first:, first:last].transpose(0, 2, 1)
        np.matmul(columns, factors[:, first:, :last], out=precisions[:, first:last, :last])
    return precisions


def moments(
    T: Array, scatter: Array | None, covariance_type: CovarianceType, n_features: int
) -> tuple[Array, Array, Array]:
    """Return counts, sums and squares from the posterior-weighted sums of φ(z).

    Parameters
    ----------
    T : ndarray of shape (K, D), float64
    scatter : ndarray of shape (n_features, n_features), float64, or None
        Σ w z zᵀ over the rows. Required for tied, whose φ has no quadratic features.
    covariance_type : str
    n_features : int
    """
    d = n_features
    match covariance_type:
        case "full":
            i, j = pairs(d)
            place = np.empty((d, d), dtype=np.int64)
            place[i, j] = place[j, i] = np.arange(1 + d, T.shape[1])
            squares = np.take(T, place, axis=1)
        case "tied":
            assert scatter is not None, "tied statistics need their scatter"  # noqa: S101
            squares = 0.5 * (scatter + scatter.T)
        case "diag":
            squares = T[:, 1 + d :].copy()
        case "spherical":
            squares = T[:, 1 + d].copy()
    return T[:, 0].copy(), T[:, 1 : 1 + d].copy(), squares


def covariances_about(statistics: Statistics, means: Array, counts: Array) -> Array:
    """Return the covariances about the given means, shaped as the type says.

    Parameters
    ----------
    statistics : Statistics
    means : ndarray of shape (K, n_features), float64
    counts : ndarray of shape (K,), float64
        Positive divisors.

    Returns
    -------
    ndarray
        A new array. Exactly symmetric, as the squares of the kernel's statistics are.
    """
    squares = statistics.shifted(means).squares
    d = means.shape[1]
    match statistics.covariance_type:
        case "full":
            return np.asarray(squares / counts[:, None, None])
        case "tied":
            return np.asarray(squares / counts.sum())
        case "diag":
            return np.asarray(squares / counts[:, None])
        case "spherical":
            return np.asarray(squares / (counts * d))


def add_to_variances(covariances: Array, amount: float, covariance_type: CovarianceType) -> Array:
    """Add `amount` to every variance, in place, and return the covariances."""
    variances = covariances
    if covariance_type in ("full", "tied"):
        variances = np.einsum("...ii->...i", covariances)
    variances += amount
    return covariances
