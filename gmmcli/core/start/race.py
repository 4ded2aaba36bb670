"""The race of the starts: EM of all, until the gain of each one tells which can win."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gmmcli.core.em.maximisation import Rules
from gmmcli.core.em.stopping import has_converged, remaining_gain
from gmmcli.core.mixture import Mixture
from gmmcli.core.start.together import Runner, Together, is_narrow

# Steps of a round; after each one, starts that cannot win are dropped.
_ROUND = 10
_MOST_ROUNDS = 30
# A start is judged after so many rounds: before that its gain tells little.
_JUDGED = 2
# A start may get the rows that a component lacks in so many rounds, if another start has them.
_LACKING = 3
# The gain that a start may still have, as a multiple of its estimated remaining gain, and in nats.
_MARGIN, _SLACK = 10.0, 1.0
# A start has converged if less than this remains to gain, in nats over all rows.
_SETTLED = 1e-3
# Two starts are at the same optimum if their log-likelihoods differ by less, in nats, and their weights and
# their means in standard units by less.
_SAME, _SAME_PARAMETERS = 0.05, 0.05


@dataclass(frozen=True, eq=False)
class Optimum:
    """A mixture that starts have reached.

    Parameters
    ----------
    mixture : Mixture
    number : int
        Of the first start that reached it.
    log_likelihood : float
        Of all rows, nats, standard units.
    is_sound : bool
        Whether each component has the rows that its covariance needs, and is wider than its bound.
    n_starts : int
        How many starts reached it.
    """

    mixture: Mixture
    number: int
    log_likelihood: float
    is_sound: bool
    n_starts: int = 1


@dataclass(eq=False)
class Race:
    """A race of starts on one table.

    Parameters
    ----------
    together : Together
    rules : Rules
    n_rows : int
        Rows of positive weight.
    total_weight : float
    fallback : int
        The number of the start that is best if none is sound.
    """

    together: Together
    rules: Rules
    n_rows: int
    total_weight: float
    fallback: int = 0
    optima: list[Optimum] = field(default_factory=list)

    def run(self, mixtures: Sequence[Mixture], tell: Callable[[str], None]) -> list[Optimum]:
        """Return the optima that the starts reach, the best one first.

        A sound optimum is better than any unsound one, whatever its likelihood.

        Parameters
        ----------
        mixtures : sequence of Mixture
            In the order of the portfolio.
        tell : callable
            Called with a line of text after each round.
        """
        runners = [Runner(i, mixture) for i, mixture in enumerate(mixtures)]
        for round_ in range(1, _MOST_ROUNDS + 1):
            runners = self._judge(self.together.advance(runners, _ROUND), round_)
            if not runners:
                break
            tell(f"{len(runners)} of {len(mixtures)} starts after {_ROUND * round_} steps")
        for runner in runners:
            self._add(runner, is_sound=self._has_rows(runner))
        if not self.optima:  # no start can be evaluated: the run will name the columns
            return [Optimum(mixtures[self.fallback], self.fallback, -np.inf, is_sound=False)]
        # If the rows are too few for the covariances, the likelihood tells nothing.
        has_sound = any(one.is_sound for one in self.optima)
        return sorted(
            self.optima,
            key=lambda one: (
                not one.is_sound,
                not has_sound and one.number != self.fallback,
                -one.log_likelihood,
                one.number,
            ),
        )

    def _judge(self, runners: Sequence[Runner], round_: int) -> list[Runner]:
        """Return the starts that go on."""
        collapsed = [one for one in runners if is_narrow(one.mixture, self.rules)]
        sound = [one for one in runners if one not in collapsed and self._has_rows(one)]
        reached = [self._log_likelihood(one) for one in sound]
        reached += [one.log_likelihood for one in self.optima if one.is_sound]
        best, left = max(reached, default=-np.inf), list[Runner]()
        for runner in runners:
            if runner in collapsed or has_converged(runner.likelihoods, _SETTLED / self.total_weight):
                self._add(runner, is_sound=runner in sound)
            elif runner in sound:
                if round_ < _JUDGED or self._may_reach(runner, best):
                    left.append(runner)
            elif round_ < _LACKING or not reached:
                left.append(runner)
        return self._distinct(left) if round_ >= _JUDGED else left

    def _may_reach(self, runner: Runner, best: float) -> bool:
        """Tell whether a start may still gain enough to reach a log-likelihood."""
        gain = remaining_gain(runner.likelihoods)
        if gain is None:
            return True
        return self._log_likelihood(runner) + _MARGIN * gain * self.total_weight + _SLACK >= best

    def _distinct(self, runners: Sequence[Runner]) -> list[Runner]:
        """Return the starts without those that are on the way of another one."""
        kept: list[Runner] = []
        for runner in runners:
            here = self._log_likelihood(runner)
            is_new = not any(
                abs(self._log_likelihood(other) - here) < _SAME and _are_same(other.mixture, runner.mixture)
                for other in kept
            )
            if is_new:
                kept.append(runner)
        return kept

    def _add(self, runner: Runner, *, is_sound: bool) -> None:
        """Add what a start has reached to the optima."""
        found = Optimum(runner.mixture, runner.number, self._log_likelihood(runner), is_sound)
        for i, other in enumerate(self.optima):
            is_near = abs(other.log_likelihood - found.log_likelihood) < _SAME
            if is_near and _are_same(other.mixture, found.mixture):
                better = max(other, found, key=lambda one: one.log_likelihood)
                self.optima[i] = replace(better, number=other.number, n_starts=other.n_starts + 1)
                return
        self.optima.append(found)

    def _log_likelihood(self, runner: Runner) -> float:
        """Return the log-likelihood of all rows in the last step of a start."""
        return runner.likelihoods[-1] * self.total_weight

    def _has_rows(self, runner: Runner) -> bool:
        """Tell whether each component has as many rows as its covariance needs."""
        counts = runner.counts * (self.n_rows / self.total_weight)
        return bool((counts >= runner.mixture.family.least_count(runner.mixture.n_features)).all())


def _are_same(one: Mixture, other: Mixture) -> bool:
    """Tell whether two mixtures are the same but for the order of their components."""
    first, second = np.argsort(one.means[:, 0]), np.argsort(other.means[:, 0])
    is_near = np.abs(one.means[first] - other.means[second]).max() < _SAME_PARAMETERS
    return bool(is_near and np.abs(one.weights[first] - other.weights[second]).max() < _SAME_PARAMETERS)
