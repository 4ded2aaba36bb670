"""One E and one M against the slow reference, for every type, weighting and frozen block."""

from itertools import chain, combinations

import numpy as np
import pytest
from oracles import slow_em
from oracles.kernels import workspace_of
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules, empty_components, maximise
from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows

PLAIN = Rules()
SUBSETS = ["".join(s) for s in chain.from_iterable(combinations("wmc", n) for n in range(4))]


def fast(X, mixture, row_weights=None, *, hard=False):
    kernel = Kernel(mixture)
    sums, log_density = kernel.expectation(Rows(X, row_weights), workspace_of(kernel), hard=hard)
    scatter = (X if row_weights is None else X * row_weights) @ X.T
    return kernel.statistics(sums, scatter), sums, log_density


def assert_close(found: Mixture, expected: Mixture, rtol: float = 1e-9):
    for name in ("weights", "means", "covariances"):
        exact = getattr(expected, name)
        np.testing.assert_allclose(
            getattr(found, name), exact, rtol=0, atol=rtol * max(np.abs(exact).max(), 1e-300), err_msg=name
        )


@pytest.fixture(params=FAMILIES)
def mixture(request):
    return random_mixture(np.random.default_rng(11), request.param, 3, 4, condition=100.0)


@pytest.fixture(name="X")
def rows_around(mixture):
    return random_rows(np.random.default_rng(12), mixture, 400)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_e_and_one_m_are_those_of_the_definitions(mixture, X, weighted, hard):
    """Likelihoods, responsibilities and the next mixture agree with the slow reference."""
    row_weights = np.random.default_rng(13).integers(0, 4, X.shape[1]) * 0.5 if weighted else None

    statistics, sums, log_density = fast(X, mixture, row_weights, hard=hard)

    slow = slow_em.expectation(X, mixture, row_weights, hard=hard)
    assert statistics.log_likelihood == pytest.approx(float(slow.log_likelihood), rel=1e-11)
    assert sums.log_max_posterior == pytest.approx(float(slow.log_max_posterior), rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(log_density, slow.log_density.astype(float), rtol=1e-10)
    np.testing.assert_allclose(statistics.counts, slow.resp.sum(axis=1).astype(float), rtol=1e-10)
    assert_close(maximise(statistics, mixture, PLAIN), slow_em.maximise(X, slow.resp, mixture))


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("n_tight", [0, 1, 3])
@pytest.mark.parametrize("d", [2, 7, 40])
def test_covariances_are_symmetric_to_the_last_bit(covariance_type, n_tight, d):
    """In either form, after statistics were added and taken about another reference."""
    rng = np.random.default_rng([d, n_tight])
    mixture = random_mixture(rng, covariance_type, 12, d)
    scale = np.where(np.arange(12) < n_tight, 1e-12, 1.0)[:, None, None]
    covariances = mixture.covariances * (scale if covariance_type == "full" else scale.min())
    mixture = Mixture(mixture.weights, mixture.means, covariances, covariance_type)
    X = random_rows(rng, mixture, 300)

    statistics = fast(X, mixture)[0] + fast(X[:, :100], mixture)[0].scaled(0.3)
    found = (maximise(statistics, mixture, Rules(params)).covariances for params in ("wc", "wmc"))

    assert Kernel(mixture).is_centred.any() == (n_tight > 0)
    for covariances in found:
        np.testing.assert_array_equal(covariances, np.swapaxes(covariances, -1, -2))


def test_rows_and_weight_are_counted(mixture, X):
    """A row of weight 0 is not counted; the total weight is the sum."""
    row_weights = np.arange(X.shape[1]) % 3 * 0.25

    statistics, _, _ = fast(X, mixture, row_weights)

    assert statistics.rows == np.count_nonzero(row_weights)
    assert statistics.total_weight == row_weights.sum()
    assert statistics.counts.sum() == pytest.approx(row_weights.sum(), rel=1e-12)


def test_integer_weights_equal_repeated_rows(mixture, X):
    """A row of weight 3 counts as the row three times."""
    row_weights = np.random.default_rng(14).integers(0, 4, X.shape[1])

    weighted, _, _ = fast(X, mixture, row_weights.astype(float))
    repeated, _, _ = fast(np.repeat(X, row_weights, axis=1), mixture)

    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-12)
    assert_close(maximise(weighted, mixture, PLAIN), maximise(repeated, mixture, PLAIN), 1e-12)


@pytest.mark.parametrize("params", SUBSETS)
def test_frozen_blocks_stay_bit_for_bit_and_the_rest_is_right(mixture, X, params):
    """For every subset of w, m, c; covariances are taken about the current means, frozen or new."""
    statistics, _, _ = fast(X, mixture)

    found = maximise(statistics, mixture, Rules(params, 1e-3))

    slow = slow_em.expectation(X, mixture)
    assert_close(found, slow_em.maximise(X, slow.resp, mixture, params, 1e-3))
    for letter, name in zip("wmc", ("weights", "means", "covariances"), strict=True):
        if letter not in params:
            assert getattr(found, name).tobytes() == getattr(mixture, name).tobytes()


@pytest.mark.parametrize("params", SUBSETS)
def test_thirty_steps_are_those_of_the_slow_oracle(mixture, X, params):
    """Frozen blocks are exact, free ones agree to 1e-10: after 1, 3 and 30 steps."""
    slow, rows = mixture, OneTable([[X]])
    steps = iterate(Origin(mixture), rows.engine, rows.table, Rules(params, 1e-6))
    next(steps)

    for number, step in zip(range(1, 31), steps, strict=False):
        slow = slow_em.maximise(X, slow_em.expectation(X, slow).resp, slow, params, 1e-6)
        if number in (1, 3, 30):
            assert_close(step.mixture, slow, 1e-10)
            for letter, name in zip("wmc", ("weights", "means", "covariances"), strict=True):
                if letter not in params:
                    assert getattr(step.mixture, name).tobytes() == getattr(mixture, name).tobytes()


def test_the_regularisation_is_added_once_to_every_variance(mixture, X):
    """It is added to variances, not to covariances."""
    statistics, _, _ = fast(X, mixture)

    plain, regularised = (maximise(statistics, mixture, Rules(reg_covar=r)) for r in (0.0, 0.25))

    added = regularised.covariances - plain.covariances
    is_matrix = mixture.covariance_type in ("full", "tied")
    expected = 0.25 * np.eye(4) if is_matrix else 0.25
    np.testing.assert_allclose(added, np.broadcast_to(expected, added.shape), atol=1e-15)


def test_an_empty_component_keeps_mean_and_covariance_and_gets_weight_zero(mixture, X):
    """A component 1e4 sd from all rows gets none; the others are the same as without it."""
    means = mixture.means.copy()
    means[1] = 1e4
    far = Mixture(mixture.weights, means, mixture.covariances, mixture.covariance_type)

    statistics, _, _ = fast(X, far)
    found = maximise(statistics, far, PLAIN)

    assert empty_components(statistics) == [1]
    assert found.weights[1] == 0.0
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-15)
    assert found.means[1].tobytes() == means[1].tobytes()
    if not mixture.family.is_equal:
        assert found.covariances[1].tobytes() == mixture.covariances[1].tobytes()
    assert_close(found, slow_em.maximise(X, slow_em.expectation(X, far).resp, far))


def test_rows_equally_near_to_several_components_are_shared_equally():
    """A hard assignment shares ties, with a largest responsibility of one half."""
    mixture = Mixture(np.full(2, 0.5), np.array([[-1.0], [1.0]]), np.ones(2), "spherical")

    statistics, sums, _ = fast(np.array([[0.0, -2.0]]), mixture, hard=True)

    assert statistics.counts.tolist() == [1.5, 0.5]
    assert sums.log_max_posterior == pytest.approx(-np.log(2), rel=1e-15)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_clusters_of_1e_7_of_their_distance_get_the_right_parameters(covariance_type):
    """From near the truth, with no regularisation, three steps give the parameters to 1e-6."""
    rng = np.random.default_rng(15)
    centers, sd, n = np.array([[0.0, 1.0], [1.0, -1.0], [-1.0, 0.0]]), 1e-7, 3000
    label = np.arange(n) % 3
    X = (centers[label] + sd * rng.normal(size=(n, 2))).T
    start = {
        "full": np.broadcast_to(4 * sd**2 * np.eye(2), (3, 2, 2)),
        "tied": 4 * sd**2 * np.eye(2),
        "diag": np.full((3, 2), 4 * sd**2),
        "spherical": np.full(3, 4 * sd**2),
    }[covariance_type.removeprefix("tied-")]
    mixture = Mixture(np.full(3, 1 / 3), centers + sd, start, covariance_type)

    for _ in range(3):
        mixture = maximise(fast(X, mixture)[0], mixture, PLAIN)

    truth = slow_em.maximise(X, (label == np.arange(3)[:, None]).astype(np.longdouble), mixture)
    assert_close(mixture, truth, 1e-6)
    np.testing.assert_allclose(mixture.covariances, truth.covariances, rtol=1e-6, atol=1e-6 * sd**2)
