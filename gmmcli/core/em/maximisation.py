"""The M-step: the mixture of maximum likelihood, given statistics."""

from dataclasses import dataclass

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import EPS
from gmmcli.core.mixture import Mixture
from gmmcli.core.statistics import Statistics

PARAMS = "wmc"


@dataclass(frozen=True, eq=False)
class Rules:
    """The rules of a run: how it makes steps, and when it has converged.

    Parameters
    ----------
    params : str
        The letters of the blocks to update: w for weights, m for means, c for covariances. Covariances are
        taken about frozen means.
    reg_covar : float
        Added to every updated variance, in standard units.
    narrowest : ndarray of shape (n_features,), float64, or None
        No component is narrower than these sds, in standard units, in any direction.
    tol : float
        A run has converged if the estimated remaining gain per unit weight, in nats, is below this.
    """

    params: str = PARAMS
    reg_covar: float = 0.0
    tol: float = 0.0
    narrowest: Array | None = None


def empty_components(statistics: Statistics) -> list[int]:
    """Return the components whose count is rounding error: below 64·eps of the total weight."""
    return [int(k) for k in np.flatnonzero(statistics.counts < 64 * EPS * statistics.total_weight)]


def maximise(statistics: Statistics, previous: Mixture, rules: Rules) -> Mixture:
    """Return the mixture of maximum likelihood for the statistics.

    Parameters
    ----------
    statistics : Statistics
        Gathered under `previous`.
    previous : Mixture
        Source of the frozen blocks. An empty component keeps its mean and covariance and gets weight 0.
    rules : Rules

    Returns
    -------
    Mixture
        In standard units. The kernel that uses it checks that it is positive definite.
    """
    weights, means, covariances = previous.weights, previous.means, previous.covariances
    family = previous.family
    empty = empty_components(statistics)
    counts = statistics.counts.copy()
    counts[empty] = 0.0
    divisors = np.where(counts > 0, counts, 1.0)
    if "w" in rules.params:
        weights = counts / counts.sum()
    if "m" in rules.params:
        means = statistics.reference + statistics.sums / divisors[:, None]
        means[empty] = previous.means[empty]
    if "c" in rules.params:
        squares = statistics.shifted(means).squares
        covariances = family.choose(squares, counts, previous.n_features)
        if rules.narrowest is not None:
            covariances = family.structure.bound(covariances, rules.narrowest)
        covariances = family.structure.lift(covariances, rules.reg_covar)
        if not family.is_equal:
            covariances[empty] = previous.covariances[empty]
        covariances.setflags(write=False)  # the mixture keeps it without a copy
    return Mixture(weights, means, covariances, previous.covariance_type)
