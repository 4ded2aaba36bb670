"""Mixtures and rows to try things on, drawn from a generator."""

import numpy as np

from gmmcli.core.families import CovarianceType
from gmmcli.core.mixture import Mixture


def random_covariance(rng: np.random.Generator, d: int, condition: float = 10.0) -> np.ndarray:
    """Return a rotated covariance whose eigenvalues run evenly in logs from 1/condition to 1."""
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    eigenvalues = np.logspace(-np.log10(condition), 0, d) if d > 1 else np.ones(1)
    covariance = (rotation * eigenvalues) @ rotation.T
    return (covariance + covariance.T) / 2


def in_shape_of(covariance_type: CovarianceType, full: np.ndarray) -> np.ndarray:
    """Return full covariances, (K, d, d), reduced to what the type keeps."""
    if covariance_type.startswith("tied-"):
        full = np.broadcast_to(full[0], full.shape)
    return {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": np.trace(full, axis1=1, axis2=2) / full.shape[1],
    }[covariance_type.removeprefix("tied-")]


def random_mixture(
    rng: np.random.Generator,
    covariance_type: CovarianceType,
    n_components: int,
    n_features: int,
    condition: float = 10.0,
) -> Mixture:
    """Return a mixture of about standard size, with unequal weights."""
    full = np.array([random_covariance(rng, n_features, condition) for _ in range(n_components)])
    weights = rng.uniform(0.5, 1.5, n_components)
    means = rng.normal(size=(n_components, n_features))
    return Mixture(weights / weights.sum(), means, in_shape_of(covariance_type, full), covariance_type)


def random_rows(rng: np.random.Generator, mixture: Mixture, n_rows: int, spread: float = 1.0) -> np.ndarray:
    """Return rows around the means, (d, n), feature-major."""
    d = mixture.n_features
    centers = mixture.means[rng.choice(mixture.n_components, n_rows)]
    return np.ascontiguousarray((centers + spread * rng.normal(size=(n_rows, d))).T)
