"""Sufficient statistics: everything that EM needs to know about a table. Statistics of parts add.

Second moments are kept about a reference point per component, because E[x²] − mean² loses every digit if a
cluster is small compared with its distance from the origin. Statistics with different references are
shifted to a common reference before they are added.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from gmmcli.core.arrays import Array, Covariances, PerComponent, PerComponentAndFeature
from gmmcli.core.families import FAMILIES, CovarianceType


@dataclass(frozen=True, eq=False)
class Statistics:
    """Posterior-weighted sums over rows, in standard units.

    Parameters
    ----------
    counts : ndarray of shape (n_components,), float64
        Posterior mass of each component.
    sums : ndarray of shape (n_components, n_features), float64
        Σ r (z − reference).
    squares : ndarray, float64
        Σ r (z − reference)(z − reference)ᵀ, shaped like the covariances: (K, d, d) full, (d, d) tied (summed
        over the components), (K, d) diag (its diagonal), (K,) spherical (its trace).
    reference : ndarray of shape (n_components, n_features), float64
    log_likelihood : float
        Nats, in standard units.
    log_max_posterior : float
        Σ over rows of the log of the largest responsibility; ICL subtracts it from BIC.
    rows : int
        Rows of positive weight.
    total_weight : float
    covariance_type : str
    """

    counts: PerComponent
    sums: PerComponentAndFeature
    squares: Covariances
    reference: PerComponentAndFeature
    log_likelihood: float
    log_max_posterior: float
    rows: int
    total_weight: float
    covariance_type: CovarianceType

    @classmethod
    def empty(cls, covariance_type: CovarianceType, n_components: int, n_features: int) -> Self:
        """Return the statistics of zero rows: the neutral element of addition."""
        return cls(
            counts=np.zeros(n_components),
            sums=np.zeros((n_components, n_features)),
            squares=np.zeros(FAMILIES[covariance_type].structure.shape(n_components, n_features)),
            reference=np.zeros((n_components, n_features)),
            log_likelihood=0.0,
            log_max_posterior=0.0,
            rows=0,
            total_weight=0.0,
            covariance_type=covariance_type,
        )

    def shifted(self, reference: Array) -> Self:
        """Return the same statistics about another reference.

        Parameters
        ----------
        reference : ndarray of shape (n_components, n_features), float64

        Notes
        -----
        With e = old − new reference and u = s + ½ n e: Σ r (y + e)(y + e)ᵀ = S + u eᵀ + e uᵀ. K·d² work.
        """
        e = self.reference - reference
        if not e.any():
            return self
        n, s = self.counts, self.sums
        u = s + 0.5 * n[:, None] * e
        squares = FAMILIES[self.covariance_type].structure.cross(u, e)
        squares += self.squares
        return replace(self, sums=s + n[:, None] * e, squares=squares, reference=reference)

    def __add__(self, other: Self) -> Self:
        """Return the statistics of both sets of rows, about the references of the left operand.

        A component without mass on the left takes its reference from the right operand, because a shift to an
        unrelated reference would lose digits.
        """
        reference = np.where(self.counts[:, None] > 0, self.reference, other.reference)
        left, other = self.shifted(reference), other.shifted(reference)
        return replace(
            left,
            counts=left.counts + other.counts,
            sums=left.sums + other.sums,
            squares=left.squares + other.squares,
            log_likelihood=self.log_likelihood + other.log_likelihood,
            log_max_posterior=self.log_max_posterior + other.log_max_posterior,
            rows=self.rows + other.rows,
            total_weight=self.total_weight + other.total_weight,
        )

    def scaled(self, factor: float) -> Self:
        """Return the statistics of the same rows with every weight multiplied by `factor`."""
        return replace(
            self,
            counts=self.counts * factor,
            sums=self.sums * factor,
            squares=self.squares * factor,
            log_likelihood=self.log_likelihood * factor,
            log_max_posterior=self.log_max_posterior * factor,
            total_weight=self.total_weight * factor,
        )
