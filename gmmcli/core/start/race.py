"""The race of the starts: EM of all, until the gain of each one tells which can win."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gmmcli.core.em.maximisation import Rules
from gmmcli.core.em.stopping import has_converged, remaining_gain
from gmmcli.core.mixture import Mixture
from gmmcli.core.start.soundness import NEARLY, Flaw, find_flaw, find_small
from gmmcli.core.start.together import Runner, Together

# Steps of a round; after each one, starts that cannot win are dropped.
_ROUND = 10
_MOST_ROUNDS = 30
# A start is judged after so many rounds: before that its gain tells little.
_JUDGED = 2
# A start may get the rows that a component lacks in so many rounds, if another start has them.
_LACKING = 3
# The gain that a start may still have, as a multiple of its estimated remaining gain.
_MARGIN = 10.0
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
    flaw : Flaw or None
        Why it looks spurious; None if it is sound.
    n_starts : int
        How many starts reached it, or were on the way to it.
    """

    mixture: Mixture
    number: int
    log_likelihood: float
    flaw: Flaw | None
    n_starts: int = 1

    @property
    def is_sound(self) -> bool:
        """Whether nothing looks spurious."""
        return self.flaw is None


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
    n_starts: int = 0

    def run(self, mixtures: Sequence[Mixture], tell: Callable[[str], None]) -> list[Optimum]:
        """Return the optima that these starts and earlier ones reach, the best one first.

        A sound optimum is better than any unsound one, whatever its likelihood.

        Parameters
        ----------
        mixtures : sequence of Mixture
            In the order of the portfolio.
        tell : callable
            Called with a line of text after each round.
        """
        runners = [Runner(self.n_starts + i, mixture) for i, mixture in enumerate(mixtures)]
        self.n_starts += len(mixtures)
        for round_ in range(1, _MOST_ROUNDS + 1):
            runners = self._judge(self.together.advance(runners, _ROUND), round_)
            if not runners:
                break
            tell(f"{len(runners)} of {len(mixtures)} starts after {_ROUND * round_} steps")
        for runner in runners:
            self._add(runner, self._flaw(runner))
        if not self.optima:  # no start can be evaluated: the run will name the columns
            return [Optimum(mixtures[self.fallback], self.fallback, -np.inf, Flaw("few_rows", None, 0.0))]
        self._mark_small()
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
        flaws = {runner.number: self._flaw(runner) for runner in runners}
        reached = [(self._log_likelihood(one), one.mixture) for one in runners if flaws[one.number] is None]
        reached += [(one.log_likelihood, one.mixture) for one in self.optima if one.is_sound]
        best = self._to_reach(reached) if round_ >= _JUDGED else -np.inf
        left = list[Runner]()
        for runner in runners:
            flaw = flaws[runner.number]
            is_narrow = flaw is not None and flaw.kind == "narrow"
            if is_narrow or has_converged(runner.likelihoods, _SETTLED / self.total_weight):
                self._add(runner, flaw)
            elif flaw is None:
                if self._may_reach(runner, best):
                    left.append(runner)
            elif round_ < _LACKING or not reached:
                left.append(runner)
        return self._distinct(left) if round_ >= _JUDGED else left

    def _to_reach(self, reached: Sequence[tuple[float, Mixture]]) -> float:
        """Return the log-likelihood that a start must reach, given those that sound starts have reached.

        A mixture with a far smaller component loses to others that are nearly as likely: see `_mark_small`.
        """
        least = -np.inf
        for log_likelihood, mixture in sorted(reached, key=lambda pair: -pair[0]):
            is_small = find_small(mixture) is not None
            least = max(least, log_likelihood - (NEARLY if is_small else 0.0))
            if not is_small or log_likelihood < least:
                break
        return least

    def _may_reach(self, runner: Runner, best: float) -> bool:
        """Tell whether a start may still gain enough to reach a log-likelihood."""
        gain = remaining_gain(runner.likelihoods)
        if gain is None:
            return True
        return self._log_likelihood(runner) + _MARGIN * gain * self.total_weight + NEARLY >= best

    def _distinct(self, runners: Sequence[Runner]) -> list[Runner]:
        """Return the starts without those that are on the way of another one."""
        kept: list[Runner] = []
        for runner in runners:
            here = self._log_likelihood(runner)
            for i, other in enumerate(kept):
                is_near = abs(self._log_likelihood(other) - here) < _SAME
                if is_near and _are_same(other.mixture, runner.mixture):
                    kept[i] = replace(other, n_starts=other.n_starts + runner.n_starts)
                    break
            else:
                kept.append(runner)
        return kept

    def _add(self, runner: Runner, flaw: Flaw | None) -> None:
        """Add what a start has reached to the optima."""
        found = Optimum(runner.mixture, runner.number, self._log_likelihood(runner), flaw, runner.n_starts)
        for i, other in enumerate(self.optima):
            is_near = abs(other.log_likelihood - found.log_likelihood) < _SAME
            if is_near and _are_same(other.mixture, found.mixture):
                better = max(other, found, key=lambda one: one.log_likelihood)
                n_starts = other.n_starts + found.n_starts
                self.optima[i] = replace(better, number=other.number, n_starts=n_starts)
                return
        self.optima.append(found)

    def _log_likelihood(self, runner: Runner) -> float:
        """Return the log-likelihood of all rows in the last step of a start."""
        return runner.likelihoods[-1] * self.total_weight

    def _flaw(self, runner: Runner) -> Flaw | None:
        """Return why a start looks spurious."""
        counts = runner.counts * (self.n_rows / self.total_weight)
        return find_flaw(runner.mixture, counts, self.rules.limits(runner.mixture.n_features))

    def _mark_small(self) -> None:
        """Mark sound optima with a far smaller component, if one without is nearly as likely as the best."""
        sound = sorted((one for one in self.optima if one.is_sound), key=lambda one: -one.log_likelihood)
        small = [(one, find_small(one.mixture)) for one in sound]
        rival = next((one for one, component in small if component is None), None)
        if rival is None or sound[0].log_likelihood - rival.log_likelihood > NEARLY:
            return
        for one, component in small[: sound.index(rival)]:
            if component is not None:
                rows = float(one.mixture.weights[component]) * self.n_rows
                self.optima[self.optima.index(one)] = replace(one, flaw=Flaw("small", component, rows))


def _are_same(one: Mixture, other: Mixture) -> bool:
    """Tell whether two mixtures are the same but for the order of their components."""
    first, second = np.argsort(one.means[:, 0]), np.argsort(other.means[:, 0])
    is_near = np.abs(one.means[first] - other.means[second]).max() < _SAME_PARAMETERS
    return bool(is_near and np.abs(one.weights[first] - other.weights[second]).max() < _SAME_PARAMETERS)
