"""Starts: reproducible, equally shared at ties, and good enough to find known optima."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core import start, units
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.start import Starts

KINDS = ("kmeans", "kmeans++", "random")


def rows_of(table):
    """Return a table of rows given one by one."""
    return OneTable([[np.ascontiguousarray(np.array(table, dtype=float).T)]])


def starts_of(rows, covariance_type, n_components, reg_covar):
    return Starts(rows.engine, rows.table, rows.table, covariance_type, n_components, Rules("wmc", reg_covar))


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
    """The same seed gives the same bytes, another seed another start."""
    one, again, other = (draw(rows, kind, covariance_type, 3, 1e-6, seed) for seed in (5, 5, 6))

    assert bytes_of(one) == bytes_of(again)
    assert bytes_of(one) != bytes_of(other)


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


@pytest.mark.parametrize("seed", range(8))
def test_seeds_of_kmeans_plus_plus_avoid_rows_that_are_taken(seed):
    """With as many distinct rows as seeds, every row is drawn."""
    table = np.repeat(np.array([[0.0, 0.0], [1e-3, 0.0], [5.0, 5.0], [-3.0, 1.0]]), 25, axis=0)

    rows = rows_of(table)

    found = start.spread_rows(rows.engine, rows.table, 4, np.random.default_rng(seed))

    assert len(np.unique(found, axis=0)) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_more_components_than_distinct_rows_still_give_a_mixture(kind, covariance_type):
    """Duplicated centres share their rows; every number is finite."""
    found = draw(rows_of([[0.0, 1.0], [1.0, 0.0]] * 20), kind, covariance_type, 4, 1e-3, 6)

    assert found.n_components == 4
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.isfinite(found.covariances).all()


def test_the_distribution_of_seeds_is_that_of_squared_distances():
    """From 0, the row at 3 is drawn nine times as often as the row at 1."""
    rows = rows_of([[0.0]] * 1 + [[1.0]] + [[3.0]])
    drawn = [
        tuple(start.spread_rows(rows.engine, rows.table, 2, np.random.default_rng(seed))[:, 0])
        for seed in range(600)
    ]

    after_zero = [pair[1] for pair in drawn if pair[0] == 0.0]

    share = np.mean(np.array(after_zero) == 3.0)
    # 0.9 within four standard errors of about 200 draws.
    assert abs(share - 0.9) < 4 * np.sqrt(0.09 / len(after_zero))


def test_rows_equally_near_to_several_centres_are_shared_equally():
    """The middle row counts half for either side."""
    rows = rows_of([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])

    found = start.from_partition(rows.engine, rows.table, np.array([[-1.0, 0.0], [1.0, 0.0]]), "diag", 0.5)

    assert found.weights.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(found.means, [[-2 / 3, 0.0], [2 / 3, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(found.covariances[0], [2 / 9 + 0.5, 0.5], rtol=1e-15)


@given(seed=st.integers(0, 2**32 - 1), n_components=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_the_objective_of_lloyd_never_rises(seed, n_components):
    """No step takes the rows further from their nearest centres; the last centres are means of their rows."""
    rng = np.random.default_rng(seed)
    rows = rows_of(rng.normal(size=(80, 2)))
    centers = rows.table.take(rng.permutation(80)[:n_components]).X.T
    table = rows.all_rows()

    def objective(centers):
        return ((table[:, None] - centers) ** 2).sum(axis=2).min(axis=1).sum()

    objectives = [objective(centers)]
    for _ in range(6):
        statistics = rows.expectation(start.spheres(centers), hard=True).statistics
        centers = maximise(statistics, start.spheres(centers), Rules("m")).means
        objectives.append(objective(centers))
    final = start.lloyd(rows.engine, rows.table, centers)

    assert (np.diff(objectives) <= 1e-12 * objectives[0]).all()
    assert objective(final) <= objectives[-1] * (1 + 1e-12)
    nearest = ((table[:, None] - final) ** 2).sum(axis=2).argmin(axis=1)
    for k in np.unique(nearest):
        # Lloyd rests when the squares of all moves come to its tolerance at most.
        np.testing.assert_allclose(
            final[k], table[nearest == k].mean(axis=0), atol=start.LLOYD_TOLERANCE**0.5
        )


def test_a_centre_that_no_row_is_nearest_to_stays():
    """Lloyd neither moves it nor makes it NaN."""
    rows = rows_of([[0.0], [1.0], [2.0]])

    found = start.lloyd(rows.engine, rows.table, np.array([[1.0], [500.0]]))

    assert found.tolist() == [[1.0], [500.0]]


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


def test_best_of_returns_the_start_that_becomes_most_likely(rows):
    """A start that is stuck in a local optimum loses, at any place in the list."""
    starts = starts_of(rows, "full", 4, 1e-6)
    good = draw(rows, "kmeans", "full", 4, 1e-6, 7)
    stuck = starts.around_means(np.zeros((4, 3)))  # equal components never part

    for mixtures in ([good, stuck], [stuck, good]):
        best = starts.best_of(mixtures)

        likelihood = rows.expectation(best).mean_log_likelihood
        assert likelihood > rows.expectation(stuck).mean_log_likelihood + 0.1
        assert likelihood >= rows.expectation(good).mean_log_likelihood


def test_best_of_nothing_is_refused(rows):
    """An empty list of starts is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one start"):
        starts_of(rows, "full", 4, 1e-6).best_of([])


def test_auto_takes_turns_and_the_other_kinds_repeat():
    """There are as many kinds as starts."""
    assert start.kinds_of("auto", 5) == ("kmeans", "kmeans++", "kmeans", "kmeans++", "kmeans")
    assert start.kinds_of("random", 2) == ("random", "random")


def test_every_start_has_a_random_stream_of_its_own(rows):
    """The third start does not depend on how many numbers the first two drew."""
    seen, told = {}, []

    class Watched(Starts):
        def draw(self, kind, rng):
            seen[kind] = rng.random()
            return super().draw("random", rng)

    starts = Watched(rows.engine, rows.table, rows.table, "full", 2, Rules("wmc", 1e-6))
    starts.choose(("a", "b", "c"), 9, lambda number, kind: told.append((number, kind)))

    assert [seen[kind] for kind in "abc"] == [np.random.default_rng([9, i]).random() for i in range(3)]
    assert told == [(1, "a"), (2, "b"), (3, "c")]


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
    mixture = starts.choose(start.kinds_of("auto", 8), 0, lambda number, kind: None)
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
