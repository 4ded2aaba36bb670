"""The constants of each component that an evaluation needs, computed once per mixture. numpy only."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gmmcli.core.arrays import Array, Booleans
from gmmcli.core.covariances.structure import Structure
from gmmcli.core.kernel.block import Layout
from gmmcli.core.mixture import Mixture
from gmmcli.core.precision import precision_factors

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
        From `Structure.factors`.
    natural : ndarray of shape (K, D), float64
        From `Structure.natural`. Unsafe components have zeros, since the centred form overwrites their
        results. Shape (K, 0) if the layout has all components in centred form.
    is_unsafe : ndarray of shape (K,), bool
        Whether the expanded form would lose digits; depends on the mixture alone.
    """

    factors: Array
    natural: Array
    is_unsafe: Booleans

    @staticmethod
    def shapes(structure: Structure, K: int, d: int, layout: Layout) -> list[tuple[int, ...]]:
        """Return the shapes of the three arrays."""
        D = structure.expanded_length(d) if layout.group_features else 0
        return [structure.shape(K, d), (K, D), (K,)]

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
        return cls._of_factors(precision_factors(mixture), *arrays, mixture.structure, layout)

    @classmethod
    def of_components(
        cls, weights: Array, means: Array, covariances: Array, structure: Structure, layout: Layout
    ) -> Self:
        """Return the constants of some components, independently of the others.

        Parameters
        ----------
        weights, means, covariances : ndarray
            As in a mixture.
        structure : Structure
            Not shared.
        layout : Layout
            Of the whole mixture.

        Raises
        ------
        LinAlgError
            A covariance is not positive definite.
        """
        factors = structure.factors(covariances)
        return cls._of_factors(factors, weights, means, covariances, structure, layout)

    @classmethod
    def _of_factors(
        cls,
        factors: Array,
        weights: Array,
        means: Array,
        covariances: Array,
        structure: Structure,
        layout: Layout,
    ) -> Self:
        """Return the constants of components, given their factors."""
        # A component whose values overflow counts as unsafe.
        with np.errstate(over="ignore", divide="ignore"):
            is_unsafe = structure.are_unsafe(means, covariances, factors, EXPANDED_ERROR)
        if not is_unsafe.any() and layout.group_features:
            return cls(factors, structure.natural(weights, means, factors), is_unsafe)
        K, d = means.shape
        natural = np.zeros(cls.shapes(structure, K, d, layout)[1])
        safe = ~is_unsafe
        if safe.any() and layout.group_features:  # components that share a covariance are alike in this
            natural[safe] = structure.natural(weights[safe], means[safe], factors[safe])
        return cls(factors, natural, is_unsafe)
