"""Starved components move to rows that the mixture explains badly: rarely, and reproducibly."""

from itertools import islice

import numpy as np
import pytest
from oracles.one_table import OneTable

from gmmcli.core.em import acceleration, loop, reseeding
from gmmcli.core.em.loop import Origin
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.em.reseeding import Reseeding
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture

CENTERS = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])


@pytest.fixture
def rows():
    """Return three clusters of a hundred rows."""
    rng = np.random.default_rng(1)
    return OneTable([[(np.repeat(CENTERS, 100, axis=0) + rng.normal(size=(300, 2))).T.copy()]])


def starving(covariance_type="full", far=1e3):
    """Return two components that share the rows, and one that is near to none."""
    means = np.array([[0.0, 0.0], [5.0, 2.0], [far, far]])
    covariances = np.ones(FAMILIES[covariance_type].structure.shape(3, 2))
    if covariance_type in ("full", "tied"):
        covariances = covariances * np.eye(2)
    return Mixture(np.full(3, 1 / 3), means, covariances, covariance_type)


def steps_of(rows, mixture, told, accelerated=False, **before):
    mend = Reseeding(rows.table, lambda components, step: told.append((components, step)))
    iterate = acceleration.iterate if accelerated else loop.iterate
    return iterate(Origin(mixture, **before), rows.engine, rows.table, Rules("wmc", 1e-6, 1e-6), mend)


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_without_rows_finds_the_cluster_that_has_no_component(rows, covariance_type, accelerated):
    """It moves at the first step, with one notice, and each of the three clusters ends with a component."""
    told = []

    last = next(islice(steps_of(rows, starving(covariance_type), told, accelerated), 60, None))

    assert told == [([2], 1)]
    found = last.mixture.means[np.lexsort(last.mixture.means.T)]
    np.testing.assert_allclose(found, CENTERS[np.lexsort(CENTERS.T)], atol=0.4)


@pytest.mark.parametrize("accelerated", [False, True])
def test_a_component_that_starves_again_and_again_is_moved_three_times(accelerated):
    """A table of two distinct rows cannot use a third component."""
    rows = OneTable([[np.repeat([[0.0, 1.0], [0.0, 5.0]], 100, axis=1)]])
    told = []

    steps = list(islice(steps_of(rows, starving(), told, accelerated), 40))

    assert len(told) <= reseeding.MOST_TIMES
    assert steps[-1].memory.reseeded == len(told)
    assert all(np.isfinite(step.expectation.mean_log_likelihood) for step in steps)


@pytest.mark.parametrize("accelerated", [False, True])
def test_runs_that_are_split_around_the_move_end_with_the_same_bytes(rows, accelerated):
    """The memory of a step holds the number of re-seedings."""
    whole = list(islice(steps_of(rows, starving(), [], accelerated), 8))

    for stop in range(7):
        step = whole[stop]
        state = {"number": step.number, "likelihoods": step.likelihoods[:-1], "memory": step.memory}
        rest = list(islice(steps_of(rows, step.mixture, [], accelerated, **state), 8 - stop))
        assert rest[-1].mixture.means.tobytes() == whole[-1].mixture.means.tobytes()
        assert rest[-1].memory.reseeded == whole[-1].memory.reseeded == 1


@pytest.mark.parametrize(
    ("covariance_type", "expected"),
    [("full", 5), ("diag", 2), ("spherical", 2), ("tied", 1), ("tied-diag", 1)],
)
def test_a_component_needs_as_many_rows_as_its_covariance(covariance_type, expected):
    """Four columns."""
    assert FAMILIES[covariance_type].least_count(4) == expected


def test_nothing_is_moved_where_the_table_is_too_small_for_all():
    """Three components of two columns need nine rows."""
    few = OneTable([[np.random.default_rng(2).normal(size=(2, 8))]])
    told = []

    next(islice(steps_of(few, starving(), told), 5, None))

    assert told == []


def test_likelihoods_before_a_move_are_forgotten(rows):
    """They are of another mixture, so they must not judge convergence."""
    steps = list(islice(steps_of(rows, starving(), []), 3))

    assert [len(step.likelihoods) for step in steps] == [1, 1, 2]
    assert [step.number for step in steps] == [0, 1, 2]
