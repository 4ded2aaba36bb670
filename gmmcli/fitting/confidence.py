"""How sure a fit is of its optimum: what the starts of its race met."""

from dataclasses import dataclass

from gmmcli.core.start.race import Optimum
from gmmcli.core.start.starts import AGREEING, Choice
from gmmcli.fitting.rows import TrainingRows
from gmmcli.notices import Notice, Notify
from gmmcli.tables import wording

# If too few starts agree, so many times as many are worth a try.
_MORE = 10
# What is wrong with a component of so many rows.
_FACTS = {
    "few_rows": "a component has only {rows}",
    "narrow": "a component of {rows} is as narrow as --min-sd allows",
    "small": "a component of {rows} is far smaller than the others",
}


@dataclass(frozen=True)
class Confidence:
    """What the starts of a race met; means are over the rows of the race, in nats and the table's units.

    Parameters
    ----------
    count : int
        Number of starts.
    optima : int
        Number of different optima.
    reached_best : int
        Number of starts that reached the chosen one, or were on the way to it.
    mean_log_likelihood : float
        Of the chosen one.
    runner_up : float or None
        Mean log-likelihood of the best other one that is sound.
    spurious : int
        Number of optima that look spurious.
    """

    count: int
    optima: int
    reached_best: int
    mean_log_likelihood: float
    runner_up: float | None
    spurious: int


def confidence_of(choice: Choice, rows: TrainingRows) -> Confidence | None:
    """Return what a race met; None if there was none."""
    if not choice.optima:
        return None
    best, *others = choice.optima

    def mean(one: Optimum) -> float:
        """Return the mean log-likelihood of an optimum, in the table's units."""
        return one.log_likelihood / rows.partitions.sample.total_weight - rows.units.log_jacobian

    return Confidence(
        count=choice.n_starts,
        optima=len(choice.optima),
        reached_best=best.n_starts,
        mean_log_likelihood=mean(best),
        runner_up=max((mean(one) for one in others if one.is_sound), default=None),
        spurious=sum(not one.is_sound for one in choice.optima),
    )


def tell_of_doubt(choice: Choice, tell: Notify, *, is_alone: bool) -> None:
    """Report an optimum that was set aside although it is more likely, and starts that do not agree.

    `is_alone` tells whether the model was not chosen among several: those give starts to each other.
    """
    if not choice.optima:
        return
    best, *others = choice.optima
    ahead = [one for one in others if one.flaw is not None and one.log_likelihood > best.log_likelihood]
    most = max(ahead, key=lambda one: one.log_likelihood, default=best)
    if most.flaw is not None and best.is_sound:
        gain = most.log_likelihood - best.log_likelihood
        fact = _FACTS[most.flaw.kind].format(rows=wording.counted(round(most.flaw.rows), "row"))
        text = f"an optimum that is {gain:.3g} nats more likely looks spurious: {fact}"
        tell(Notice("spurious_optimum", text, "information", {"gain": gain, "optima": len(ahead)}))
    if is_alone and best.n_starts < AGREEING and len(choice.optima) > 1:
        text = f"only {best.n_starts} of {choice.n_starts} starts reached the best optimum"
        text += f"; to try more: --fresh --restarts {_MORE * choice.n_starts}"
        tell(Notice("starts_disagree", text, "information"))
