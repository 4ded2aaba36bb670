"""EM as a textbook writes it: long double, every difference from a mean taken first, one component at a time.

Rows are feature-major, (n_features, n_rows), as everywhere in core.
"""

from dataclasses import dataclass

import numpy as np

from gmmcli.core.mixture import Mixture

LOG_2PI = np.log(2 * np.longdouble("3.14159265358979323846264338327950288"))


@dataclass(frozen=True)
class SlowExpectation:
    """Responsibilities already multiplied by the weights of the rows, and what E reports."""

    resp: np.ndarray
    log_density: np.ndarray
    log_likelihood: np.longdouble
    log_max_posterior: np.longdouble


def full_covariance(mixture: Mixture, k: int) -> np.ndarray:
    """Return the covariance matrix of one component, (d, d)."""
    unit = np.eye(mixture.n_features, dtype=np.longdouble)
    match mixture.covariance_type:
        case "full":
            return mixture.covariances[k].astype(np.longdouble)
        case "tied":
            return mixture.covariances.astype(np.longdouble)
        case _:
            return unit * mixture.covariances[k]


def cholesky(covariance: np.ndarray) -> np.ndarray:
    """Return the lower triangular factor."""
    lower = np.zeros_like(covariance)
    for j in range(len(covariance)):
        column = covariance[j:, j] - lower[j:, :j] @ lower[j, :j]
        lower[j:, j] = column / np.sqrt(column[0])
    return lower


def distances(X: np.ndarray, mixture: Mixture) -> np.ndarray:
    """Return squared Mahalanobis distances, (K, n)."""
    squared = []
    for k, mean in enumerate(mixture.means):
        lower = cholesky(full_covariance(mixture, k))
        whitened = X.astype(np.longdouble) - mean[:, None]
        for i in range(len(lower)):
            whitened[i] = (whitened[i] - lower[i, :i] @ whitened[:i]) / lower[i, i]
        squared.append((whitened**2).sum(axis=0))
    return np.array(squared)


def log_joint(X: np.ndarray, mixture: Mixture) -> np.ndarray:
    """Return log w_k + log N(x | k), (K, n); −∞ where the weight is 0."""
    halves = [
        np.log(np.diag(cholesky(full_covariance(mixture, k)))).sum() for k in range(mixture.n_components)
    ]
    with np.errstate(divide="ignore"):
        log_weights = np.log(mixture.weights.astype(np.longdouble))
    peaks = log_weights - np.array(halves) - mixture.n_features * LOG_2PI / 2
    return peaks[:, None] - distances(X, mixture) / 2


def log_density(X: np.ndarray, mixture: Mixture) -> np.ndarray:
    """Return log Σ_k w_k N(x | k), (n,)."""
    joint = log_joint(X, mixture)
    peak = joint.max(axis=0)
    return peak + np.log(np.exp(joint - peak).sum(axis=0))


def expectation(
    X: np.ndarray, mixture: Mixture, row_weights: np.ndarray | None = None, *, hard: bool = False
) -> SlowExpectation:
    """Do one E; hard: each row to its best components, in equal shares."""
    joint = log_joint(X, mixture)
    best = joint.max(axis=0)
    shares = (joint == best).astype(np.longdouble) if hard else np.exp(joint - best)
    resp = shares / shares.sum(axis=0)
    density = best if hard else best + np.log(shares.sum(axis=0))
    w = np.ones(X.shape[1]) if row_weights is None else row_weights
    return SlowExpectation(resp * w, density, (density * w).sum(), (np.log(resp.max(axis=0)) * w).sum())


def maximise(
    X: np.ndarray, resp: np.ndarray, previous: Mixture, params: str = "wmc", reg_covar: float = 0.0
) -> Mixture:
    """Do one M by the definitions: weighted means, then weighted mean squares about them."""
    K, d = previous.means.shape
    counts = resp.sum(axis=1)
    used = counts > 64 * np.finfo(float).eps * counts.sum()
    weights, means = previous.weights, previous.means.astype(np.longdouble)
    if "w" in params:
        weights = np.where(used, counts, 0) / counts[used].sum()
    if "m" in params:
        for k in np.flatnonzero(used):
            means[k] = (X * resp[k]).sum(axis=1) / counts[k]
    covariances = previous.covariances
    if "c" in params:
        scatters = np.zeros((K, d, d), dtype=np.longdouble)
        for k in np.flatnonzero(used):
            centred = X - means[k][:, None]
            scatters[k] = (centred * resp[k]) @ centred.T
        covariances = _covariances(scatters, counts, used, previous, reg_covar)
    return Mixture(weights, means, covariances, previous.covariance_type)


def _covariances(
    scatters: np.ndarray, counts: np.ndarray, used: np.ndarray, previous: Mixture, reg_covar: float
) -> np.ndarray:
    """Return scatters over counts in the shape of the type; an unused component keeps what it had."""
    d = scatters.shape[1]
    if previous.covariance_type.startswith("tied"):
        pooled = scatters.sum(axis=0) / counts[used].sum() + reg_covar * np.eye(d)
        K = len(counts)
        return {
            "tied": pooled,
            "tied-diag": np.tile(np.diag(pooled), (K, 1)),
            "tied-spherical": np.full(K, np.trace(pooled) / d),
        }[previous.covariance_type]
    covariances = previous.covariances.astype(np.longdouble)
    for k in np.flatnonzero(used):
        covariance = scatters[k] / counts[k] + reg_covar * np.eye(d)
        covariances[k] = {
            "full": covariance,
            "diag": np.diag(covariance),
            "spherical": np.trace(covariance) / d,
        }[previous.covariance_type]
    return covariances
