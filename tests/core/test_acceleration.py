"""Acceleration: far fewer passes where EM is slow, no more where it is fast; the likelihood never falls."""

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.em import acceleration, loop
from gmmcli.core.em.acceleration import pack, unpack
from gmmcli.core.em.loop import Origin
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.families import FAMILIES
from gmmcli.core.start.partitions import Partitions
from gmmcli.core.start.starts import Starts
from gmmcli.errors import CovarianceNotPositive

TOL = 1e-6
RULES = Rules("wmc", 0.0, TOL)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def two_overlapping(seed):
    """Return two components 1.5 sd apart, weights .25 and .75."""
    rng = np.random.default_rng(seed)
    return standardised((rng.normal(size=2000) + 1.5 * (rng.random(2000) < 0.25))[:, None]), 2


def several(seed, K=5, d=5, n=5000, distance=2.0):
    """Return components that are about `distance` sd apart."""
    rng = np.random.default_rng(seed)
    means = distance / np.sqrt(2 * d) * rng.normal(size=(K, d))
    return standardised(means[rng.integers(K, size=n)] + rng.normal(size=(n, d))), K


class Run:
    """A table, a start, and an engine that counts passes."""

    def __init__(self, X, K, covariance_type="full", seed=0, kind="kmeans"):
        self._rows = OneTable([[np.ascontiguousarray(X.T)]])
        self.table = self._rows.table
        starts = Starts(
            self._rows.engine,
            self.table,
            Partitions(self.table, np.ones(self.table.n_features)),
            covariance_type,
            K,
            RULES,
        )
        self.start = starts.draw(kind, np.random.default_rng(seed))
        self.likelihoods = []

    def expectation(self, table, mixture, *, hard=False):
        """Make a pass, and remember its likelihood."""
        found = self._rows.engine.expectation(table, mixture, hard=hard)
        self.likelihoods.append(found.mean_log_likelihood)
        return found

    def steps(self, accelerated):
        """Return the steps of a run without end."""
        iterate = acceleration.iterate if accelerated else loop.iterate
        return iterate(Origin(self.start), self, self.table, RULES)

    def to_convergence(self, accelerated):
        """Return the last step, and the likelihood of each pass."""
        self.likelihoods = []
        last = next(step for step in self.steps(accelerated) if step.has_converged(TOL))
        return last, self.likelihoods


def to_bytes(cycle):
    return [value.tobytes() if name == "base" else value for name, value in vars(cycle).items()]


def passes_until(likelihoods, target):
    return next(n for n, likelihood in enumerate(likelihoods, 1) if likelihood >= target)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("problem", [two_overlapping, several])
def test_overlapping_mixtures_take_a_third_of_the_passes_at_most(problem, seed):
    """Counted to within 1e-6 nats per row of the end of plain EM; the run does not end earlier."""
    run = Run(*problem(seed), seed=seed)
    plain, plain_passes = run.to_convergence(accelerated=False)
    target = plain.likelihoods[-1] - 1e-6

    last, passes = run.to_convergence(accelerated=True)

    assert last.likelihoods[-1] >= target
    assert passes_until(passes, target) <= passes_until(plain_passes, target) / 3
    assert len(passes) <= len(plain_passes) / 2 or len(plain_passes) < 150


@pytest.mark.parametrize(
    ("problem", "seed"),
    [(two_overlapping, 101), (two_overlapping, 105), (several, 110), (several, 118), (several, 123)],
)
def test_a_run_does_not_end_while_a_slow_direction_hides_behind_fast_ones(problem, seed):
    """On these tables, gains that shrink fast after a jump were once taken for convergence."""
    run = Run(*problem(seed), seed=seed)
    plain, _ = run.to_convergence(accelerated=False)

    last, _ = run.to_convergence(accelerated=True)

    assert last.likelihoods[-1] >= plain.likelihoods[-1] - 1e-6


@pytest.mark.parametrize("seed", range(40))
def test_well_separated_mixtures_never_take_many_more_passes(seed):
    """At most three passes, or a tenth, more than plain EM."""
    rng = np.random.default_rng(seed)
    K, d = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    centers = 10.0 * np.eye(K, d) + 10.0 * np.eye(K, d, k=-d)
    centers[:, -1] += 10.0 * np.arange(K)
    run = Run(standardised(centers[rng.integers(K, size=800)] + rng.normal(size=(800, d))), K, seed=seed)
    plain, plain_passes = run.to_convergence(accelerated=False)

    last, passes = run.to_convergence(accelerated=True)

    assert len(passes) <= len(plain_passes) + max(3, len(plain_passes) / 10)
    assert last.likelihoods[-1] >= plain.likelihoods[-1] - 1e-6


def apart(seed, d):
    """Return two components four sd apart in every column."""
    rng = np.random.default_rng(seed)
    return standardised(rng.normal(size=(2000, d)) + 4.0 * (np.arange(2000) < 1000)[:, None]), 2


@pytest.mark.parametrize("d", [2, 4])
@pytest.mark.parametrize("seed", range(12))
def test_the_plateau_of_a_random_start_is_crossed(seed, d):
    """The first gains fall from 1 to 1e-4 and then grow; acceleration costs few passes more."""
    run = Run(*apart(seed, d), seed=seed, kind="random")
    best = Run(*apart(seed, d)).to_convergence(accelerated=False)[0].likelihoods[-1]
    plain, plain_passes = run.to_convergence(accelerated=False)

    last, passes = run.to_convergence(accelerated=True)

    assert plain.likelihoods[-1] == pytest.approx(best, abs=1e-5)
    assert last.likelihoods[-1] == pytest.approx(best, abs=1e-5)
    assert len(passes) <= len(plain_passes) + max(8, len(plain_passes) / 10)


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_likelihood_of_steps_never_falls_on_500_random_tables(accelerated):
    """Of every type, without regularisation, until convergence or a singular covariance."""
    n_steps = 0
    for seed in range(500):
        rng = np.random.default_rng([1, seed])
        d, K, n = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(12, 80))
        X = rng.normal(size=(n, d)) * rng.choice([1.0, 3.0], size=(n, 1)) + rng.integers(0, 3, size=(n, 1))
        before = -np.inf
        try:
            run = Run(standardised(X), K, list(FAMILIES)[seed % 6], seed)
            for step in islice(run.steps(accelerated), 60):
                likelihood = step.expectation.mean_log_likelihood
                assert likelihood >= before - 1e-9 * abs(before), seed
                before = likelihood
                n_steps += 1
        except CovarianceNotPositive:
            continue
    assert n_steps > 20_000


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_run_that_goes_on_from_any_of_its_steps_ends_with_the_same_bytes(covariance_type):
    """It may be stopped at any point of a cycle."""
    run = Run(*several(1, 4, 2, 600), covariance_type)
    whole = list(islice(run.steps(accelerated=True), 45))
    assert any(step.memory.cycle.base.size for step in whole)
    assert len(run.likelihoods) > 45  # a jump was not taken, or took a step more

    for stop in range(0, 44, 3):
        step = whole[stop]
        origin = Origin(step.mixture, step.number, step.likelihoods[:-1], step.memory)
        rest = acceleration.iterate(origin, run, run.table, RULES)
        for found, expected in zip(islice(rest, 45 - stop), whole[stop:], strict=True):
            assert found.number == expected.number
            assert found.likelihoods == expected.likelihoods
            assert found.mixture.covariances.tobytes() == expected.mixture.covariances.tobytes()
            assert to_bytes(found.memory.cycle) == to_bytes(expected.memory.cycle)


@pytest.mark.parametrize("params", ["wmc", "w", "mc", "c"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_packing_keeps_what_is_free_and_unpacking_what_is_frozen(covariance_type, params):
    """The round trip is exact, with frozen blocks from the other mixture bit for bit."""
    rng = np.random.default_rng(4)
    mixture, other = (random_mixture(rng, covariance_type, 3, 4) for _ in range(2))

    found = unpack(pack(mixture, params), other, params)

    for letter, name in (("w", "weights"), ("m", "means"), ("c", "covariances")):
        if letter in params:
            np.testing.assert_allclose(getattr(found, name), getattr(mixture, name), rtol=1e-12, atol=1e-15)
        else:
            assert getattr(found, name).tobytes() == getattr(other, name).tobytes()


def test_a_vector_that_leaves_the_doubles_is_no_mixture():
    """A jump whose target overflows is not made."""
    mixture = random_mixture(np.random.default_rng(5), "diag", 2, 3)
    vector = pack(mixture, "wmc")

    assert unpack(np.where(np.arange(vector.size) == vector.size - 1, 1e4, vector), mixture, "wmc") is None
    assert unpack(np.full(vector.size, np.nan), mixture, "wmc") is None


def test_the_mixture_that_random_rows_are_drawn_from_is_found():
    """Runs with and without acceleration reach the same optimum."""
    rng = np.random.default_rng(6)
    truth = random_mixture(rng, "full", 2, 2)
    run = Run(random_rows(rng, truth, 3000, 0.3).T, 2)

    ends = [run.to_convergence(accelerated)[0] for accelerated in (False, True)]

    np.testing.assert_allclose(ends[0].mixture.means, ends[1].mixture.means, atol=1e-3)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_run_does_not_pass_over_its_last_step(covariance_type):
    """Although a jump may count as two steps."""
    run = Run(*several(1, 4, 2, 600), covariance_type)
    for last_step in range(6, 26):
        steps = acceleration.iterate(Origin(run.start), run, run.table, RULES, last_step=last_step)
        assert any(step.number == last_step for step in islice(steps, last_step + 1))


@pytest.mark.parametrize("seed", range(1, 5))
def test_every_m_is_a_step(seed, monkeypatch):
    """M-steps of rejected jumps count too."""
    run = Run(*several(seed, 5, 3, 500), kind="random")
    n_made = 0

    def count(*arguments):
        nonlocal n_made
        n_made += 1
        return maximise(*arguments)

    monkeypatch.setattr(acceleration, "maximise", count)
    steps = list(islice(run.steps(accelerated=True), 120))
    n_lost = sum(later.number - step.number > 1 for step, later in pairwise(steps))

    assert steps[-1].number == n_made
    assert n_lost > 3


@pytest.mark.parametrize(("seed", "distance"), [(16, 2.0), (19, 1.0), (23, 1.0), (44, 1.0), (109, 2.0)])
def test_a_jump_starves_no_component(seed, distance):
    """A jump that starves a component is rejected, if plain EM does not starve it."""
    run = Run(*several(seed, 5, 4, 200, distance))
    for accelerated in (False, True):
        for step in islice(run.steps(accelerated), 150):
            assert (step.expectation.statistics.counts >= 5).all()
            if step.has_converged(TOL):
                break


def test_an_empty_component_stays_empty():
    """Its weight is exactly 0 after a jump."""
    mixture = random_mixture(np.random.default_rng(5), "full", 3, 2)
    weights = np.array([0.25, 0.75, 0.0])
    mixture = replace(mixture, weights=weights)

    found = unpack(pack(mixture, "wmc") * (1 + 1e-9), mixture, "wmc")

    assert found.weights[2] == 0
    np.testing.assert_allclose(found.weights, weights, rtol=1e-6)
