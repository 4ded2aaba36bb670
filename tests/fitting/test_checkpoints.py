"""Which steps of a run are published, with and without a validation table: by a writer that collects."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from oracles.one_table import OneTable

from gmmcli.core.em.loop import Step
from gmmcli.core.em.memory import Memory, Standing
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Expectation
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import Units
from gmmcli.fitting.checkpoints import Checkpoints
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Stopping, TimeUp, follow
from gmmcli.fitting.settings import Settings
from gmmcli.fitting.starts import Start
from gmmcli.fitting.validation import Validation
from gmmcli.store.checkpoint import OperandRecord
from gmmcli.tables.operands import TableRequest

MIXTURE = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), "full")
UNITS = Units(np.zeros(1), np.ones(1))
TRAINING, HELD_OUT = (
    TrainingRows(("x",), UNITS, OneTable([[X]]).table, (OperandRecord(name, 1, 4, digest * 64),))
    for name, X, digest in (("t", np.arange(4.0)[None], "a"), ("v", np.ones((1, 4)), "b"))
)


@dataclass
class Collected:
    """A writer whose checkpoints stay in memory."""

    path: Path = Path("m")
    best: int | None = None
    published: list = field(default_factory=list)

    def publish(self, checkpoint, *, fresh):
        """Publish a checkpoint."""
        self.published.append(checkpoint)
        return SimpleNamespace(generation=len(self.published), checkpoint=checkpoint)

    @property
    def steps(self):
        """Of what was published, in order."""
        return [checkpoint.global_step for checkpoint in self.published]


class Judge:
    """An engine that returns given likelihoods for the validation table, one per check."""

    def __init__(self, likelihoods):
        self._likelihoods = iter(likelihoods)

    def expectation(self, table, mixture, *, hard=False):
        """Return the next of the likelihoods."""
        assert table is HELD_OUT.table
        return expectation_of(next(self._likelihoods))


def expectation_of(mean_log_likelihood):
    empty = Statistics.empty("full", 1, 1)
    statistics = replace(empty, log_likelihood=4 * mean_log_likelihood, rows=4, total_weight=4.0)
    return Expectation(statistics, np.full(4, mean_log_likelihood))


def steps_of(n, first=0, error=None, began=0):
    """Yield steps that gain less and less, then raise."""
    for number in range(first, first + n):
        likelihood = -1 / (1 + number)
        yield Step(MIXTURE, expectation_of(likelihood), number, (likelihood,), Memory(began=began))
    if error is not None:
        raise error


def plan_of(stored=None, **asked):
    request = FitRequest(Path("m"), TableRequest(("t.csv",)), **asked)
    request.check()
    return Plan(request, stored, Settings.of_new_model({"components": 1}), None, ("x",))


def followed(plan, steps, stopping, likelihoods=None):
    """Follow steps, return (why they ended, what was published, the checks)."""
    writer, observers, validation = Collected(), [stopping], None
    if likelihoods is not None:
        validation = Validation(plan, TRAINING, HELD_OUT, Judge(likelihoods), lambda step, found: None)
        observers.append(validation)
    start = Start.of(MIXTURE, UNITS)
    if plan.stored is not None:
        number = plan.stored.checkpoint.global_step
        start = Start(SimpleNamespace(number=number), MIXTURE, UNITS)
    checkpoints = Checkpoints(writer, plan, TRAINING, start, validation)
    ending = follow(steps, observers, checkpoints)
    return SimpleNamespace(ending=ending, writer=writer, validation=validation, checkpoints=checkpoints)


def stored_at(step, began=0):
    """Return a checkpoint of a step that a run published before it was cut off."""
    run = followed(plan_of(), steps_of(1, step, TimeUp(), began), Stopping(0.0, None, 99))
    return SimpleNamespace(generation=1, checkpoint=run.writer.published[0])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"checkpoint_steps": 2}, [2, 4, 5]),
        ({"checkpoint_steps": 5}, [5]),
        ({"checkpoint_seconds": 0.0}, [0, 1, 2, 3, 4, 5]),
        ({"checkpoint_seconds": 1e9}, [5]),
        ({}, [5]),
    ],
)
def test_steps_are_published_as_often_as_was_asked_for_and_at_the_end(asked, expected):
    """They are published every N steps or seconds, by default every ten minutes."""
    run = followed(plan_of(**asked), steps_of(9), Stopping(0.0, 5, 99))

    assert (run.ending, run.writer.steps) == ("steps", expected)


def test_steps_between_checkpoints_are_counted_from_the_one_that_is_continued():
    """With --checkpoint-steps 2, every second step is published, and the last."""
    plan = plan_of(stored_at(3), checkpoint_steps=2)

    run = followed(plan, steps_of(9, 3), Stopping(0.0, 8, 99))

    assert run.writer.steps == [5, 7, 8]


def test_a_step_that_is_published_is_not_published_again():
    """A run without a new step writes no checkpoint."""
    run = followed(plan_of(stored_at(7, began=None)), steps_of(1, 7), Stopping(0.0, 7, 99))

    assert (run.ending, run.writer.steps) == ("steps", [])


def test_a_run_that_is_cut_off_publishes_its_last_whole_step_and_not_twice():
    """Its memory holds the step where the run began; at the end of a run, it does not."""
    cut = followed(plan_of(checkpoint_steps=2), steps_of(3, error=TimeUp()), Stopping(0.0, None, 99))
    again = followed(plan_of(checkpoint_steps=2), steps_of(4, error=TimeUp()), Stopping(0.0, None, 99))
    whole = followed(plan_of(), steps_of(9), Stopping(0.0, 2, 99))

    assert (cut.ending, cut.writer.steps) == ("time_limit", [2])
    assert again.writer.steps == [2, 3]
    assert again.writer.published[-1].memory.began == 0
    assert whole.writer.published[-1].memory.began is None


def test_a_partial_fit_is_published_whole_or_not_at_all():
    """A partial fit that is cut off publishes nothing. Its step may have the number of an old checkpoint."""
    cut = followed(plan_of(partial=True, steps=3), steps_of(2, error=TimeUp()), Stopping(0.0, 3, 99))
    whole = followed(plan_of(stored_at(3), partial=True, steps=0), steps_of(1, 3), Stopping(0.0, 3, 99))

    assert cut.writer.steps == []
    assert whole.writer.steps == [3]


def test_the_history_of_log_likelihoods_grows_by_those_of_the_run():
    """The history has all steps, published or not, the oldest first."""
    run = followed(plan_of(checkpoint_steps=3), steps_of(9), Stopping(0.0, 4, 99))

    histories = [checkpoint.log_likelihoods.tolist() for checkpoint in run.writer.published]
    assert histories == [[-4 / (1 + i) for i in range(last + 1)] for last in (3, 4)]


CHECKS = {
    "a gain at each check": ([-5.0, -4.0, -3.0, -2.0], None, "steps", [0, 2, 4, 5], 5),
    "patience for as many checks": ([-5.0, -6.0, -7.0, -2.0], 3, "steps", [0, 2, 4, 5], 5),
    "patience for one check": ([-5.0, -6.0], 1, "patience", [0, 2], 0),
    "patience for two checks": ([-5.0, -4.0, -4.0, -4.5], 2, "steps", [0, 2, 4, 5], 2),
    "a best within the run": ([-5.0, -4.0, -6.0, -7.0], None, "steps", [0, 2, 4, 5], 2),
}


@pytest.mark.parametrize("case", CHECKS)
def test_steps_that_are_checked_are_published_and_patience_ends_the_run(case):
    """Every second step and the last are checked; the best is protected, and published again at the end."""
    likelihoods, patience, ending, published, best = CHECKS[case]
    plan = plan_of(validation="v.csv", patience=patience, checkpoint_steps=2)

    run = followed(plan, steps_of(9), Stopping(0.0, 5, 99), likelihoods)

    assert (run.ending, run.writer.steps) == (ending, published)
    assert run.writer.published[run.writer.best - 1].global_step == best
    assert [checkpoint.memory.validation.checked_step for checkpoint in run.writer.published] == published

    run.checkpoints.finish(run.ending)

    assert run.writer.steps == published + ([] if best == published[-1] else [best])
    assert run.checkpoints.newest.checkpoint.global_step == best
    assert run.checkpoints.newest.checkpoint.memory.began is None


def test_a_run_that_is_cut_off_leaves_its_newest_step_the_newest():
    """The best checkpoint is not published again, since the next run continues from the newest step."""
    plan = plan_of(validation="v.csv", checkpoint_steps=2)
    run = followed(plan, steps_of(3, error=TimeUp()), Stopping(0.0, 5, 99), [-5.0, -6.0])

    run.checkpoints.finish(run.ending)

    assert (run.ending, run.writer.steps, run.writer.best) == ("time_limit", [0, 2], 1)


def test_a_best_that_a_signal_left_unchecked_is_known_to_be_it_when_it_is_checked():
    """A signal published the step before its check; the check of the next run marks it as the best."""
    stored = stored_at(1)
    plan = plan_of(stored, validation="v.csv", checkpoint_steps=1)

    run = followed(plan, steps_of(9, 1), Stopping(0.0, 3, 99), [-1.0, -2.0, -3.0])

    assert run.writer.steps == [2, 3]
    assert run.writer.best == stored.generation
    run.checkpoints.finish(run.ending)
    assert run.writer.steps == [2, 3, 1]


@pytest.mark.parametrize("likelihoods", [None, [-1.0]])
def test_a_last_step_that_a_signal_published_is_published_once_more_as_the_end(likelihoods):
    """A signal published it as unfinished; the next run publishes it again as finished, and checked."""
    stored = stored_at(3)
    plan = plan_of(stored, validation=None if likelihoods is None else "v.csv")

    run = followed(plan, steps_of(1, 3), Stopping(0.0, 3, 99), likelihoods)

    assert stored.checkpoint.memory.began == 0
    assert run.writer.steps == [3]
    memory = run.writer.published[0].memory
    assert memory.began is None
    assert likelihoods is None or memory.validation.best_step == 3


def checks_of(stored, **asked):
    plan = plan_of(stored, validation="v.csv", **asked)
    return Validation(plan, TRAINING, HELD_OUT, Judge([]), lambda step, found: None)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, None),
        ({"patience": 2}, None),
        ({"patience": 1}, "patience"),
        ({"max_steps": 4}, None),
        ({"max_steps": 3}, "steps"),
    ],
)
def test_where_earlier_runs_came_to_the_end_nothing_is_left_to_do(asked, expected):
    """The run ends at once if earlier runs used up the patience, or made and checked all steps."""
    before = Standing(-1.0, 2, 1, 3, checks_of(None).standing.table)
    stored = stored_at(3)
    object.__setattr__(stored.checkpoint, "memory", Memory(validation=before))

    validation = checks_of(stored, **asked)

    assert validation.standing == before
    assert validation.ending_of_earlier_runs(SimpleNamespace(number=3, memory=Memory())) == expected


def test_checks_against_another_table_do_not_count():
    """Their best likelihood and their misses are dropped."""
    stored = stored_at(3)
    other = Standing(-1.0, 2, 7, 3, "0123456789ab")
    object.__setattr__(stored.checkpoint, "memory", Memory(validation=other))

    validation = checks_of(stored, patience=1)

    assert validation.standing == Standing(table=checks_of(None).standing.table)
    assert not validation.is_exhausted
