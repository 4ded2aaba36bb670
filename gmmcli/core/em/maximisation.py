"""The M-step: the mixture of maximum likelihood, given statistics."""

from dataclasses import dataclass

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import EPS, Structure
from gmmcli.core.mixture import Mixture
from gmmcli.core.statistics import Statistics

PARAMS = "wmc"
# A variance below this multiple of --reg-covar comes mostly from it.
_MOSTLY_ADDED = 2.0
# An sd is at its bound within this factor, since rounding moves the smallest of very different sds.
_AT_BOUND = 1.1
# A covariance that changes by less than this, in units of d · eps, changes by rounding alone.
_ROUNDING = 16.0


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

    def limits(self, n_features: int) -> Array:
        """Return the sds at which rows contribute little to a variance, or nothing, shape (n_features,)."""
        added = np.full(n_features, _MOSTLY_ADDED * self.reg_covar)
        if self.narrowest is not None:
            added = np.maximum(added, (_AT_BOUND * self.narrowest) ** 2)
        return np.asarray(np.sqrt(added))

    def regularise(self, structure: Structure, covariances: Array) -> Array:
        """Return covariances within the bound, with `reg_covar` added; may change the given array."""
        if self.narrowest is not None:
            covariances = structure.bound(covariances, self.narrowest)
        return structure.lift(covariances, self.reg_covar)


def _settled(structure: Structure, covariances: Array, previous: Mixture) -> Array:
    """Return covariances; where all of one change by rounding alone, the previous ones.

    The likelihood of a covariance at its bound depends on its last digits. Without this, it would waver for
    ever instead of converging.
    """
    d = previous.n_features
    sds = np.sqrt(structure.by_feature(covariances, d))
    scales = structure.magnitudes(sds)
    changes = np.abs(covariances - previous.covariances) > _ROUNDING * EPS * d * scales
    has_changed = np.asarray(changes.reshape(len(sds), -1).any(axis=1))
    if structure.is_shared:
        return covariances if has_changed[0] else previous.covariances.copy()
    kept = has_changed.reshape(-1, *[1] * (covariances.ndim - 1))
    return np.where(kept, covariances, previous.covariances)


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
        covariances = rules.regularise(family.structure, covariances)
        if rules.narrowest is not None:
            covariances = _settled(family.structure, covariances, previous)
        if not family.is_equal:
            covariances[empty] = previous.covariances[empty]
        covariances.setflags(write=False)  # the mixture keeps it without a copy
    return Mixture(weights, means, covariances, previous.covariance_type)
