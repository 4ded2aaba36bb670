"""The loop: E, (M, E)*. Each E with the mixture it belongs to is a pair, and only whole pairs leave.

Where the expectations come from (threads, files, other machines) is the engine's business.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from gmmcli.core import family
from gmmcli.core.constants import EPS
from gmmcli.core.mixture import Array, Mixture
from gmmcli.core.statistics import Statistics

PARAMS = "wmc"


@dataclass(frozen=True, eq=False)
class Expectation:
    """What one E over a table returns.

    Parameters
    ----------
    statistics : Statistics
    log_densities : ndarray of shape (min(n, 2²⁰),), float64
        Of rows ⌊i·n/m⌋, standard units: the sample for the quantiles.
    """

    statistics: Statistics
    log_densities: Array

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit weight, nats, standard units."""
        return self.statistics.log_likelihood / self.statistics.total_weight


@dataclass(frozen=True, eq=False)
class Pair:
    """A mixture and its own E: what a checkpoint holds.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    expectation : Expectation
    step : int
        M-steps in the life of the model.
    likelihoods : tuple of float
        Mean log-likelihoods of this table, newest last, three at most, of consecutive plain steps: the
        stopping state.
    run : mapping of str to ndarray of float64
        What else has to be known to go on from here.
    """

    mixture: Mixture
    expectation: Expectation
    step: int
    likelihoods: tuple[float, ...]
    run: Mapping[str, Array] = field(default_factory=dict)

    def followed_by(self, mixture: Mixture, expectation: Expectation) -> "Pair":
        """Return the pair that a plain step leads to."""
        likelihoods = (*self.likelihoods, expectation.mean_log_likelihood)[-3:]
        return replace(
            self, mixture=mixture, expectation=expectation, step=self.step + 1, likelihoods=likelihoods
        )

    @property
    def remaining_gain(self) -> float | None:
        """Estimated gain per unit weight, in nats, that further steps would bring; None where unknown."""
        return remaining_gain(self.likelihoods)

    def has_converged(self, tol: float) -> bool:
        """Tell whether further steps would bring less than `tol` per unit weight: see `has_converged`."""
        return has_converged(self.likelihoods, tol)


def part_of(run: Mapping[str, Array], names: Iterable[str]) -> dict[str, Array]:
    """Return what a run state holds under some names."""
    return {name: run[name] for name in names if name in run}


Expect: TypeAlias = Callable[[Mixture], Expectation]
Mend: TypeAlias = Callable[[Pair, Mixture], Pair | None]


def leave_alone(pair: Pair, stepped: Mixture) -> None:
    """Mend nothing: an `em.Mend`."""


def remaining_gain(likelihoods: Sequence[float]) -> float | None:
    """Estimate how far three consecutive mean log-likelihoods are from their limit.

    Returns
    -------
    float or None
        None with fewer than three values, or where the gains grow.

    Notes
    -----
    Aitken's extrapolation of a linearly converging sequence; Böhning et al. (1994). "The gain is small"
    alone would stop early wherever EM is slow.
    """
    if len(likelihoods) < 3:
        return None
    l0, l1, l2 = likelihoods[-3:]
    d1, d2 = l1 - l0, l2 - l1
    if abs(d2) <= 64 * EPS * abs(l2):
        return 0.0
    ratio = d2 / d1 if d1 else d2 * np.inf
    if ratio >= 1:
        return None
    return abs(d2) if ratio < 0 else abs(d2) * ratio / (1 - ratio)


def has_converged(likelihoods: Sequence[float], tol: float) -> bool:
    """Tell whether three consecutive mean log-likelihoods are within `tol` of their limit.

    Notes
    -----
    The last gain has to be below `tol` as well as what is estimated to remain. A rate below ½ says that less
    remains than was gained last; where the first of the two gains is that of a first step, which is out of
    proportion, it says nothing at all (docs/decisions/0011).
    """
    gain = remaining_gain(likelihoods)
    return gain is not None and gain < tol and (gain == 0 or abs(likelihoods[-1] - likelihoods[-2]) < tol)


def empty_components(statistics: Statistics) -> list[int]:
    """Return the components whose count is rounding alone: below 64·eps of the total weight."""
    return [int(k) for k in np.flatnonzero(statistics.counts < 64 * EPS * statistics.total_weight)]


def maximise(
    statistics: Statistics, previous: Mixture, params: str = PARAMS, reg_covar: float = 0.0
) -> Mixture:
    """Return the mixture that makes the statistics most likely.

    Parameters
    ----------
    statistics : Statistics
        Gathered under `previous`.
    previous : Mixture
        Source of what is frozen. An empty component keeps its mean and covariance and gets weight 0.
    params : str
        Which of weights, means, covariances are updated. With frozen means, covariances are taken about them.
    reg_covar : float
        Added to every updated variance, in standard units.

    Returns
    -------
    Mixture
        In standard units. Positive definiteness is checked by the kernel that uses it.
    """
    weights, means, covariances = previous.weights, previous.means, previous.covariances
    covariance_type = previous.covariance_type
    empty = empty_components(statistics)
    counts = statistics.counts.copy()
    counts[empty] = 0.0
    divisors = np.where(counts > 0, counts, 1.0)
    if "w" in params:
        weights = counts / counts.sum()
    if "m" in params:
        means = statistics.reference + statistics.sums / divisors[:, None]
        means[empty] = previous.means[empty]
    if "c" in params:
        about = family.covariances_about(statistics, means, counts if covariance_type == "tied" else divisors)
        covariances = family.add_to_variances(about, reg_covar, covariance_type)
        if covariance_type != "tied":
            covariances[empty] = previous.covariances[empty]
        covariances.setflags(write=False)  # the mixture keeps it without a copy
    return Mixture(weights, means, covariances, covariance_type)


@dataclass(frozen=True)
class Rules:
    """How a run makes steps, as in `maximise`, and the tolerance by which it judges that it has converged."""

    params: str = PARAMS
    reg_covar: float = 0.0
    tol: float = 0.0

    def maximise(self, statistics: Statistics, previous: Mixture) -> Mixture:
        """Return the M of statistics that were gathered under `previous`."""
        return maximise(statistics, previous, self.params, self.reg_covar)


def begin(
    mixture: Mixture,
    expectation: Expect,
    *,
    step: int = 0,
    likelihoods: Sequence[float] = (),
    run: Mapping[str, Array] | None = None,
) -> Pair:
    """Return the pair that a run begins with, by one E.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    expectation : callable
        One E over this run's table.
    step : int
        M-steps done before.
    likelihoods : sequence of float
        Mean log-likelihoods of the pairs of this table before `mixture`'s own, newest last.
    run : mapping, optional
        Of the pair that the run goes on from.

    Raises
    ------
    CovarianceNotPositive
    """
    found = expectation(mixture)
    return Pair(mixture, found, step, (*likelihoods, found.mean_log_likelihood)[-3:], run or {})


def restarted(mended: Pair, expectation: Expect) -> Pair:
    """Return a mended pair with its own E: the beginning of likelihoods that follow no others."""
    return begin(mended.mixture, expectation, step=mended.step, run=mended.run)


def iterate(pair: Pair, expectation: Expect, rules: Rules, mend: Mend = leave_alone) -> Iterator[Pair]:
    """Yield the pairs of a run, without end: the first, then (M, E)*.

    Parameters
    ----------
    pair : Pair
        The first.
    expectation : callable
        One E over this run's table.
    rules : Rules
    mend : callable
        Given a pair and what M makes of it, may return another pair to go on with, its E still to be made.

    Raises
    ------
    CovarianceNotPositive
        From the kernel, while the next pair is asked for.
    """
    while True:
        yield pair
        stepped = rules.maximise(pair.expectation.statistics, pair.mixture)
        mended = mend(pair, stepped)
        if mended is not None:
            pair = restarted(mended, expectation)
        else:
            pair = pair.followed_by(stepped, expectation(stepped))
