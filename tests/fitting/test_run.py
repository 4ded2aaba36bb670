"""The run: its steps, what ends it and what it keeps, on rows in memory and without a file."""

from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from oracles.one_table import OneTable
from oracles.same import assert_same

from gmmcli.core.em import acceleration, incremental, loop, stepwise
from gmmcli.core.em.loop import Origin, Step
from gmmcli.core.em.memory import Converged, Memory, Standing
from gmmcli.core.em.reseeding import Reseeding
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Expectation
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import Units
from gmmcli.errors import OutOfMemory, Stopped
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.run import Stopping, TimeUp, first_step_of, follow, run
from gmmcli.fitting.settings import Settings
from gmmcli.tables.operands import TableRequest

MIXTURE = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), "full")
N_ROWS = 600
UNITS = Units(np.zeros(2), np.ones(2))
# What may cut a run off between two steps.
CUTS = [Stopped(15), TimeUp(), OutOfMemory("memory", "ended"), KeyboardInterrupt()]


class Kept:
    """A keeper that records the steps that it is shown, with their endings, and steps of cut-off runs."""

    def __init__(self):
        self.seen, self.cut_off = [], []

    def look(self, step, ending):
        """Keep every step that it is shown."""
        self.seen.append((step.number, ending))

    def keep(self, step):
        """Keep the last whole step of a run that is cut off."""
        self.cut_off.append(step.number)


def rules_for(plan):
    """Return the rules of a plan in the units of these tests."""
    return plan.settings.rules(UNITS)


def steps_of(*likelihoods, error=None, first=0):
    """Yield steps with these mean log-likelihoods, then raise."""
    seen = ()
    for number, likelihood in enumerate(likelihoods, first):
        seen = (*seen, likelihood)[-3:]
        yield Step(MIXTURE, Expectation(Statistics.empty("full", 1, 1), np.empty(0)), number, seen)
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("stopping", "ending", "last"),
    [
        (Stopping(1e-6, 2, 99), "steps", 2),
        (Stopping(1e-6, 0, 99), "steps", 0),
        (Stopping(9.0, 2, 0), "steps", 2),
        (Stopping(0.6, None, 99), "converged", 2),
        (Stopping(1e-6, None, 3), "max_iter", 3),
        (Stopping(0.6, None, 2), "converged", 2),
    ],
)
def test_a_run_ends_where_its_stopping_says(stopping, ending, last):
    """Counted runs end at their last step, other runs at convergence or at their cap."""
    kept = Kept()

    assert follow(steps_of(-9.0, -5.0, -4.5, -4.4, -4.39), [stopping], kept) == ending

    assert kept.seen == [*((i, None) for i in range(last)), (last, ending)]
    assert kept.cut_off == []


def test_a_counted_run_that_is_at_its_step_already_makes_none():
    """Its first step has the number of the checkpoint and is its last."""
    kept = Kept()

    assert follow(steps_of(-4.0, first=7), [Stopping(1e-6, 7, 99)], kept) == "steps"

    assert kept.seen == [(7, "steps")]


@pytest.mark.parametrize(
    "error", [Stopped(15), TimeUp(), OutOfMemory("memory", "ended"), KeyboardInterrupt()]
)
def test_whatever_cuts_a_run_off_its_last_whole_step_is_kept(error):
    """The pass under way is lost, the step before it is kept; a time limit ends the run without an error."""
    kept, never = Kept(), Stopping(1e-6, None, 99)

    if isinstance(error, TimeUp):
        assert follow(steps_of(-9.0, -5.0, error=error), [never], kept) == "time_limit"
    else:
        with pytest.raises(type(error)):
            follow(steps_of(-9.0, -5.0, error=error), [never], kept)

    assert kept.seen == [(0, None), (1, None)]
    assert kept.cut_off == [1]


@pytest.mark.parametrize(
    "error", [Stopped(15), TimeUp(), OutOfMemory("memory", "ended"), KeyboardInterrupt()]
)
def test_before_the_first_step_there_is_nothing_to_keep(error):
    """The first step is not complete, so nothing is kept."""
    kept = Kept()

    with pytest.raises(type(error)):
        follow(steps_of(error=error), [Stopping(1e-6, None, 99)], kept)

    assert kept.seen == kept.cut_off == []


@pytest.mark.parametrize("error", [RuntimeError("enough"), KeyboardInterrupt(), Stopped(2), TimeUp()])
def test_what_an_observer_raises_loses_no_step(error):
    """The keeper keeps the step once, and no further step is shown."""
    kept, asked_after = Kept(), []

    def fail(step, ending):
        if step.number == 1:
            raise error

    def ask(step, ending):
        asked_after.append(step.number)

    if isinstance(error, TimeUp):
        assert follow(steps_of(-5.0, -4.0, -3.0), [fail, ask], kept) == "time_limit"
    else:
        with pytest.raises(type(error)):
            follow(steps_of(-5.0, -4.0, -3.0), [fail, ask], kept)

    assert asked_after == [0]
    assert kept.seen == [(0, None)]
    assert set(kept.cut_off) == {1}


def test_observers_are_asked_in_order_each_told_what_the_ones_before_it_say():
    """The last observer decides, even if it continues a run that an earlier one would end."""
    heard = []

    def observer(name, answers):
        def look(step, ending):
            heard.append((name, step.number, ending))
            return answers.get(step.number, ending)

        return look

    first = observer("first", {1: "monitor", 2: "monitor"})
    kept = Kept()

    ending = follow(steps_of(*range(9)), [first, observer("second", {1: None, 2: "patience"})], kept)

    assert ending == "patience"
    assert heard == [
        ("first", 0, None), ("second", 0, None),
        ("first", 1, None), ("second", 1, "monitor"),
        ("first", 2, None), ("second", 2, "monitor"),
    ]  # fmt: skip
    assert kept.seen == [(0, None), (1, None), (2, "patience")]


def test_an_ending_that_was_found_before_is_left_as_it_is():
    """If a monitor ends the run at its last step, the ending is "monitor"."""
    (step,) = steps_of(-4.0)

    assert Stopping(1e-6, 0, 0)(step, "monitor") == "monitor"


def test_no_step_is_asked_for_after_the_end():
    """Each step costs a pass over the rows."""
    steps = steps_of(-9.0, -8.0, -7.0)

    follow(steps, [Stopping(1e-6, 1, 99)], Kept())

    assert next(steps).number == 2


def plan_of(stored=None, settings=(), **asked):
    """Return the plan of a run, of a new model or one that continues a checkpoint."""
    request = FitRequest(Path("m"), TableRequest(("t.csv",)), dict(settings), **asked)
    request.check()
    return Plan(request, stored, Settings.of_new_model({"components": 3, **dict(settings)}), None)


@pytest.fixture(scope="module")
def rows():
    """Return a table of three overlapping clusters, on which EM is slow."""
    rng = np.random.default_rng(1)
    X = (
        rng.normal(size=(2, N_ROWS))
        + 1.5 * np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 0.0]])[:, np.arange(N_ROWS) % 3]
    )
    return OneTable([[np.ascontiguousarray(X)]])


START = Mixture(
    np.full(3, 1 / 3), np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]]), np.stack([np.eye(2)] * 3), "full"
)


def told(components, step):
    """Fail: no component is re-seeded here."""
    raise AssertionError


def steps(rows, plan, origin, n):
    """Return the first steps of a run."""
    return list(islice(run(plan, rules_for(plan), origin, rows.engine, rows.table, told), n))


def assert_same_steps(found, expected):
    """Compare numbers, likelihoods and mixtures to the last bit, but not memories."""
    for one, other in zip(found, expected, strict=True):
        assert (one.number, one.likelihoods) == (other.number, other.likelihoods)
        assert_same(one.mixture, other.mixture)


def test_a_counted_run_makes_plain_steps(rows):
    """Three steps and four more are seven steps; of the memory, only the number of re-seedings is kept."""
    plan = plan_of(steps=4)
    origin = Origin(START, 5, (), Memory(reseeded=2, began=1, converged=Converged(1e-6, 0)))

    found = steps(rows, plan, origin, 12)

    plain = islice(loop.iterate(Origin(START, 5), rows.engine, rows.table, rules_for(plan)), 12)
    assert_same_steps(found, list(plain))
    assert_same(found[-1].memory, Memory(reseeded=2))


def test_a_run_to_convergence_is_accelerated_and_remembers_the_step_it_began_with(rows):
    """If the model has acceleration turned off, the steps are plain."""
    fast, slow = plan_of(), plan_of(settings={"accelerate": "none"})
    mend = Reseeding(rows.table, told)
    accelerated = acceleration.iterate(Origin(START, 5), rows.engine, rows.table, rules_for(fast), mend, 1005)
    plain = loop.iterate(Origin(START, 5), rows.engine, rows.table, rules_for(slow), mend)

    by_jumps, by_steps = (steps(rows, plan, Origin(START, 5), 25) for plan in (fast, slow))

    assert_same_steps(by_jumps, list(islice(accelerated, 25)))
    assert_same_steps(by_steps, list(islice(plain, 25)))
    assert {step.memory.began for step in by_jumps + by_steps} == {5}
    assert all(step.memory.cycle is not None for step in by_jumps)
    assert all(step.memory.cycle is None for step in by_steps)


def test_an_accelerated_run_does_not_pass_over_its_cap(rows):
    """A jump may take two steps."""
    for max_iter in range(6, 24):
        kept, plan = Kept(), plan_of(max_iter=max_iter, settings={"tol": 0.0})
        origin = Origin(START, 5)
        stopping = Stopping.of(plan, origin, N_ROWS)

        ending = follow(run(plan, rules_for(plan), origin, rows.engine, rows.table, told), [stopping], kept)

        assert (ending, kept.seen[-1]) == ("max_iter", (5 + max_iter, "max_iter"))


@pytest.mark.parametrize(
    "asked", [{}, {"batch_size": 70}, {"settings": {"accelerate": "none"}}], ids=["jumps", "batches", "plain"]
)
def test_a_run_that_goes_on_from_any_of_its_steps_makes_the_same_ones(rows, asked):
    """The passes are counted from the first step of the run, not from the step where it was cut off."""
    plan = plan_of(**asked)
    whole = steps(rows, plan, Origin(START, 5), 24)

    for stop in range(0, 23, 5):
        step = whole[stop]
        origin = Origin(step.mixture, step.number, step.likelihoods[:-1], step.memory)
        again = steps(rows, plan, origin, 24 - stop)

        assert_same_steps(again, whole[stop:])
        assert_same([one.memory for one in again], [one.memory for one in whole[stop:]])
        assert Stopping.of(plan, origin, N_ROWS) == Stopping.of(plan, Origin(START, 5), N_ROWS)


def test_what_a_run_remembers_of_others_is_forgotten(rows):
    """A run keeps only the memory of its own algorithm: a counted run drops cycle and batches, and so on."""
    cycle = steps(rows, plan_of(), Origin(START), 8)[-1].memory.cycle
    batches = steps(rows, plan_of(batch_size=70), Origin(START), 3)[-1].memory.stepwise
    everything = Memory(1, True, None, cycle, batches, Standing(), Converged(1e-6, 0))
    origin = Origin(START, 9, (), everything)

    counted, fast, plain, by_batches = (
        steps(rows, plan, origin, 1)[0].memory
        for plan in (
            plan_of(steps=3),
            plan_of(),
            plan_of(settings={"accelerate": "none"}),
            plan_of(batch_size=70),
        )
    )

    assert_same(counted, Memory(1))
    assert_same(fast, Memory(1, began=9, cycle=cycle))
    assert_same(plain, Memory(1, began=9))
    assert_same(by_batches, Memory(1, began=9, stepwise=batches))


@pytest.mark.parametrize("asked", [{"steps": 20}, {"max_steps": 25}])
def test_a_counted_run_by_batches_ends_within_a_pass(rows, asked):
    """Other steps are shown only at the end of a pass."""
    plan, origin, kept = plan_of(batch_size=70, **asked), Origin(START, 5), Kept()

    ending = follow(
        run(plan, rules_for(plan), origin, rows.engine, rows.table, told),
        [Stopping.of(plan, origin, N_ROWS)],
        kept,
    )

    assert ending == "steps"
    assert [number for number, _ in kept.seen] == [5, 14, 23, 25]  # nine batches of 70 rows are a pass
    by_batches = stepwise.iterate(origin, rows.engine, rows.table, rules_for(plan), 70, 25)
    assert [step.number for step in islice(by_batches, 4)] == [5, 14, 23, 25]


@pytest.mark.parametrize("decay", [None, 0.25])
def test_a_partial_fit_adds_to_the_stored_statistics(rows, decay):
    """The stored statistics are multiplied by the decay; likelihoods of several mixtures are not compared."""
    statistics = rows.expectation(START).statistics
    stored = SimpleNamespace(checkpoint=SimpleNamespace(statistics=statistics))
    plan = plan_of(stored, partial=True, decay=decay, steps=2)
    new = OneTable([[rows.all_rows()[:100].T + 0.5]])
    origin = Origin(START, 7, (-3.0, -2.0), Memory(reseeded=1, began=2))

    found = steps(new, plan, origin, 3)

    kept_rows = statistics.scaled(1.0 if decay is None else decay)
    expected = incremental.absorb(Origin(START, 7), new.engine, new.table, rules_for(plan), kept_rows)
    assert_same_steps(found, list(islice(expected, 3)))
    assert [len(step.likelihoods) for step in found] == [1, 1, 1]
    assert_same(found[-1].memory, Memory(reseeded=1, approximate=True))
    weights = [step.expectation.statistics.total_weight for step in found]
    assert weights == [pytest.approx(N_ROWS * (decay or 1.0) + 100, rel=1e-14)] * 3


def test_a_partial_fit_of_a_new_model_is_em_on_its_rows(rows):
    """Without earlier rows, all statistics are computed under one mixture."""
    plan = plan_of(partial=True)

    found = steps(rows, plan, Origin(START), 2)

    plain = islice(loop.iterate(Origin(START), rows.engine, rows.table, rules_for(plan)), 2)
    assert_same([one.mixture for one in found], [one.mixture for one in plain])
    assert_same(found[-1].memory, Memory())


@pytest.mark.parametrize(
    ("settings", "moves"),
    [
        ({"init": "kmeans"}, True),
        ({"init": "kmeans", "params": "wm"}, False),
        ({}, False),
        ({"init": "sha256:" + "0" * 64}, False),
    ],
)
def test_starved_components_move_only_where_the_user_has_said_nothing_of_them(rows, settings, moves):
    """They stay if parameters are frozen, or if a file gave the means."""
    means = START.means.copy()
    means[2] = 1e3
    moved = []

    plan = plan_of(steps=3, settings=settings)
    found = run(
        plan,
        rules_for(plan),
        Origin(replace(START, means=means)),
        rows.engine,
        rows.table,
        lambda components, step: moved.append((components, step)),
    )

    last = list(islice(found, 3))[-1]
    assert moved == ([([2], 1)] if moves else [])
    assert last.memory.reseeded == int(moves)


STOPPINGS = {
    "a new run to convergence": ({}, Origin(START), (None, 1000)),
    "one that goes on": ({}, Origin(START, 40, (), Memory(began=30)), (None, 1030)),
    "one whose count is over": ({"max_iter": 9}, Origin(START, 40, (), Memory(began=30)), (None, 49)),
    "one that ended before": ({}, Origin(START, 40), (None, 1040)),
    "passes of batches": ({"max_iter": 10, "batch_size": 70}, Origin(START, 5), (None, 5 + 10 * 9)),
    "steps more": ({"steps": 6}, Origin(START, 40), (46, 1040)),
    "steps of the model": ({"max_steps": 60}, Origin(START, 40), (60, 1040)),
    "a partial fit": ({"partial": True}, Origin(START, 40), (41, 1040)),
    "a partial fit of three steps": ({"partial": True, "steps": 3}, Origin(START, 40), (43, 1040)),
}


@pytest.mark.parametrize("case", STOPPINGS)
def test_when_the_run_of_a_plan_ends(case):
    """A counted run has a last step, other runs have a cap."""
    asked, origin, (last_step, cap) = STOPPINGS[case]

    assert Stopping.of(plan_of(**asked), origin, N_ROWS) == Stopping(1e-6, last_step, cap)


def test_a_run_that_began_after_its_origin_began_with_it():
    """The first step is in the future after a rollback; it is too old if all passes of the run were made."""
    plan = plan_of(max_iter=10)

    found = {
        began: first_step_of(plan, Origin(START, 40, (), Memory(began=began)), N_ROWS)
        for began in (29, 30, 40, 41)
    }

    assert found == {29: 40, 30: 30, 40: 40, 41: 40}


def test_a_run_to_convergence_ends_near_the_optimum_by_jumps_or_steps(rows):
    """The parts work together: steps, stopping, keeper, rows in memory."""
    ends = []
    for accelerate in ("auto", "none"):
        plan, origin, kept, last = plan_of(settings={"accelerate": accelerate}), Origin(START), Kept(), []
        observers = [
            Stopping.of(plan, origin, N_ROWS),
            lambda step, ending, last=last: last.append(step) or ending,
        ]

        ending = follow(run(plan, rules_for(plan), origin, rows.engine, rows.table, told), observers, kept)

        assert ending == "converged"
        assert all(one.likelihoods[-1] <= two.likelihoods[-1] + 1e-12 for one, two in pairwise(last))
        assert kept.seen[-1] == (last[-1].number, "converged")
        ends.append(last[-1].likelihoods[-1])

    assert ends[0] == pytest.approx(ends[1], abs=1e-6)
