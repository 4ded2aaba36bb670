"""The loop: its steps, its convergence, and a likelihood that never falls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.covariances.structure import EPS
from gmmcli.core.em.loop import Origin, Step, iterate
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.em.stopping import has_converged, remaining_gain
from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel.block import Workspace
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Expectation
from gmmcli.core.rows import Rows


class OneBlock:
    """An engine whose table is one block; it records the mixtures that it evaluates."""

    def __init__(self):
        self.seen = []

    def expectation(self, X, mixture, *, hard=False):
        """Return one E over the block."""
        self.seen.append(mixture)
        kernel = Kernel(mixture)
        sums, log_density = kernel.expectation(Rows(X), Workspace(mixture, kernel.layout), hard=hard)
        return Expectation(kernel.statistics(sums, X @ X.T), log_density)


PLAIN = Rules()


def first_steps(n_steps, mixture, X, rules=PLAIN, **before):
    steps = iterate(Origin(mixture, **before), OneBlock(), X, rules)
    return [next(steps) for _ in range(n_steps)]


def bytes_of(step):
    mixture, statistics = step.mixture, step.expectation.statistics
    arrays = (
        mixture.weights, mixture.means, mixture.covariances,
        statistics.counts, statistics.sums, statistics.squares, statistics.reference,
        np.array(step.likelihoods), step.expectation.log_densities,
    )  # fmt: skip
    return [array.tobytes() for array in arrays]


REMAINING_GAIN = {
    "no likelihood": ([], None),
    "one": ([-3.0], None),
    "two, though equal": ([-3.0, -3.0], None),
    "equal: nothing is left": ([-4.0, -3.0, -3.0], 0.0),
    "all equal": ([-3.0, -3.0, -3.0], 0.0),
    "a rise within rounding": ([-4.0, -3.0, -3.0 * (1 - 32 * EPS)], 0.0),
    "a fall within rounding": ([-4.0, -3.0, -3.0 * (1 + 32 * EPS)], 0.0),
    "steady rises within rounding": ([-3.0 * (1 + 40 * EPS), -3.0, -3.0 * (1 - 40 * EPS)], 0.0),
    "halving gains: as much again is left": ([-4.0, -3.0, -2.5], 0.5),
    "gains shrinking by 0.9: nine times the last is left": ([-20.0, -10.0, -1.0], 81.0),
    "a fall after a rise: its size": ([-4.0, -3.0, -3.25], 0.25),
    "a rise after a fall: its size": ([-3.0, -4.0, -3.5], 0.5),
    "falls that halve": ([-3.0, -4.0, -4.5], 0.5),
    "steady gains": ([-4.0, -3.0, -2.0], None),
    "growing gains": ([-4.0, -3.5, -2.0], None),
    "a rise after none": ([-3.0, -3.0, -2.0], None),
    "a fall after none": ([-3.0, -3.0, -4.0], 1.0),
    "only the last three count": ([9.0, 9.0, -4.0, -3.0, -2.5], 0.5),
}


@pytest.mark.parametrize("case", REMAINING_GAIN)
def test_the_remaining_gain_is_extrapolated_from_three_likelihoods(case):
    """Aitken's estimate, with its special cases one by one."""
    likelihoods, expected = REMAINING_GAIN[case]

    found = remaining_gain(likelihoods)

    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize(("ratio", "limit"), [(0.5, -1.0), (0.99, 2.5), (0.01, -300.0)])
def test_the_estimate_is_exact_for_a_geometric_approach(ratio, limit):
    """If the distance to the limit shrinks by a constant factor, the estimate is that distance."""
    likelihoods = [limit - ratio**i for i in range(3)]

    assert remaining_gain(likelihoods) == pytest.approx(ratio**2, rel=1e-9)


def test_a_slow_climb_has_not_converged_where_its_gain_is_below_tol():
    """A gain of 1e-7 per step that shrinks by 0.999 leaves 1e-4, above a tolerance of 1e-6."""
    mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones(1), "spherical")
    likelihoods = tuple(np.cumsum([-1.0, 1e-7, 0.999e-7]))
    step = Step(mixture, OneBlock().expectation(np.zeros((1, 1)), mixture), 2, likelihoods)

    assert not step.has_converged(1e-6)
    assert step.has_converged(1e-3)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((0.7, 1.95e-4), False),  # expected to remain: 5e-8; the first step is out of proportion
        ((1e-5, 9e-7), True),
        ((1e-7, 9e-8), True),
        ((1e-6, 0.9e-6), False),  # expected to remain: 8e-6
        ((1e-7, -2e-6), False),
        ((1e-7, 1e-7), False),
        ((1e-3, 0.0), True),
    ],
)
def test_a_run_has_converged_where_neither_the_rest_nor_the_last_gain_counts(gains, expected):
    """Both must be below the tolerance, here 1e-6."""
    assert has_converged(np.cumsum([-4.0, *gains]).tolist(), 1e-6) is expected


def test_what_is_rounding_alone_is_no_gain_however_small_the_tolerance():
    """But with a tolerance of 0 a run does not end."""
    assert has_converged([-4.0, -3.5, -3.5 + 1e-14], 1e-15)
    assert not has_converged([-4.0, -3.5, -3.5], 0.0)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_one_component_converges_after_its_second_step(covariance_type):
    """The first step is exact, and the second one shows that nothing changes."""
    rng = np.random.default_rng(1)
    start = random_mixture(rng, covariance_type, 1, 3)

    steps = first_steps(3, start, rng.normal(size=(3, 200)))

    assert [step.has_converged(1e-6) for step in steps] == [False, False, True]
    assert steps[2].remaining_gain == 0.0


def test_a_run_is_e_then_m_and_e_for_ever():
    """Each step holds a mixture and its own E; no pass is made before the next step is asked for."""
    rng = np.random.default_rng(2)
    start = random_mixture(rng, "full", 2, 2)
    X = random_rows(rng, start, 300)
    engine = OneBlock()

    steps = iterate(Origin(start, 7), engine, X, PLAIN)
    first, second = next(steps), next(steps)

    assert [step.number for step in (first, second)] == [7, 8]
    assert engine.seen == [first.mixture, second.mixture]
    assert first.mixture is start
    by_hand = maximise(first.expectation.statistics, start, PLAIN)
    assert second.mixture.means.tobytes() == by_hand.means.tobytes()
    assert second.likelihoods == (first.likelihoods[0], second.expectation.mean_log_likelihood)


def test_a_step_remembers_the_likelihoods_of_the_last_three():
    """More would be stored in each checkpoint and never read."""
    rng = np.random.default_rng(4)
    start = random_mixture(rng, "diag", 2, 2)

    steps = first_steps(5, start, random_rows(rng, start, 100))

    every = [step.expectation.mean_log_likelihood for step in steps]
    assert [step.likelihoods for step in steps] == [tuple(every[max(i - 2, 0) : i + 1]) for i in range(5)]


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("params", ["wmc", "m"])
def test_three_steps_and_four_more_are_seven_byte_for_byte(covariance_type, params):
    """A resumed run makes an E over the table again, and continues as if it had not stopped."""
    rng = np.random.default_rng(3)
    start = random_mixture(rng, covariance_type, 3, 2)
    X = random_rows(rng, start, 200)
    rules = Rules(params, 1e-6)

    whole = first_steps(8, start, X, rules)
    stop = whole[3]
    resumed = first_steps(5, stop.mixture, X, rules, number=stop.number, likelihoods=stop.likelihoods[:-1])

    assert resumed[-1].number == whole[-1].number == 7
    assert [bytes_of(step) for step in resumed] == [bytes_of(step) for step in whole[3:]]


@given(
    seed=st.integers(0, 2**32 - 1),
    covariance_type=st.sampled_from(list(FAMILIES)),
    n_components=st.integers(1, 4),
    d=st.integers(1, 4),
    params=st.sampled_from(["wmc", "wm", "wc", "mc", "w", "m", "c"]),
)
@settings(max_examples=60, deadline=None)
def test_the_likelihood_never_falls_between_plain_steps(seed, covariance_type, n_components, d, params):
    """Without regularisation, no step loses more than 1e-9 of the likelihood."""
    rng = np.random.default_rng(seed)
    start = random_mixture(rng, covariance_type, n_components, d)
    X = np.concatenate([random_rows(rng, start, 60, 0.3), rng.normal(size=(d, 40))], axis=1)

    likelihoods = [step.likelihoods[-1] for step in first_steps(9, start, X, Rules(params))]

    falls = -np.diff(likelihoods)
    assert (falls <= 1e-9 * np.abs(likelihoods[:-1])).all()
