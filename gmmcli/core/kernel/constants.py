"""The constants of each component that an evaluation needs, computed once per mixture. numpy only."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gmmcli.core import family
from gmmcli.core.kernel.block import Layout
from gmmcli.core.mixture import Array, Booleans, CovarianceType, Mixture, covariances_shape

EPS = float(np.finfo(np.float64).eps)
# A component with a greater estimated error is evaluated in centred form. The estimate is of one rounding
# error and there are several: with 4e-10, log densities are accurate to the promised 1e-9
# (docs/decisions/0005).
EXPANDED_ERROR = 4e-10


@dataclass(frozen=True, eq=False)
class Constants:
    """Factors and natural parameters of some components, and whether they are unsafe in expanded form.

    Parameters
    ----------
    factors : ndarray
        From `family.factors_of`.
    natural : ndarray of shape (K, D), float64
        From `family.natural`. Unsafe components have zeros, since the centred form overwrites their results.
        Shape (K, 0) if the layout has all components in centred form.
    is_unsafe : ndarray of shape (K,), bool
        Whether the expanded form would lose digits; depends on the mixture alone.
    """

    factors: Array
    natural: Array
    is_unsafe: Booleans

    @staticmethod
    def shapes(covariance_type: CovarianceType, K: int, d: int, layout: Layout) -> list[tuple[int, ...]]:
        """Return the shapes of the three arrays."""
        D = family.expanded_length(covariance_type, d) if layout.group_features else 0
        return [covariances_shape(covariance_type, K, d), (K, D), (K,)]

    @classmethod
    def of(cls, mixture: Mixture, layout: Layout) -> Self:
        """Return the constants of a mixture.

        Raises
        ------
        CovarianceNotPositive

        Notes
        -----
        K·d³ work for full.
        """
        arrays = (mixture.weights, mixture.means, mixture.covariances)
        return cls._of_factors(family.precision_factors(mixture), *arrays, mixture.covariance_type, layout)

    @classmethod
    def of_components(cls, weights: Array, means: Array, covariances: Array, layout: Layout) -> Self:
        """Return the constants of some components with full covariances, independently of the others.

        Parameters
        ----------
        weights, means, covariances : ndarray
            As in a mixture.
        layout : Layout
            Of the whole mixture.

        Raises
        ------
        LinAlgError
            A covariance is not positive definite.
        """
        factors = family.factors_of(covariances, "full")
        return cls._of_factors(factors, weights, means, covariances, "full", layout)

    @classmethod
    def _of_factors(
        cls,
        factors: Array,
        weights: Array,
        means: Array,
        covariances: Array,
        covariance_type: CovarianceType,
        layout: Layout,
    ) -> Self:
        """Return the constants of components, given their factors."""
        is_unsafe = _are_unsafe(means, covariances, factors, covariance_type)
        if not is_unsafe.any() and layout.group_features:
            return cls(factors, family.natural(weights, means, factors, covariance_type), is_unsafe)
        K, d = means.shape
        natural = np.zeros(cls.shapes(covariance_type, K, d, layout)[1])
        safe = ~is_unsafe
        if safe.any() and layout.group_features:  # tied components are all safe or all unsafe
            natural[safe] = family.natural(weights[safe], means[safe], factors[safe], covariance_type)
        return cls(factors, natural, is_unsafe)


@np.errstate(over="ignore", divide="ignore")  # a component whose values overflow counts as unsafe
def _are_unsafe(
    means: Array, covariances: Array, factors: Array, covariance_type: CovarianceType
) -> Booleans:
    """Return whether ½·eps·(‖μ‖² + tr Σ)·λmax(Σ⁻¹) > 4e-10, for each component (numerics, section 3)."""
    K, d = means.shape
    norms = (means**2).sum(axis=1)
    match covariance_type:
        case "full":
            spread = 0.5 * EPS * (norms + np.trace(covariances, axis1=1, axis2=2))
            return _sharper_than(factors, EXPANDED_ERROR / spread)
        case "tied":
            spread = 0.5 * EPS * (norms + np.trace(covariances))
            unsafe = _sharper_than(factors[None], EXPANDED_ERROR / spread.max(keepdims=True))
            return np.broadcast_to(unsafe, K)
        case "diag":
            spread = 0.5 * EPS * (norms + covariances.sum(axis=1))
            return np.asarray(spread * (factors**2).max(axis=1) > EXPANDED_ERROR)
        case "spherical":
            spread = 0.5 * EPS * (norms + d * covariances)
            return np.asarray(spread * factors**2 > EXPANDED_ERROR)


@np.errstate(over="ignore")
def _sharper_than(factors: Array, limits: Array) -> Booleans:
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
