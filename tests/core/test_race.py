"""The race: steps of many starts together, and which of them wins."""

from itertools import islice

import numpy as np
import pytest
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.start.partitions import Partitions
from gmmcli.core.start.race import Race
from gmmcli.core.start.starts import Starts
from gmmcli.core.start.together import Runner, Together
from gmmcli.core.units import measure

RULES = Rules(narrowest=np.full(3, 1e-3))


@pytest.fixture
def rows() -> OneTable:
    """Return a table of four clusters."""
    rng = np.random.default_rng(1)
    return OneTable([[random_rows(rng, random_mixture(rng, "full", 4, 3), 500, 0.2)]], n_workers=2)


def together_on(rows: OneTable, covariance_type: str, rules: Rules = RULES) -> Together:
    whole = Rows(np.ascontiguousarray(rows.all_rows().T))
    return Together(rows.engine, rows.table, whole, FAMILIES[covariance_type].structure, rules)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_steps_together_are_the_steps_of_each_alone(rows: OneTable, covariance_type: str) -> None:
    """Twenty mixtures in groups of threads, against the engine, to rounding."""
    rng = np.random.default_rng(2)
    mixtures = [random_mixture(rng, covariance_type, 3, 3) for _ in range(50)]

    found = together_on(rows, covariance_type).advance([Runner(i, one) for i, one in enumerate(mixtures)], 4)

    assert [runner.number for runner in found] == list(range(50))
    for runner, mixture in zip(found, mixtures, strict=True):
        *_, last = islice(iterate(Origin(mixture), rows.engine, rows.table, RULES), 5)
        assert runner.likelihoods[-1] == pytest.approx(last.likelihoods[-1], rel=1e-10)
        np.testing.assert_allclose(runner.mixture.means, last.mixture.means, atol=1e-8)
        np.testing.assert_allclose(runner.mixture.covariances, last.mixture.covariances, atol=1e-8)
        np.testing.assert_allclose(runner.counts, last.expectation.statistics.counts, rtol=1e-7)


def test_a_mixture_that_needs_the_centred_form_makes_the_same_steps(rows: OneTable) -> None:
    """Far from the origin and narrow, the expanded form would lose digits."""
    rng = np.random.default_rng(3)
    sharp = Mixture(
        np.full(2, 0.5), rng.normal(size=(2, 3)), 1e-9 * np.array([np.eye(3), 1e9 * np.eye(3)]), "full"
    )
    broad = random_mixture(rng, "full", 2, 3)
    rules = Rules(narrowest=np.full(3, 1e-6))

    found = together_on(rows, "full", rules).advance([Runner(0, broad), Runner(1, sharp)], 3)

    *_, last = islice(iterate(Origin(sharp), rows.engine, rows.table, rules), 4)
    assert [runner.number for runner in found] == [0, 1]
    assert found[1].likelihoods[-1] == pytest.approx(last.likelihoods[-1], rel=1e-12)


def test_a_mixture_that_is_not_positive_definite_is_left_out(rows: OneTable) -> None:
    """The others go on."""
    rng = np.random.default_rng(4)
    good = random_mixture(rng, "full", 2, 3)
    flat = Mixture(good.weights, good.means, np.ones((2, 3, 3)), "full")

    found = together_on(rows, "full").advance([Runner(0, flat), Runner(1, good)], 2)

    assert [runner.number for runner in found] == [1]


def spike_on(row: np.ndarray) -> Mixture:
    """Return a mixture of a broad component and one on a single row."""
    covariances = np.array([np.eye(3), 1e-5 * np.eye(3)])
    return Mixture(np.array([0.99, 0.01]), np.array([np.zeros(3), row]), covariances, "full")


def race_on(rows: OneTable, covariance_type: str = "full", fallback: int = 0) -> Race:
    n = rows.table.n_rows
    return Race(together_on(rows, covariance_type), RULES, n, float(n), fallback)


def test_the_start_that_becomes_most_likely_wins(rows: OneTable) -> None:
    """A start that is stuck in a local optimum loses, at any place in the list."""
    truth = random_mixture(np.random.default_rng(1), "full", 4, 3)
    stuck = Mixture(np.full(4, 0.25), np.zeros((4, 3)), np.array([np.eye(3)] * 4), "full")  # never parts

    for mixtures in ([truth, stuck], [stuck, truth]):
        best = race_on(rows).run(mixtures, lambda text: None)[0]

        assert best.is_sound
        assert mixtures[best.number] is truth


def test_a_sound_optimum_wins_over_a_spike_of_greater_likelihood(rows: OneTable) -> None:
    """A component on a single row has any likelihood."""
    table = rows.all_rows()
    sound = random_mixture(np.random.default_rng(6), "full", 2, 3)
    spike = spike_on(table[7])

    optima = race_on(rows).run([spike, sound], lambda text: None)

    assert (optima[0].number, optima[0].is_sound) == (1, True)
    assert not optima[-1].is_sound


def test_without_a_sound_start_the_fallback_wins(rows: OneTable) -> None:
    """Likelihoods of spikes tell nothing."""
    table = rows.all_rows()
    spikes = [
        Mixture(
            np.array([0.99, 0.01]),
            np.array([np.zeros(3), table[i]]),
            np.array([np.eye(3), 1e-5 * np.eye(3)]),
            "full",
        )
        for i in (3, 9, 27)
    ]

    assert race_on(rows, fallback=1).run(spikes, lambda text: None)[0].number == 1


def test_starts_that_meet_are_counted_as_one_optimum(rows: OneTable) -> None:
    """Whatever the order of their components."""
    one = random_mixture(np.random.default_rng(1), "full", 4, 3)
    other = Mixture(one.weights[::-1], one.means[::-1], one.covariances[::-1], "full")

    (optimum,) = race_on(rows).run([one, other], lambda text: None)

    assert optimum.number == 0


def test_a_far_smaller_component_loses_if_others_are_nearly_as_likely(faithful) -> None:
    """Old Faithful: the most likely three components have one of 35 rows, by 4.8 nats."""
    table = np.array([faithful["eruptions"], faithful["waiting"]])
    u = measure([Rows(table)]).units(common=False)
    rows = OneTable([[u.standardise(table.copy())]])
    rules = Rules(narrowest=np.full(2, 1e-6))
    starts = Starts(rows.engine, rows.table, Partitions(rows.table, u.scale), "full", 3, rules)

    found = starts.choose("auto", 64, 0, lambda text: None)

    best, *others = found.optima
    aside = next(one for one in others if one.flaw is not None and one.flaw.kind == "small")
    jacobian = rows.table.n_rows * u.log_jacobian
    assert best.log_likelihood - jacobian == pytest.approx(-1119.2142, abs=0.01)
    assert aside.log_likelihood - jacobian == pytest.approx(-1114.44, abs=0.01)
    assert round(aside.flaw.rows) == 35
    assert sum(one.n_starts for one in found.optima) <= found.n_starts


def test_a_small_cluster_stays_if_nothing_else_explains_its_rows() -> None:
    """Forty rows on a spot beside two hundred around it."""
    rng = np.random.default_rng(0)
    table = np.hstack([rng.normal(size=(2, 200)), 0.02 * rng.normal(size=(2, 40)) + 4.0])
    rows = OneTable([[table]])
    rules = Rules(narrowest=np.full(2, 1e-6))
    starts = Starts(rows.engine, rows.table, Partitions(rows.table, np.ones(2)), "full", 2, rules)

    found = starts.choose("auto", 32, 0, lambda text: None)

    assert found.optima[0].is_sound
    assert found.mixture.weights.tolist() == pytest.approx([200 / 240, 40 / 240], abs=1e-6)
