"""Starved components are moved to rows that are explained badly: rarely, and the same way each time."""

from itertools import islice

import numpy as np
import pytest

from gmmcli.core import acceleration, em, reseed
from gmmcli.core.mixture import COVARIANCE_TYPES, Mixture, covariances_shape
from gmmcli.core.reseed import Reseeding, least_count
from gmmcli.engine.local import LocalEngine

CENTERS = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])


@pytest.fixture
def engine():
    """Return three clusters of a hundred rows."""
    rng = np.random.default_rng(1)
    return LocalEngine([[(np.repeat(CENTERS, 100, axis=0) + rng.normal(size=(300, 2))).T.copy()]], 1)


def starving(covariance_type="full", far=1e3):
    """Return two components that share the rows, and one that none is near to."""
    means = np.array([[0.0, 0.0], [5.0, 2.0], [far, far]])
    covariances = np.ones(covariances_shape(covariance_type, 3, 2))
    if covariance_type in ("full", "tied"):
        covariances = covariances * np.eye(2)
    return Mixture(np.full(3, 1 / 3), means, covariances, covariance_type)


def pairs_of(engine, mixture, told, accelerated=False, **before):
    mend = Reseeding(engine, lambda components, step: told.append((components, step)))
    iterate = acceleration.iterate if accelerated else em.iterate
    first = em.begin(mixture, engine.expectation, **before)
    return iterate(first, engine.expectation, em.Rules("wmc", 1e-6, 1e-6), mend)


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_component_without_rows_finds_the_cluster_that_has_no_component(
    engine, covariance_type, accelerated
):
    """It is moved at the first step, told of once, and all three clusters end with a component each."""
    told = []

    last = next(islice(pairs_of(engine, starving(covariance_type), told, accelerated), 60, None))

    assert told == [([2], 1)]
    found = last.mixture.means[np.lexsort(last.mixture.means.T)]
    np.testing.assert_allclose(found, CENTERS[np.lexsort(CENTERS.T)], atol=0.4)


@pytest.mark.parametrize("accelerated", [False, True])
def test_a_component_that_starves_again_and_again_is_moved_three_times(engine, accelerated):
    """Tables of two distinct rows have no use for a third component."""
    rows = LocalEngine([[np.repeat([[0.0, 1.0], [0.0, 5.0]], 100, axis=1)]], 1)
    told = []

    pairs = list(islice(pairs_of(rows, starving(), told, accelerated), 40))

    assert len(told) <= reseed.MOST_TIMES
    assert reseed.times(pairs[-1].run) == len(told)
    assert all(np.isfinite(pair.expectation.mean_log_likelihood) for pair in pairs)


@pytest.mark.parametrize("accelerated", [False, True])
def test_runs_that_are_split_around_the_move_end_with_the_same_bytes(engine, accelerated):
    """What counts for the life of the model is in the run state of a pair."""
    whole = list(islice(pairs_of(engine, starving(), [], accelerated), 8))

    for stop in range(7):
        pair = whole[stop]
        state = {"step": pair.step, "likelihoods": pair.likelihoods[:-1], "run": pair.run}
        rest = list(islice(pairs_of(engine, pair.mixture, [], accelerated, **state), 8 - stop))
        assert rest[-1].mixture.means.tobytes() == whole[-1].mixture.means.tobytes()
        assert reseed.times(rest[-1].run) == reseed.times(whole[-1].run) == 1


@pytest.mark.parametrize(
    ("covariance_type", "expected"), [("full", 5), ("diag", 2), ("spherical", 2), ("tied", 1)]
)
def test_a_component_needs_as_many_rows_as_its_covariance(covariance_type, expected):
    """Four columns."""
    assert least_count(covariance_type, 4) == expected


def test_nothing_is_moved_where_the_table_is_too_small_for_all(engine):
    """Three components of two columns want nine rows."""
    few = LocalEngine([[np.random.default_rng(2).normal(size=(2, 8))]], 1)
    told = []

    next(islice(pairs_of(few, starving(), told), 5, None))

    assert told == []


def test_likelihoods_before_a_move_are_forgotten(engine):
    """They are of another mixture: no triple may span it."""
    pairs = list(islice(pairs_of(engine, starving(), []), 3))

    assert [len(pair.likelihoods) for pair in pairs] == [1, 1, 2]
    assert [pair.step for pair in pairs] == [0, 1, 2]
