"""The run loop: what ends it, and what it leaves behind."""

import numpy as np
import pytest

from gmmcli.core import em
from gmmcli.core.mixture import Mixture
from gmmcli.core.statistics import Statistics
from gmmcli.errors import OutOfMemory, Stopped
from gmmcli.jobs.run import Cadence, Recorder, StopRule, TimeUp, run

MIXTURE = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), "full")
NEVER = Cadence(None, 1e9)


def pairs_of(*likelihoods, ending=None, first_step=0):
    """Yield pairs with these mean log-likelihoods, then raise `ending`."""
    seen = ()
    for step, likelihood in enumerate(likelihoods, first_step):
        seen = (*seen, likelihood)[-3:]
        statistics = Statistics.empty("full", 1, 1)
        yield em.Pair(MIXTURE, em.Expectation(statistics, np.empty(0)), step, seen)
    if ending is not None:
        raise ending


def follow(pairs, rule, cadence=NEVER, published_step=None):
    """Run and return (how it ended, the steps published)."""
    published = []
    recorder = Recorder(lambda moment: published.append(moment.pair.step), cadence, published_step)
    try:
        ending = run(pairs, (), rule, recorder, lambda pair: None)
    except (Stopped, TimeUp, OutOfMemory) as error:
        ending = type(error)
    return ending, published


@pytest.mark.parametrize(
    ("rule", "ending", "published"),
    [
        (StopRule(1e-6, 2, 99), "steps", [2]),
        (StopRule(1e-6, 0, 99), "steps", [0]),
        (StopRule(0.6, None, 99), "converged", [2]),
        (StopRule(1e-6, None, 3), "max_iter", [3]),
    ],
)
def test_a_run_ends_where_its_rule_says(rule, ending, published):
    """Counted runs at their step whatever the gain, others at convergence or their cap."""
    assert follow(pairs_of(-9.0, -5.0, -4.5, -4.4, -4.39), rule) == (ending, published)


@pytest.mark.parametrize("ending", [Stopped(15), TimeUp(), OutOfMemory("memory", "a worker was ended")])
def test_whatever_interrupts_a_run_the_last_complete_pair_is_recorded(ending):
    """The pass under way is lost, the pair before it is not."""
    how, published = follow(pairs_of(-9.0, -5.0, ending=ending), StopRule(1e-6, None, 99))

    assert published == [1]
    assert how in (Stopped, OutOfMemory, "time_limit")


@pytest.mark.parametrize("ending", [Stopped(15), TimeUp(), OutOfMemory("memory", "a worker was ended")])
def test_before_the_first_pair_nothing_is_recorded(ending):
    """There is nothing whole yet."""
    assert follow(pairs_of(ending=ending), StopRule(1e-6, None, 99)) == (type(ending), [])


def test_a_step_that_is_published_is_not_published_again():
    """A run that makes no step of its own leaves no generation."""
    assert follow(pairs_of(-4.0, first_step=7), StopRule(1e-6, 7, 99), published_step=7) == ("steps", [])


def test_the_cadence_counts_from_the_last_checkpoint():
    """Every second step, and the last."""
    found = follow(pairs_of(*np.arange(-9.0, -3.0)), StopRule(1e-6, 5, 99), Cadence(2, 1e9))
    assert found == ("steps", [2, 4, 5])


class Checks:
    """A validation of which pairs are checked at even steps, and that is exhausted at a step."""

    def __init__(self, exhausted_at):
        self.is_exhausted, self._exhausted_at = exhausted_at < 0, exhausted_at

    def follow(self, pair, *, is_last):
        """Check every second step."""
        self.is_exhausted = pair.step >= self._exhausted_at
        return is_last or pair.step % 2 == 0


@pytest.mark.parametrize(
    ("exhausted_at", "ending", "published"),
    [(99, "steps", [0, 2, 4, 5]), (2, "patience", [0, 2]), (-1, "patience", [])],
)
def test_pairs_that_are_checked_are_recorded_and_patience_ends_the_run(exhausted_at, ending, published):
    """At once where there was none left from before."""
    found = []
    recorder = Recorder(lambda moment: found.append(moment.pair.step), NEVER, None)

    rule, pairs = StopRule(1e-6, 5, 99), pairs_of(*np.arange(-9.0, -3.0))
    ended = run(pairs, (), rule, recorder, lambda pair: None, Checks(exhausted_at))

    assert (ended, found) == (ending, published)


def test_a_best_that_a_signal_left_unchecked_is_told_of_when_it_is_checked():
    """Its step has been published; only then is it known that it is the best."""
    passed = []
    recorder = Recorder(
        lambda moment: None, NEVER, 1, pass_over=lambda moment: passed.append(moment.pair.step)
    )

    run(
        pairs_of(-5.0, -4.0, -3.0, first_step=1),
        (),
        StopRule(1e-6, 3, 9),
        recorder,
        lambda pair: None,
        Checked(),
    )

    assert passed == [1]


class Checked:
    """Checks every pair, and ends nothing."""

    is_exhausted = False

    def follow(self, pair, *, is_last):
        """Check."""
        return True


@pytest.mark.parametrize("error", [RuntimeError("enough"), KeyboardInterrupt()])
def test_what_a_monitor_raises_loses_no_pair(error):
    """Nor does Ctrl-C, wherever it comes."""
    published = []
    recorder = Recorder(lambda moment: published.append(moment.pair.step), NEVER, None)

    def fail(pair):
        if pair.step == 1:
            raise error

    with pytest.raises(type(error)):
        run(pairs_of(-5.0, -4.0, -3.0), (), StopRule(1e-6, None, 9), recorder, fail)
    assert published == [1]
