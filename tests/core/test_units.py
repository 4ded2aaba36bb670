"""Standard units: measured without cancellation, refused on overflow, and equivariant."""

from fractions import Fraction
from itertools import islice
from math import isclose, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.kernels import workspace_of
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core import units
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.kernel.posterior import evaluate
from gmmcli.core.rows import Rows
from gmmcli.core.start.partitions import Partitions
from gmmcli.core.start.starts import Starts

finite = st.floats(-1e150, 1e150, allow_subnormal=False)
near_huge_offset = st.integers(-1000, 1000).map(lambda i: 1e15 + i)
columns = st.lists(finite, min_size=1, max_size=30) | st.lists(near_huge_offset, min_size=1, max_size=30)


def exact_mean_and_sd(values):
    """Return mean and population sd by fractions; the square root alone is rounded."""
    exact = [Fraction(v) for v in values]
    mean = sum(exact) / len(exact)
    variance = sum((v - mean) ** 2 for v in exact) / len(exact)
    # The root of a fraction that may be beyond the doubles: scaled by a power of four first.
    power = (variance.numerator.bit_length() - variance.denominator.bit_length()) // 2
    return float(mean), sqrt(variance / Fraction(4) ** power) * 2.0**power


def measured(values, cuts=()):
    blocks = np.split(np.array(values, dtype=float)[None], sorted(cuts), axis=1)
    return units.measure(map(Rows, blocks))


@given(values=columns, cuts=st.lists(st.integers(0, 30), max_size=4))
@settings(max_examples=150, deadline=None)
def test_mean_and_sd_of_any_blocks_are_those_of_exact_fractions(values, cuts):
    """For any blocks, centre and scale agree with exact arithmetic to 1e-12 of the range."""
    mean, sd = exact_mean_and_sd(values)

    found = measured(values, cuts).units(common=False)

    reach = max(map(abs, values))
    assert isclose(found.center[0], mean, rel_tol=0, abs_tol=1e-14 * reach)
    # Means of blocks are rounded to the offset: what they add to the squares is of that size squared.
    assert (
        found.scale[0] == 1.0
        if sd == 0
        else isclose(found.scale[0], sd, rel_tol=1e-12, abs_tol=1e-15 * reach)
    )


def test_one_pass_at_an_offset_of_1e15_keeps_every_digit():
    """Values 1e15 + {0, 1, 2} have sd √(2/3), though E[x²] − mean² would lose all digits."""
    found = measured([1e15, 1e15 + 1, 1e15 + 2]).units(common=False)

    assert found.center[0] == 1e15 + 1
    assert found.scale[0] == pytest.approx(sqrt(2 / 3), rel=1e-15)


@given(values=st.lists(finite, min_size=2, max_size=20), cut=st.integers(1, 19))
@settings(max_examples=60, deadline=None)
def test_merging_is_commutative_to_rounding(values, cut):
    """The order of the parts does not matter."""
    X = np.array(values)[None]
    cut = min(cut, X.shape[1] - 1)
    a, b = units.Spread.of(Rows(X[:, :cut])), units.Spread.of(Rows(X[:, cut:]))

    one, other = (a + b).units(common=False), (b + a).units(common=False)

    reach = np.abs(X).max()
    np.testing.assert_allclose(one.center, other.center, rtol=0, atol=1e-14 * reach)
    np.testing.assert_allclose(one.scale, other.scale, rtol=1e-13, atol=1e-15 * reach)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 1e-300, 3.7e15])
@pytest.mark.parametrize("cuts", [(), (1, 2), (3,)])
def test_a_constant_column_has_its_value_as_centre_and_scale_exactly_one(value, cuts):
    """Standardised it is exactly 0, in any number of blocks."""
    spread = measured([value] * 7, cuts)
    found = spread.units(common=False)

    assert spread.is_constant.tolist() == [True]
    assert (found.center[0], found.scale[0]) == (value, 1.0)
    assert units.find_extreme_column(found) is None


def test_columns_constant_within_blocks_but_not_between_are_not_constant():
    """Two blocks, each of one value, have a spread."""
    spread = measured([1.0, 1.0, 3.0, 3.0], (2,))

    assert spread.is_constant.tolist() == [False]
    assert spread.units(common=False).scale[0] == 1.0
    assert spread.units(common=False).center[0] == 2.0


EXTREME = {
    "beyond 1e150": [0.0, 1e160, 2e160],
    "near the largest double": [-1e300, 0.0, 1e300],
    "a range beyond the doubles": [-1.7e308, 0.0, 1.7e308],
    "below 1e-150": [0.0, 1e-160, 2e-160],
    "subnormal": [0.0, 5e-324, 1e-320],
}


@pytest.mark.parametrize("cuts", [(), (1,), (1, 2)])
@pytest.mark.parametrize("case", EXTREME)
def test_a_column_that_leaves_the_doubles_is_found(case, cuts):
    """Overflow and underflow are both found, without a warning."""
    ordinary = [[1.0, 2.0, 4.0]] * 3
    X = np.array([*ordinary[:2], EXTREME[case], *ordinary[2:]])

    spread = units.measure(map(Rows, np.split(X, cuts, axis=1)))

    assert units.find_extreme_column(spread.units(common=False)) == 2


@pytest.mark.parametrize("common", [False, True])
def test_a_spread_below_the_smallest_double_is_no_constant(common):
    """Its sd rounds to 0, which cannot be a scale; a constant column has scale 1."""
    found = units.measure([Rows(np.array([[7.0, 7.0], [-1e-323, -5e-324]]))]).units(common=common)

    assert found.scale.tolist() == ([0.0, 0.0] if common else [1.0, 0.0])
    assert units.find_extreme_column(found) == (0 if common else 1)


@pytest.mark.parametrize(
    ("distances", "scale", "expected"),
    [([1e99, 1e99], 1.0, None), ([1.0, 1e101], 1e-9, 1), ([1e4, 1e2], 1e147, 0), ([np.nan, 1.0], 1.0, 0)],
)
def test_what_is_too_far_to_be_squared_is_found(distances, scale, expected):
    """In standard deviations or in the table's units, whichever overflows first."""
    found = units.find_far_column(np.array(distances), units.Units(np.zeros(2), np.full(2, scale)))

    assert found == expected


@pytest.mark.parametrize(
    ("covariance_type", "covariances", "expected"),
    [
        ("full", [np.eye(2), [[1.0, 0.0], [0.0, 1e-90]]], 1),
        ("full", [np.eye(2), [[1e-70, 0.0], [0.0, 1e190]]], None),
        ("tied", [[1e210, 0.0], [0.0, 1.0]], 0),
        ("diag", [[1.0, 1.0], [1.0, 0.0]], 1),
        ("spherical", [1.0, np.inf], 0),
    ],
)
def test_a_variance_that_no_row_can_be_told_in_is_found(covariance_type, covariances, expected):
    """Squared distances over such a variance would overflow."""
    structure = FAMILIES[covariance_type].structure
    assert units.find_extreme_variance(np.array(covariances), structure, 2) == expected


@pytest.mark.parametrize("exponent", [-149, 149])
def test_scales_within_150_orders_of_magnitude_are_accepted(exponent):
    """10^±149 is accepted like 1."""
    found = measured([0.0, 10.0**exponent, 2 * 10.0**exponent]).units(common=False)

    assert units.find_extreme_column(found) is None
    assert found.scale[0] == pytest.approx(sqrt(2 / 3) * 10.0**exponent, rel=1e-12)


@pytest.mark.parametrize("case", ["beyond 1e150", "near the largest double", "a range beyond the doubles"])
def test_a_huge_column_spoils_the_common_scale_and_is_found(case):
    """The root of the mean variance is as extreme as its largest column."""
    spread = measured(EXTREME[case]).units(common=True)

    assert units.find_extreme_column(spread) == 0


def test_the_common_scale_is_the_root_of_the_mean_variance():
    """All columns get it, constant columns too."""
    X = np.array([[0.0, 2.0], [0.0, 4.0], [5.0, 5.0]])

    found = units.measure([Rows(X)]).units(common=True)

    np.testing.assert_allclose(found.scale, np.sqrt((1 + 4 + 0) / 3), rtol=1e-15)
    assert found.center.tolist() == [1.0, 2.0, 5.0]


def test_a_table_of_constants_has_common_scale_one():
    """The mean variance is 0."""
    found = units.measure([Rows(np.array([[3.0, 3.0], [1.0, 1.0]]))]).units(common=True)

    assert found.scale.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_there_and_back_is_the_same_mixture(covariance_type):
    """to_table inverts to_standard, and densities differ by the Jacobian alone."""
    rng = np.random.default_rng(1)
    mixture = random_mixture(rng, covariance_type, 3, 2)
    common = FAMILIES[covariance_type].structure.has_common_scale
    scale = np.full(2, 30.0) if common else np.array([30.0, 1e-3])
    u = units.Units(np.array([7.0, -1e4]), scale)

    back = u.to_standard(u.to_table(mixture))

    np.testing.assert_allclose(back.means, mixture.means, rtol=0, atol=1e-8)
    np.testing.assert_allclose(back.covariances, mixture.covariances, rtol=1e-14)
    assert back.weights.tobytes() == mixture.weights.tobytes()
    assert u.log_jacobian == pytest.approx(np.log(scale).sum(), rel=1e-15)


def labels_and_likelihood(X, covariance_type):
    """Return labels and the likelihood in the table's units, after twenty steps from k-means."""
    u = units.measure([Rows(X)]).units(common=FAMILIES[covariance_type].structure.has_common_scale)
    Z = u.standardise(X.copy())
    rows = OneTable([[Z]])
    starts = Starts(
        rows.engine, rows.table, Partitions(rows.table, u.scale), covariance_type, 3, Rules(reg_covar=1e-6)
    )
    mixture = starts.draw("kmeans", np.random.default_rng(2))
    steps = iterate(Origin(mixture), rows.engine, rows.table, Rules(reg_covar=1e-6))
    step = next(islice(steps, 20, None))
    kernel = Kernel(step.mixture)
    found = evaluate(kernel, workspace_of(kernel).load(Z), ("assignment",))
    return found["assignment"], step.likelihoods[-1] - u.log_jacobian


@pytest.fixture(scope="module")
def three_clusters():
    rng = np.random.default_rng(3)
    return random_rows(rng, random_mixture(rng, "full", 3, 2), 300, 0.3)


@pytest.mark.parametrize("factor", [1e5, 1e-5])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_multiplying_a_column_changes_neither_labels_nor_likelihood(three_clusters, covariance_type, factor):
    """For spherical, the whole table; the likelihood changes by the Jacobian."""
    factors = np.full(2, factor) if covariance_type.endswith("spherical") else np.array([1.0, factor])

    labels, likelihood = labels_and_likelihood(three_clusters, covariance_type)
    scaled_labels, scaled = labels_and_likelihood(three_clusters * factors[:, None], covariance_type)

    assert scaled_labels.tolist() == labels.tolist()
    assert scaled + np.log(factors).sum() == pytest.approx(likelihood, abs=1e-9)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_adding_ten_million_changes_neither_labels_nor_likelihood(three_clusters, covariance_type):
    """Up to the rounding error of the addition, 1e-9 of a row."""
    labels, likelihood = labels_and_likelihood(three_clusters, covariance_type)
    moved_labels, moved = labels_and_likelihood(three_clusters + np.array([[0.0], [1e7]]), covariance_type)

    assert moved_labels.tolist() == labels.tolist()
    assert moved == pytest.approx(likelihood, abs=1e-7)
