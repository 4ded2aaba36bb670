"""Starts: reproducible, equally shared at ties, and good enough to find known optima."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core import units
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.start import starts as start
from gmmcli.core.start.partitions import Kind, Partitions
from gmmcli.core.start.starts import Starts

KINDS = ("kmeans", "kmeans++", "random")


def rows_of(table):
    """Return a table of rows given one by one."""
    return OneTable([[np.ascontiguousarray(np.array(table, dtype=float).T)]])


def starts_of(rows, covariance_type, n_components, reg_covar):
    rules, scale = Rules("wmc", reg_covar), np.ones(rows.table.n_features)
    return Starts(
        rows.engine, rows.table, Partitions(rows.table, scale), covariance_type, n_components, rules
    )


def draw(rows, kind, covariance_type, n_components, reg_covar, seed):
    starts = starts_of(rows, covariance_type, n_components, reg_covar)
    return starts.draw(kind, np.random.default_rng(seed))


@pytest.fixture
def rows():
    rng = np.random.default_rng(1)
    return OneTable([[random_rows(rng, random_mixture(rng, "full", 4, 3), 500, 0.2)]])


def bytes_of(mixture):
    return [array.tobytes() for array in (mixture.weights, mixture.means, mixture.covariances)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_the_seed_decides_a_start_to_the_last_bit(rows, kind, covariance_type):
    """The same seed gives the same bytes, another seed another start; k-means may end at the same centres."""
    one, again, other = (draw(rows, kind, covariance_type, 3, 1e-6, seed) for seed in (5, 5, 6))

    assert bytes_of(one) == bytes_of(again)
    assert kind == "kmeans" or bytes_of(one) != bytes_of(other)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_random_start_stands_on_distinct_rows_with_the_tables_covariance(rows, covariance_type):
    """Means are rows, weights are equal, and covariances are unbiased plus the regularisation."""
    found = draw(rows, "random", covariance_type, 5, 0.5, 2)

    table = rows.all_rows()
    covariance = np.cov(table.T) + 0.5 * np.eye(3)
    expected = {
        "full": np.stack([covariance] * 5),
        "tied": covariance,
        "diag": np.stack([np.diag(covariance)] * 5),
        "spherical": np.full(5, np.trace(covariance) / 3),
    }[covariance_type.removeprefix("tied-")]
    assert {tuple(mean) for mean in found.means} <= {tuple(row) for row in table}
    assert len({tuple(mean) for mean in found.means}) == 5
    assert found.weights.tolist() == [0.2] * 5
    np.testing.assert_allclose(found.covariances, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_the_covariance_around_given_means_does_not_depend_on_them(rows, covariance_type):
    """It is the table's, about the table's own mean."""
    near, far = (
        starts_of(rows, covariance_type, 2, 0.0).around_means(np.full((2, 3), mean)).covariances
        for mean in (0.0, 50.0)
    )

    assert near.tobytes() == far.tobytes()


def test_a_table_of_one_row_has_covariance_zero_not_nan():
    """The divisor n − 1 is never 0."""
    found = starts_of(rows_of([[2.0, 3.0]]), "full", 1, 1e-6).around_means(np.array([[2.0, 3.0]]))

    np.testing.assert_allclose(found.covariances, 1e-6 * np.eye(2)[None], rtol=1e-9)


def test_distinct_rows_looks_past_duplicates():
    """Three distinct values among a thousand rows are all found, each once."""
    table = [[0.0, 0.0]] * 998 + [[1.0, 0.0], [2.0, 0.0]]

    found = start.distinct_rows(rows_of(table).table, 3, np.random.default_rng(3))

    assert sorted(map(tuple, found)) == [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]


def test_fewer_distinct_rows_than_components_are_repeated_in_turn():
    """Two values for five components: each appears at least twice."""
    found = start.distinct_rows(rows_of([[0.0], [1.0]] * 50).table, 5, np.random.default_rng(4))

    assert sorted(np.unique(found[:, 0], return_counts=True)[1].tolist()) == [2, 3]


def test_minus_zero_is_not_another_row():
    """−0.0 and 0.0 are equal, so they count once, whichever is drawn first."""
    rows = rows_of([[-0.0], [0.0], [1.0]])

    found = [start.distinct_rows(rows.table, 2, np.random.default_rng(seed))[:, 0] for seed in range(10)]

    assert all(set(means.tolist()) == {0.0, 1.0} for means in found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_more_components_than_distinct_rows_still_give_a_mixture(kind, covariance_type):
    """Duplicated centres share their rows; every number is finite."""
    found = draw(rows_of([[0.0, 1.0], [1.0, 0.0]] * 20), kind, covariance_type, 4, 1e-3, 6)

    assert found.n_components == 4
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.isfinite(found.covariances).all()


def test_rows_equally_near_to_several_centres_are_shared_equally():
    """The middle row counts half for either side."""
    rows = rows_of([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])

    found = start.from_partition(
        rows.engine, rows.table, np.array([[-1.0, 0.0], [1.0, 0.0]]), "diag", Rules(reg_covar=0.5)
    )

    assert found.weights.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(found.means, [[-2 / 3, 0.0], [2 / 3, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(found.covariances[0], [2 / 9 + 0.5, 0.5], rtol=1e-15)


def test_canonical_order_is_by_weight_then_by_means():
    """Greater weights first, then smaller means; covariances follow."""
    mixture = Mixture(
        np.array([0.2, 0.3, 0.2, 0.3]),
        np.array([[1.0, 5.0], [2.0, 0.0], [1.0, 4.0], [-2.0, 9.0]]),
        np.array([1.0, 2.0, 3.0, 4.0]),
        "spherical",
    )

    found = start.in_canonical_order(mixture)

    assert found.covariances.tolist() == [4.0, 2.0, 3.0, 1.0]
    assert found.means.tolist() == [[-2.0, 9.0], [2.0, 0.0], [1.0, 4.0], [1.0, 5.0]]
    assert found.weights.tolist() == [0.3, 0.3, 0.2, 0.2]


def test_canonical_order_leaves_a_tied_covariance_alone():
    """It belongs to no component."""
    covariance = np.array([[1.0, 0.2], [0.2, 3.0]])
    mixture = Mixture(np.array([0.1, 0.9]), np.array([[0.0, 0.0], [1.0, 1.0]]), covariance, "tied")

    found = start.in_canonical_order(mixture)

    assert found.weights.tolist() == [0.9, 0.1]
    assert found.covariances.tolist() == covariance.tolist()


def test_the_portfolio_begins_with_one_of_each_kind_and_named_kinds_repeat():
    """More starts are those of fewer, and others behind them."""
    everything = start.portfolio("auto", 64)

    assert {Kind("ward"), Kind("kmeans"), Kind("random")} <= set(everything[: start.FEWEST_STARTS])
    assert all(start.portfolio("auto", n) == everything[:n] for n in range(1, 64))
    assert start.portfolio("random", 2) == [Kind("random")] * 2


def test_auto_makes_many_starts_where_they_cost_little():
    """On a large table each of them costs much more."""
    assert start.automatic_starts("full", 3, 4, 150) == start.MOST_STARTS
    assert start.automatic_starts("full", 8, 16, 200_000) == start.FEWEST_STARTS
    assert start.automatic_starts("full", 1, 4, 150) == 1


def test_a_start_depends_only_on_the_seed_and_its_turn(rows):
    """The second start of a kind is the same, whatever other starts there are."""
    drawn = {}

    class Watched(Partitions):
        def labels(self, kind, n_components, turn, rng):
            drawn.setdefault((kind, turn), []).append(rng.random())
            return super().labels(kind, n_components, turn, rng)

    one = starts_of(rows, "full", 4, 1e-6)
    watched = replace(one, partitions=Watched(one.table, one.partitions.scale))
    for n_starts in (14, 26):
        watched.choose("auto", n_starts, 9, lambda text: None)

    assert len(drawn) > 14
    assert all(len(set(numbers)) == 1 for numbers in drawn.values())


# Best known log-likelihoods, in the table's units, found by many starts of several programs.
FAITHFUL = [
    ("full", 1, -1289.796745),
    ("full", 2, -1130.263960),
    ("tied", 2, -1140.186759),
    ("diag", 2, -1147.806353),
    ("spherical", 2, -1709.529282),
    ("tied", 3, -1126.315928),
]


def optimum(X, covariance_type, n_components):
    """Return the log-likelihood that `auto` leads to."""
    u = units.measure([Rows(X)]).units(common=FAMILIES[covariance_type].structure.has_common_scale)
    rows = OneTable([[u.standardise(X.copy())]])
    starts = starts_of(rows, covariance_type, n_components, 0.0)
    mixture = starts.choose("auto", 20, 0, lambda text: None).mixture
    for step in islice(iterate(Origin(mixture), rows.engine, rows.table, Rules()), 2000):
        if step.has_converged(1e-8):
            break
    return step.expectation.statistics.log_likelihood - rows.table.n_rows * u.log_jacobian


@pytest.mark.parametrize(("covariance_type", "n_components", "expected"), FAITHFUL)
def test_auto_finds_the_best_known_optimum_of_faithful(faithful, covariance_type, n_components, expected):
    """Eruptions and waiting times, to a thousandth of a nat."""
    X = np.array([faithful["eruptions"], faithful["waiting"]])

    assert optimum(X, covariance_type, n_components) == pytest.approx(expected, abs=1e-3)


def test_auto_finds_the_best_known_optimum_of_one_column(faithful):
    """Waiting times alone."""
    assert optimum(faithful["waiting"][None].copy(), "full", 2) == pytest.approx(-1034.001750, abs=1e-3)
