"""Rows drawn from a mixture."""

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.mixture import Mixture
from gmmcli.core.precision import blaming


def draw(mixture: Mixture, n_rows: int, seed: int) -> tuple[Array, Integers]:
    """Draw independent rows.

    Parameters
    ----------
    mixture : Mixture
        The rows have its units.
    n_rows : int
    seed : int
        For numpy's default generator. The same seed draws the same rows.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
    components : ndarray of shape (n_rows,), int64
        The component that each row was drawn from.

    Raises
    ------
    CovarianceNotPositive

    Notes
    -----
    A row of component k is μ_k + L z, where LLᵀ is the covariance and z is standard normal.
    """
    rng = np.random.default_rng(seed)
    components = rng.choice(mixture.n_components, size=n_rows, p=mixture.weights / mixture.weights.sum())
    Z = rng.standard_normal((n_rows, mixture.n_features))
    with blaming(mixture):
        spread = mixture.structure.spread(Z, mixture.covariances, components)
    return mixture.means[components] + spread, components
