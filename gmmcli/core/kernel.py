"""The hot path: one block in, log densities, responsibilities and statistics out.

A block is feature-major, (n_features, n_rows), in standard units. The E-step is one matrix product
Q = W φ, the M-step one product T = R φᵀ. A component for which the expanded form would lose digits is
evaluated in centred form instead, about its own mean. numpy only: predict pays for this import.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gmmcli.core import family
from gmmcli.core.mixture import Array, Booleans, CovarianceType, Mixture
from gmmcli.core.statistics import Statistics

EPS = float(np.finfo(np.float64).eps)
# Beyond this estimate a component is evaluated in centred form. The estimate is of one rounding and there are
# several: at 4e-10 log densities keep the 1e-9 that is promised (docs/decisions/0005).
EXPANDED_ERROR = 4e-10
MAX_EXPANDED_BYTES = 32 * 2**20
MIN_BLOCK_ROWS, MAX_BLOCK_ROWS = 256, 4096
# Of φ and Q of a block. Measured over d 2 to 128 and K 8 to 64: shorter blocks lose more to the interpreter
# than they win from the second-level cache.
BLOCK_BYTES = 2**23


def is_faster_centred(covariance_type: CovarianceType, n_features: int, n_components: int) -> bool:
    """Tell whether the centred form is the faster one, as measured (docs/decisions/0003)."""
    return covariance_type == "full" and n_features >= 32 and 8 * n_components <= n_features


def block_rows(covariance_type: CovarianceType, n_features: int, n_components: int) -> int:
    """Return the rows of a block: a power of two that depends on type, d and K alone."""
    if is_faster_centred(covariance_type, n_features, n_components):
        return MAX_BLOCK_ROWS
    row_bytes = 8 * (family.expanded_length(covariance_type, n_features) + n_components)
    rows = 1 << max(BLOCK_BYTES // row_bytes, 1).bit_length() - 1
    return min(max(rows, MIN_BLOCK_ROWS), MAX_BLOCK_ROWS)


def centred_components(mixture: Mixture, factors: Array) -> Booleans:
    """Return which components are evaluated in centred form; decided from the mixture alone.

    Notes
    -----
    ½·eps·(‖μ‖² + tr Σ)·λmax(Σ⁻¹) > 4e-10 (numerics, section 3). tr Σ⁻¹ bounds λmax(Σ⁻¹) from above, so
    eigenvalues are computed only where that cheap bound does not settle it.
    """
    K, d = mixture.means.shape
    is_too_long = 8 * family.expanded_length(mixture.covariance_type, d) * MIN_BLOCK_ROWS > MAX_EXPANDED_BYTES
    if is_too_long or is_faster_centred(mixture.covariance_type, d, K):
        return np.ones(K, dtype=bool)
    norms = (mixture.means**2).sum(axis=1)
    match mixture.covariance_type:
        case "full":
            traces = np.trace(mixture.covariances, axis1=1, axis2=2)
            sharpest = (factors**2).sum(axis=(1, 2))
            for k in np.flatnonzero(0.5 * EPS * (norms + traces) * sharpest > EXPANDED_ERROR):
                sharpest[k] = np.linalg.norm(factors[k], 2) ** 2
        case "tied":
            traces = np.trace(mixture.covariances)
            sharpest = np.linalg.norm(factors, 2) ** 2
        case "diag":
            traces = mixture.covariances.sum(axis=1)
            sharpest = (factors**2).max(axis=1)
        case "spherical":
            traces = d * mixture.covariances
            sharpest = factors**2
    unsafe = 0.5 * EPS * (norms + traces) * sharpest > EXPANDED_ERROR
    if mixture.covariance_type == "tied":
        return np.full(K, unsafe.any())
    return np.asarray(unsafe)


class Workspace:
    """The arrays one thread works in, allocated once.

    Parameters
    ----------
    mixture : Mixture
        Any mixture of the shape and type that will be evaluated.
    n_rows : int
        The longest block.
    """

    def __init__(self, mixture: Mixture, n_rows: int) -> None:
        K, d = mixture.means.shape
        self._phi: Array | None = None
        self._phi_shape = (family.expanded_length(mixture.covariance_type, d), n_rows)
        self.log_resp = np.empty((K, n_rows))
        self.peak = np.empty(n_rows)
        self.total = np.empty(n_rows)
        self.centred = np.empty((d, n_rows))
        self.whitened = np.empty((d, n_rows))

    @property
    def phi(self) -> Array:
        """φ of a block; made when first asked for, as a mixture all in centred form has no use for it."""
        if self._phi is None:
            self._phi = np.empty(self._phi_shape)
        return self._phi


@dataclass(eq=False)
class Sums:
    """Statistics of some blocks before they are named: T has the shape of W. They add in place."""

    T: Array
    scatter: Array | None
    log_likelihood: float
    log_max_posterior: float
    rows: int
    total_weight: float

    def __iadd__(self, other: Self) -> Self:
        """Add the sums of further blocks."""
        self.T += other.T
        if self.scatter is not None and other.scatter is not None:
            self.scatter += other.scatter
        self.log_likelihood += other.log_likelihood
        self.log_max_posterior += other.log_max_posterior
        self.rows += other.rows
        self.total_weight += other.total_weight
        return self


class Kernel:
    """A mixture made ready to be evaluated on many blocks.

    Parameters
    ----------
    mixture : Mixture
        In standard units.

    Raises
    ------
    CovarianceNotPositive
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.factors = family.precision_factors(mixture)
        self.is_centred = centred_components(mixture, self.factors)
        self.reference = np.where(self.is_centred[:, None], mixture.means, 0.0)
        self._all_centred = bool(self.is_centred.all())
        self._natural = None if self._all_centred else family.natural(mixture, self.factors)
        self._log_peaks = family.log_weights(mixture) + family.log_normalisers(mixture, self.factors)

    def log_joint(self, X: Array, work: Workspace) -> tuple[Array, Array | None]:
        """Return log w_k + log N(z | k) of every row, up to a shift per row.

        Parameters
        ----------
        X : ndarray of shape (n_features, n_rows), float64
            Finite. Finiteness is the caller's duty.
        work : Workspace

        Returns
        -------
        log_joint : ndarray of shape (K, n_rows), float64
            A view of the workspace.
        shift : ndarray of shape (n_rows,), float64, or None
            What has to be added to every component of a row: the quadratic that tied components share.
        """
        n = X.shape[1]
        Q = work.log_resp[:, :n]
        shift = None
        if self._natural is not None:
            phi = work.phi[:, :n]
            family.expand(X, self.mixture.covariance_type, out=phi)
            np.matmul(self._natural, phi, out=Q)
            if self.mixture.covariance_type == "tied":
                shift = -0.5 * _squared_norms(np.matmul(self.factors, X, out=work.whitened[:, :n]))
        for k in map(int, np.flatnonzero(self.is_centred)):
            q = _squared_norms(self._whiten(k, X, work))
            np.multiply(q, -0.5, out=Q[k])
            Q[k] += self._log_peaks[k]
        return Q, shift

    def distances(self, X: Array, work: Workspace) -> Array:
        """Return the Mahalanobis distance of every row to every component, in sd.

        Always in centred form: next to a mean the expanded form would leave nothing but rounding.

        Returns
        -------
        ndarray of shape (K, n_rows), float64
        """
        squared = [_squared_norms(self._whiten(k, X, work)) for k in range(self.mixture.n_components)]
        return np.asarray(np.sqrt(np.stack(squared)))

    def expectation(
        self, X: Array, work: Workspace, row_weights: Array | None = None, *, hard: bool = False
    ) -> tuple[Sums, Array]:
        """Sum the posterior-weighted expanded features of one block.

        Parameters
        ----------
        X : ndarray of shape (n_features, n_rows), float64
            Finite, in standard units, feature-major. Finiteness is the caller's duty.
        work : Workspace
        row_weights : ndarray of shape (n_rows,), optional
            Non-negative; a row of weight 2 counts as two rows.
        hard : bool
            Give a row to its most probable component alone, sharing it equally among ties, and let its log
            density be that of this component: Lloyd's algorithm in the language of EM.

        Returns
        -------
        sums : Sums
            `log_likelihood` in nats, summed over the block.
        log_density : ndarray of shape (n_rows,), float64
            Of each row, not weighted.

        Notes
        -----
        4·K·D flops and K exponentials per row. Numerics, section 2; Dempster, Laird and Rubin (1977).
        """
        resp, shift = self.log_joint(X, work)
        log_density, log_max_posterior = _harden(resp, work) if hard else normalise(resp, work)
        if shift is not None:
            log_density += shift
        if row_weights is None:
            rows, total_weight = X.shape[1], float(X.shape[1])
            log_likelihood, certainty = log_density.sum(), log_max_posterior.sum()
        else:
            resp *= row_weights
            rows, total_weight = int(np.count_nonzero(row_weights)), float(row_weights.sum())
            log_likelihood, certainty = log_density @ row_weights, log_max_posterior @ row_weights
        T, scatter = self._sum_features(X, resp, work)
        return Sums(T, scatter, float(log_likelihood), float(certainty), rows, total_weight), log_density

    def statistics(self, sums: Sums) -> Statistics:
        """Return the statistics that sums of this kernel's blocks stand for."""
        covariance_type = self.mixture.covariance_type
        return Statistics(
            **family.moments(sums.T, sums.scatter, self.reference, covariance_type),
            reference=self.reference,
            log_likelihood=sums.log_likelihood,
            log_max_posterior=sums.log_max_posterior,
            rows=sums.rows,
            total_weight=sums.total_weight,
            covariance_type=covariance_type,
        )

    def _whiten(self, k: int, X: Array, work: Workspace) -> Array:
        """Return F_k (z − μ_k), shape (n_features, n_rows)."""
        n = X.shape[1]
        centred, whitened = work.centred[:, :n], work.whitened[:, :n]
        np.subtract(X, self.mixture.means[k][:, None], out=centred)
        match self.mixture.covariance_type:
            case "full":
                np.matmul(self.factors[k], centred, out=whitened)
            case "tied":
                np.matmul(self.factors, centred, out=whitened)
            case "diag":
                np.multiply(centred, self.factors[k][:, None], out=whitened)
            case "spherical":
                np.multiply(centred, self.factors[k], out=whitened)
        return whitened

    def _sum_features(self, X: Array, resp: Array, work: Workspace) -> tuple[Array, Array | None]:
        """Return T = R φᵀ, rows of centred components about their means; for tied also the scatter."""
        n, tied = X.shape[1], self.mixture.covariance_type == "tied"
        K, d = self.mixture.means.shape
        scatter = np.zeros((d, d)) if tied else None
        if self._all_centred:
            T = np.empty((K, family.expanded_length(self.mixture.covariance_type, d)))
        else:
            T = np.matmul(resp, work.phi[:, :n].T)
            if tied:
                mass = resp.sum(axis=0)
                np.matmul(np.multiply(X, mass, out=work.whitened[:, :n]), X.T, out=scatter)
        for k in map(int, np.flatnonzero(self.is_centred)):
            self._sum_centred(k, X, resp[k], T[k], scatter, work)
        return T, scatter

    def _sum_centred(
        self, k: int, X: Array, resp: Array, T: Array, scatter: Array | None, work: Workspace
    ) -> None:
        """Write Σ r φ(z − μ_k) into T; add its quadratic to the scatter where the type keeps one."""
        n, d = X.shape[1], X.shape[0]
        centred, weighted = work.centred[:, :n], work.whitened[:, :n]
        np.subtract(X, self.mixture.means[k][:, None], out=centred)
        np.multiply(centred, resp, out=weighted)
        T[0] = resp.sum()
        T[1 : 1 + d] = weighted.sum(axis=1)
        match self.mixture.covariance_type:
            case "full":
                T[1 + d :] = (weighted @ centred.T)[np.triu_indices(d)]
            case "tied":
                assert scatter is not None  # noqa: S101
                scatter += weighted @ centred.T
            case "diag":
                T[1 + d :] = np.einsum("ij,ij->i", weighted, centred)
            case "spherical":
                T[1 + d] = np.einsum("ij,ij->", weighted, centred)


def normalise(log_joint: Array, work: Workspace) -> tuple[Array, Array]:
    """Turn log joint densities into responsibilities, in place.

    Parameters
    ----------
    log_joint : ndarray of shape (K, n_rows), float64
        Overwritten with the responsibilities.
    work : Workspace

    Returns
    -------
    log_density, log_max_posterior : ndarray of shape (n_rows,), float64
    """
    n = log_joint.shape[1]
    peak = np.max(log_joint, axis=0, out=work.peak[:n])
    log_joint -= peak
    np.exp(log_joint, out=log_joint)
    total = np.sum(log_joint, axis=0, out=work.total[:n])
    log_joint /= total
    log_total: Array = np.log(total)
    return log_total + peak, -log_total


def _harden(log_joint: Array, work: Workspace) -> tuple[Array, Array]:
    """Give each row to its best component, in place, ties sharing; the best is its log density."""
    peak: Array = np.max(log_joint, axis=0)
    np.equal(log_joint, peak, out=log_joint)
    shares = np.sum(log_joint, axis=0, out=work.total[: peak.size])
    log_joint /= shares
    return peak, -np.log(shares)


def _squared_norms(X: Array) -> Array:
    """Return ‖x‖² of each column."""
    return np.asarray(np.einsum("ij,ij->j", X, X))
