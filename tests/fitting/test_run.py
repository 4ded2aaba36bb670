"""A run as a stream of steps: what ends it, and which steps are kept. No file is touched."""

from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from oracles.one_table import OneTable

from gmmcli.core.em.loop import Origin, Step
from gmmcli.core.em.memory import Memory
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Expectation
from gmmcli.core.statistics import Statistics
from gmmcli.errors import OutOfMemory, Stopped
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.run import Stopping, TimeUp, follow, run
from gmmcli.fitting.settings import Settings

MIXTURE = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), "full")


def steps_of(*likelihoods, ending=None, first=0):
    """Yield steps with these mean log-likelihoods, then raise `ending`."""
    seen = ()
    for number, likelihood in enumerate(likelihoods, first):
        seen = (*seen, likelihood)[-3:]
        statistics = Statistics.empty("full", 1, 1)
        yield Step(MIXTURE, Expectation(statistics, np.empty(0)), number, seen)
    if ending is not None:
        raise ending


class Keeper:
    """Collects the numbers of the steps that it is shown, and of those that it keeps."""

    def __init__(self):
        self.seen, self.kept = [], []

    def look(self, step, ending):
        """Keep the last step."""
        self.seen.append(step.number)
        if ending is not None:
            self.kept.append(step.number)

    def keep(self, step):
        """Keep a step."""
        if step.number not in self.kept:
            self.kept.append(step.number)


def followed(steps, *observers):
    """Return how a run ended, and the steps kept."""
    keeper = Keeper()
    try:
        ending = follow(steps, observers, keeper)
    except (Stopped, TimeUp, OutOfMemory, KeyboardInterrupt, RuntimeError) as error:
        ending = type(error)
    return ending, keeper.kept


@pytest.mark.parametrize(
    ("stopping", "ending", "kept"),
    [
        (Stopping(1e-6, 2, 99), "steps", [2]),
        (Stopping(1e-6, 0, 99), "steps", [0]),
        (Stopping(0.6, None, 99), "converged", [2]),
        (Stopping(1e-6, None, 3), "max_iter", [3]),
    ],
)
def test_a_run_ends_where_it_is_to_stop(stopping, ending, kept):
    """Counted runs at their step whatever the gain, others at convergence or their cap."""
    assert followed(steps_of(-9.0, -5.0, -4.5, -4.4, -4.39), stopping) == (ending, kept)


@pytest.mark.parametrize("error", [Stopped(15), TimeUp(), OutOfMemory("memory", "a worker was ended")])
def test_whatever_interrupts_a_run_the_last_whole_step_is_kept(error):
    """The pass under way is lost, the step before it is not."""
    ending, kept = followed(steps_of(-9.0, -5.0, ending=error), Stopping(1e-6, None, 99))

    assert kept == [1]
    assert ending in (Stopped, OutOfMemory, "time_limit")


@pytest.mark.parametrize("error", [Stopped(15), TimeUp(), OutOfMemory("memory", "a worker was ended")])
def test_before_the_first_step_nothing_is_kept(error):
    """There is nothing whole yet."""
    assert followed(steps_of(ending=error)) == (type(error), [])


def test_observers_are_asked_in_order_and_hear_why_the_run_ends():
    """The first that ends it decides; the keeper comes after them all."""
    heard = []

    def patience(step, ending):
        heard.append((step.number, ending))
        return ending or ("patience" if step.number == 2 else None)

    steps = steps_of(*np.arange(-9.0, -3.0))

    assert followed(steps, Stopping(1e-6, 4, 99), patience) == ("patience", [2])
    assert heard == [(0, None), (1, None), (2, None)]


@pytest.mark.parametrize("error", [RuntimeError("enough"), KeyboardInterrupt()])
def test_what_an_observer_raises_loses_no_step(error):
    """Nor does Ctrl-C, wherever it comes."""

    def fail(step, ending):
        if step.number == 1:
            raise error

    assert followed(steps_of(-5.0, -4.0, -3.0), fail) == (type(error), [1])


def plan_of(**details):
    """Return a plan of a new model with three components, and no files."""
    settings = Settings.of_new_model(
        {"components": 3, **{name: details.pop(name) for name in ("accelerate",) if name in details}}
    )
    return Plan(FitRequest("m", SimpleNamespace(operands=()), **details), None, settings, None)


@pytest.fixture
def rows():
    rng = np.random.default_rng(1)
    X = np.repeat([[0.0, 6.0, 3.0], [0.0, 0.0, 5.0]], 60, axis=1) + rng.normal(size=(2, 180))
    return OneTable([[X]])


def origin_of(rows, **before):
    means = rows.all_rows()[[0, 70, 130]]
    return Origin(Mixture(np.full(3, 1 / 3), means, np.stack([np.eye(2)] * 3), "full"), **before)


def first(rows, plan, count, **before):
    """Return the first steps of a run."""
    return list(islice(run(plan, origin_of(rows, **before), rows.engine, rows.table, None), count))


def test_a_run_needs_an_array_and_no_files(rows):
    """Its likelihood climbs, and it converges."""
    plan = plan_of(accelerate="none")
    steps = run(plan, origin_of(rows), rows.engine, rows.table, None)

    ending, kept = followed(steps, Stopping.of(plan, origin_of(rows), rows.table.n_rows))

    assert ending == "converged"
    assert kept[0] > 2


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"steps": 4}, {}),
        ({"accelerate": "none"}, {"began": 0}),
        ({}, {"began": 0, "cycle": True}),
        ({"batch_size": 50}, {"began": 0, "stepwise": True}),
        ({"batch_size": 50, "steps": 4}, {"stepwise": True}),
        ({"partial": True}, {}),
    ],
)
def test_a_step_remembers_what_its_algorithm_needs(rows, details, expected):
    """And of other algorithms nothing, whatever the origin remembers."""
    everything = first(rows, plan_of(batch_size=50), 2)[-1].memory
    assert everything.stepwise is not None

    memory = first(rows, plan_of(**details), 2, memory=everything)[-1].memory

    found = {name: value for name, value in vars(memory).items() if value != getattr(Memory(), name)}
    assert found.keys() == expected.keys()
    assert found.get("began") == expected.get("began")


def test_a_run_to_convergence_that_was_cut_keeps_its_first_step(rows):
    """The cap of --max-iter counts from there; a counted run, or an end long passed, begins anew."""
    plan = plan_of(max_iter=10)

    assert first(rows, plan, 1, number=7, memory=Memory(began=3))[0].memory.began == 3
    assert first(rows, plan, 1, number=30, memory=Memory(began=3))[0].memory.began == 30
    assert Stopping.of(plan, origin_of(rows, number=7, memory=Memory(began=3)), 180).cap == 13


def test_a_partial_fit_ends_after_its_steps(rows):
    """One if not told otherwise; its likelihoods judge nothing."""
    plan = plan_of(partial=True, steps=3)
    steps = list(islice(run(plan, origin_of(rows, number=5), rows.engine, rows.table, None), 4))

    assert followed(iter(steps), Stopping.of(plan, origin_of(rows, number=5), 180)) == ("steps", [8])
    assert [len(step.likelihoods) for step in steps] == [1] * 4
    assert Stopping.of(plan_of(partial=True), origin_of(rows), 180).last_step == 1
