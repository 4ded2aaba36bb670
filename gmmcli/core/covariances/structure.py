"""The structure of covariances: everything that the rest of the code asks about how they are kept.

A log density is linear in the expanded features φ(z), and an M-step needs only the posterior-weighted sums
of φ(z). Structures differ only in the methods of this class.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from gmmcli.core.arrays import Array, Booleans, Integers

LOG_2PI = float(np.log(2 * np.pi))
EPS = float(np.finfo(np.float64).eps)
# Replaces log 0 in matrix products, because −inf × 0 in a padded tile would be NaN. exp(LOG_ZERO) is 0.
LOG_ZERO = -1e300
# Bounds on a component's sd, in standard units. Within them squared distances over the variance are finite.
NARROWEST_SD, WIDEST_SD = 1e-40, 1e100
# With a smaller variance, squared distances overflow.
LEAST_VARIANCE = NARROWEST_SD**2


class Structure(ABC):
    """How covariances are kept, for K components of d features.

    In the methods, `covariances`, `factors` and `squares` are float64 arrays of `shape(K, d)`.

    Attributes
    ----------
    is_shared : bool
        Whether one covariance serves all components. Its quadratic then cancels in the posteriors, so φ(z)
        has no quadratic features, and the scatter of the table takes their place.
    has_products : bool
        Whether φ(z) has the products of two columns.
    has_correlations : bool
        Whether covariances are matrices, not variances alone.
    has_common_scale : bool
        Whether all columns must share one scale in standard units, since other scales would change the model.
    """

    is_shared: ClassVar[bool] = False
    has_products: ClassVar[bool] = False
    has_correlations: ClassVar[bool] = False
    has_common_scale: ClassVar[bool] = False

    @abstractmethod
    def shape(self, K: int, d: int) -> tuple[int, ...]:
        """Return the shape of the covariances."""

    @abstractmethod
    def n_free(self, d: int) -> int:
        """Return the number of free parameters of one covariance."""

    @abstractmethod
    def rows_needed(self, d: int) -> int:
        """Return the number of rows that determine one mean and one covariance."""

    @abstractmethod
    def expanded_length(self, d: int) -> int:
        """Return D, the number of expanded features."""

    def expand(self, X: Array, out: Array) -> None:
        """Write the features of φ(z) that are not products of two columns: 1, z and what is added here.

        Parameters
        ----------
        X : ndarray of shape (n_slabs, n_features, n_rows), float64
        out : ndarray of shape (n_slabs, as many features or more, n_rows), float64
        """
        out[:, 0] = 1.0
        out[:, 1 : 1 + X.shape[1]] = X

    @abstractmethod
    def centred_ns(self, d: int) -> float:
        """Return the time per row of one component in centred form, ns; fitted to docs/blocks.md."""

    @abstractmethod
    def factors(self, covariances: Array) -> Array:
        """Return the precision factors F, Σ⁻¹ = FᵀF; each one does not depend on the other components.

        Lower triangular for matrices, 1/sd for variances. d³ work per matrix.

        Raises
        ------
        LinAlgError
            A covariance is not positive definite, or a variance is below `LEAST_VARIANCE`.
        """

    def check(self, covariances: Array) -> None:
        """Raise `LinAlgError` if `factors` would."""
        self.factors(covariances)

    @abstractmethod
    def are_semidefinite(self, squares: Array) -> bool:
        """Return whether finite squares may be sums over rows: no variance is negative, in any direction."""

    @abstractmethod
    def log_normalisers(self, factors: Array, K: int, d: int) -> Array:
        """Return log N(μ_k | k), the log density of each component at its mean, shape (K,)."""

    @abstractmethod
    def linear_and_quadratic(self, means: Array, factors: Array, W: Array) -> Array:
        """Write the coefficients of z and of the quadratic features, columns 1 to D − 1 of W.

        Returns
        -------
        ndarray
            The whitened means F μ; their squared lengths complete column 0.
        """

    @abstractmethod
    def squares_of(self, T: Array, scatter: Array | None, d: int) -> Array:
        """Return the squares from the posterior-weighted sums of φ(z), shape (K, D).

        `scatter` is Σ w z zᵀ over the rows, shape (d, d); a shared covariance requires it.
        """

    @abstractmethod
    def whiten(self, factors: Array, k: int, centred: Array, out: Array) -> None:
        """Write F (z − μ) of one component, for z − μ of shape (n_slabs, d, n_rows)."""

    @abstractmethod
    def add_squares(self, scaled: Array, squares: Array, k: int) -> None:
        """Add Σ a aᵀ, as far as it is kept, to the squares of component k; `scaled` has shape (d, n_rows)."""

    @abstractmethod
    def are_unsafe(self, means: Array, covariances: Array, factors: Array, error: float) -> Booleans:
        """Return whether ½·eps·(‖μ‖² + tr Σ)·λmax(Σ⁻¹) > error, for each component (numerics, section 3)."""

    @abstractmethod
    def cross(self, u: Array, e: Array) -> Array:
        """Return u eᵀ + e uᵀ of each component, as far as it is kept, for u and e of shape (K, d)."""

    @abstractmethod
    def divide(self, squares: Array, counts: Array, d: int) -> Array:
        """Return the covariances of components with these squares about their means and positive counts."""

    @abstractmethod
    def pool(self, squares: Array, d: int) -> Array:
        """Return the squares of all components together: shape (d, d), or (d,) for variances alone."""

    @abstractmethod
    def variances(self, covariances: Array) -> Array:
        """Return a view of the variances: the diagonals of matrices."""

    @abstractmethod
    def by_feature(self, covariances: Array, d: int) -> Array:
        """Return the variances of each component in each feature, shape (K or 1, d)."""

    @abstractmethod
    def magnitudes(self, sds: Array) -> Array:
        """Return the largest magnitude of each covariance that sds of shape (K or 1, d) allow."""

    @abstractmethod
    def matrices(self, covariances: Array, K: int, d: int) -> Array:
        """Return one full matrix per component, shape (K, d, d)."""

    @abstractmethod
    def scale(self, scale: Array) -> Array:
        """Return the factor that converts covariances to units of `scale`, shape (d,); broadcastable."""

    @abstractmethod
    def restrict(self, covariances: Array, columns: Sequence[int]) -> Array:
        """Return the covariances of some columns."""

    @abstractmethod
    def bound(self, covariances: Array, narrowest: Array) -> Array:
        """Return the most likely covariances that are nowhere narrower than a bound.

        With F = diag(narrowest²), every Σ − F is positive semidefinite. The likelihood of a covariance is
        n·(−log|Σ| − tr Σ⁻¹S)/2. In units where F is the identity, its maximum over Σ ⪰ 1 has the
        eigenvectors of S, and eigenvalues max(λ, 1).

        Parameters
        ----------
        covariances : ndarray, float64
            Those that are most likely without the bound.
        narrowest : ndarray of shape (d,), float64
            Sds, of columns; positive.

        Returns
        -------
        ndarray
            The given array if it keeps the bound.
        """

    @abstractmethod
    def pack(self, covariances: Array) -> Array:
        """Return the covariances as an unconstrained vector.

        Raises
        ------
        LinAlgError
            A covariance is not positive definite.
        """

    @abstractmethod
    def unpack(self, vector: Array, K: int, d: int) -> Array:
        """Return the covariances of a vector from `pack`."""

    @abstractmethod
    def spread(self, Z: Array, covariances: Array, components: Integers) -> Array:
        """Turn standard normal rows Z, shape (n, d), into rows with these covariances; Z may change."""

    def natural(self, weights: Array, means: Array, factors: Array) -> Array:
        """Return W of shape (K, D) with log w_k + log N(z | k) = W φ(z).

        A shared covariance omits its quadratic −½ ‖F z‖².

        Parameters
        ----------
        weights : ndarray of shape (K,), float64
        means : ndarray of shape (K, n_features), float64
        factors : ndarray
        """
        K, d = means.shape
        W = np.empty((K, self.expanded_length(d)))
        whitened = self.linear_and_quadratic(means, factors, W)
        peaks = log_weights(weights) + self.log_normalisers(factors, K, d)
        W[:, 0] = peaks - 0.5 * (whitened**2).sum(axis=1)
        return W

    def lift(self, covariances: Array, amount: float) -> Array:
        """Add `amount` to every variance, in place, and return the covariances."""
        variances = self.variances(covariances)
        variances += amount
        return covariances

    def unit(self, K: int, d: int) -> Array:
        """Return covariances of unit variances."""
        return self.lift(np.zeros(self.shape(K, d)), 1.0)


def log_weights(weights: Array) -> Array:
    """Return the log of the weights, `LOG_ZERO` for a weight of 0."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(weights), LOG_ZERO)
