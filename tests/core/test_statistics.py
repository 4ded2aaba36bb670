"""Statistics add, shift and scale like the sums over rows that they hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmcli.core.families import FAMILIES
from gmmcli.core.statistics import Statistics

ABOUT_FOUR_DIGITS_ABOVE_EPS = 1e-12
covariance_types = st.sampled_from(list(FAMILIES))
seeds = st.integers(0, 2**32 - 1)


def brute_force(X, resp, reference, covariance_type):
    """Return the statistics of rows (d, n) by their definition, in long double."""
    centred = X.astype(np.longdouble)[None] - reference[:, :, None]
    products = np.einsum("kn,kin,kjn->kij", resp, centred, centred)
    squares = {
        "full": products,
        "tied": products.sum(axis=0),
        "diag": np.einsum("kii->ki", products),
        "spherical": np.einsum("kii->k", products),
    }[covariance_type.removeprefix("tied-")]
    return Statistics(
        counts=resp.sum(axis=1).astype(float),
        sums=np.einsum("kn,kin->ki", resp, centred).astype(float),
        squares=squares.astype(float),
        reference=reference,
        log_likelihood=-float(X.shape[1]),
        rows=X.shape[1],
        log_max_posterior=-0.25 * X.shape[1],
        total_weight=float(resp.sum()),
        covariance_type=covariance_type,
    )


def draw(seed, covariance_type, n_rows=30, K=3, d=2):
    rng = np.random.default_rng(seed)
    X, resp = rng.normal(size=(d, n_rows)), rng.dirichlet(np.ones(K), n_rows).T
    return X, resp, rng.normal(size=(K, d)), rng


def assert_same(found, expected, rtol=ABOUT_FOUR_DIGITS_ABOVE_EPS):
    for name in ("counts", "sums", "squares", "reference", "log_likelihood", "total_weight"):
        exact = np.asarray(getattr(expected, name))
        atol = rtol * max(1.0, np.abs(exact).max())
        np.testing.assert_allclose(getattr(found, name), exact, rtol=0, atol=atol, err_msg=name)
    assert found.rows == expected.rows


@given(seed=seeds, covariance_type=covariance_types)
@settings(max_examples=40, deadline=None)
def test_shifted_statistics_are_those_about_the_new_reference(seed, covariance_type):
    """A shift is exact algebra: the same rows about another point."""
    X, resp, reference, rng = draw(seed, covariance_type)
    other = rng.normal(size=reference.shape)

    shifted = brute_force(X, resp, reference, covariance_type).shifted(other)

    assert_same(shifted, brute_force(X, resp, other, covariance_type))


@given(seed=seeds, covariance_type=covariance_types, cut=st.integers(1, 29))
@settings(max_examples=40, deadline=None)
def test_statistics_of_parts_with_different_references_add_up_to_those_of_the_whole(
    seed, covariance_type, cut
):
    """Parts are shifted to the reference of the left one before they are added."""
    X, resp, reference, rng = draw(seed, covariance_type)
    left = brute_force(X[:, :cut], resp[:, :cut], reference, covariance_type)
    right = brute_force(X[:, cut:], resp[:, cut:], rng.normal(size=reference.shape), covariance_type)

    assert_same(left + right, brute_force(X, resp, reference, covariance_type))


@given(seed=seeds, covariance_type=covariance_types)
@settings(max_examples=30, deadline=None)
def test_addition_is_associative_to_rounding(seed, covariance_type):
    """The sum of three parts does not depend on the order of the additions."""
    a, b, c = (brute_force(*draw([seed, i], covariance_type)[:3], covariance_type) for i in range(3))

    assert_same((a + b) + c, a + (b + c))


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_empty_statistics_are_neutral_on_both_sides_to_the_last_bit(covariance_type):
    """Adding them keeps reference and digits, even for a cluster of sd 1e-8 far from the origin."""
    X, resp, _, _ = draw(1, covariance_type)
    tight = brute_force(1e-8 * X + 1.0, resp, np.ones((3, 2)), covariance_type)
    empty = Statistics.empty(covariance_type, 3, 2)

    for found in (empty + tight, tight + empty):
        assert_same(found, tight, rtol=0)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_component_without_mass_takes_its_reference_from_the_other_side(covariance_type):
    """Components with rows on the left keep the reference of the left."""
    X, resp, reference, _ = draw(2, covariance_type)
    resp[0] = 0.0
    left = brute_force(X, resp, np.zeros((3, 2)), covariance_type)
    right = brute_force(X, np.ones((3, 30)), reference, covariance_type)

    found = (left + right).reference

    assert found.tolist() == [reference[0].tolist(), [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_scaled_statistics_are_those_of_rows_with_scaled_weights(covariance_type):
    """Decay multiplies every sum, but not the number of rows or the reference."""
    X, resp, reference, _ = draw(3, covariance_type)
    statistics = brute_force(X, resp, reference, covariance_type)

    found = statistics.scaled(0.25)

    expected = brute_force(X, 0.25 * resp, reference, covariance_type)
    np.testing.assert_allclose(found.squares, expected.squares, rtol=1e-14)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-13)
    np.testing.assert_allclose(found.counts, expected.counts, rtol=1e-14)
    assert found.log_likelihood == 0.25 * statistics.log_likelihood
    assert found.total_weight == 0.25 * statistics.total_weight
    assert found.rows == 30


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_no_operation_changes_its_operands(covariance_type):
    """Statistics are values: adding, shifting and scaling make new ones."""
    X, resp, reference, _ = draw(4, covariance_type)
    statistics = brute_force(X, resp, reference, covariance_type)
    before = [getattr(statistics, name).tobytes() for name in ("counts", "sums", "squares", "reference")]

    for result in (statistics + statistics, statistics.shifted(reference + 1), statistics.scaled(2.0)):
        result.squares[...] = 0.0
        result.sums[...] = 0.0

    after = [getattr(statistics, name).tobytes() for name in ("counts", "sums", "squares", "reference")]
    assert after == before
