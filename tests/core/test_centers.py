"""Centres and partitions: seeds, Lloyd's algorithm, and Ward's linkage against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from gmmcli.core.start.centers import LLOYD_TOLERANCE, cut, lloyd, nearest, spread_rows, ward

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n_tried", [1, 3])
def test_seeds_avoid_rows_that_are_taken(seed: int, n_tried: int) -> None:
    """With as many distinct rows as seeds, every row is drawn."""
    points = np.repeat(np.array([[0.0, 1e-3, 5.0, -3.0], [0.0, 0.0, 5.0, 1.0]]), 25, axis=1)

    found = spread_rows(points, None, 4, np.random.default_rng(seed), n_tried)

    assert len(np.unique(found, axis=0)) == 4


def test_more_seeds_than_distinct_rows_are_repeated() -> None:
    """Any row will do when none is left that differs."""
    assert spread_rows(np.zeros((2, 5)), None, 3, np.random.default_rng(0)).tolist() == [[0.0, 0.0]] * 3


def test_the_distribution_of_seeds_is_that_of_squared_distances() -> None:
    """From 0, the row at 3 is drawn nine times as often as the row at 1."""
    points = np.array([[0.0, 1.0, 3.0]])
    drawn = [spread_rows(points, None, 2, np.random.default_rng(seed))[:, 0] for seed in range(600)]

    after_zero = [pair[1] for pair in drawn if pair[0] == 0.0]

    share = np.mean(np.array(after_zero) == 3.0)
    # 0.9 within four standard errors of about 200 draws.
    assert abs(share - 0.9) < 4 * np.sqrt(0.09 / len(after_zero))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, n_components=st.integers(1, 5))
def test_lloyd_ends_at_means_of_nearest_rows_and_never_further_away(seed: int, n_components: int) -> None:
    """Integer weights are repeated rows."""
    rng = np.random.default_rng(seed)
    points, weights = rng.normal(size=(2, 80)), rng.integers(1, 4, 80)
    centers = points[:, :n_components].T

    def objective(centers: np.ndarray) -> float:
        distances = ((points.T[:, None] - centers) ** 2).sum(axis=2).min(axis=1)
        return float(weights @ distances)

    found = lloyd(points, weights.astype(float), centers)

    assert objective(found) <= objective(centers) * (1 + 1e-12)
    label = nearest(points, found)
    for k in np.unique(label):
        mean = np.average(points[:, label == k], axis=1, weights=weights[label == k])
        np.testing.assert_allclose(found[k], mean, atol=LLOYD_TOLERANCE**0.5)
    np.testing.assert_allclose(found, lloyd(np.repeat(points, weights, axis=1), None, centers), atol=1e-9)


def test_a_centre_that_no_row_is_nearest_to_stays() -> None:
    """Lloyd neither moves it nor makes it NaN."""
    found = lloyd(np.array([[0.0, 1.0, 2.0]]), None, np.array([[1.0], [500.0]]))

    assert found.tolist() == [[1.0], [500.0]]


@settings(max_examples=60, deadline=None)
@given(seed=seeds, n=st.integers(1, 60), d=st.integers(1, 4), n_components=st.integers(1, 6))
def test_ward_gives_the_clusters_of_scipy(seed: int, n: int, d: int, n_components: int) -> None:
    """Chains of nearest neighbours find the tree of the greedy algorithm."""
    points = np.random.default_rng(seed).normal(size=(d, n))

    found = cut(ward(points), n, n_components)

    n_clusters = min(n, n_components)
    assert found.max() + 1 == n_clusters
    if n > 1:
        expected = fcluster(linkage(points.T, "ward"), n_clusters, "maxclust")
        assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == n_clusters
