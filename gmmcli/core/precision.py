"""Precision factors and Cholesky factors of a mixture, with an error that names what is singular.

numpy only: predict pays for this import.
"""

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import LEAST_VARIANCE
from gmmcli.core.mixture import Mixture
from gmmcli.errors import CovarianceNotPositive


def precision_factors(mixture: Mixture) -> Array:
    """Return the inverse Cholesky factor of every covariance: Σ⁻¹ = FᵀF.

    Returns
    -------
    ndarray
        Shaped like the covariances; lower triangular for matrices, 1/sd for variances.

    Raises
    ------
    CovarianceNotPositive

    Notes
    -----
    K·d³ work for full.
    """
    with blaming(mixture):
        return mixture.structure.factors(mixture.covariances)


@contextlib.contextmanager
def blaming(mixture: Mixture) -> Iterator[None]:
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
    variances, directions = np.linalg.eigh(mixture.matrices)
    # Relative to the largest variance: a component may be small, but not flat in one direction.
    largest = np.maximum(np.abs(variances).max(axis=1), np.finfo(float).tiny)
    is_nothing = variances[:, 0] < LEAST_VARIANCE
    k = int(np.argmin(np.where(is_nothing, -1.0, variances[:, 0] / largest)))
    features = np.flatnonzero(np.abs(directions[k, :, 0]) > 0.5 / np.sqrt(mixture.n_features))
    component = None if mixture.structure.is_shared else k
    raise CovarianceNotPositive(component, tuple(map(int, features)))
