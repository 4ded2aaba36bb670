"""Covariances at the floor, and tables with dependent columns."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles.one_table import OneTable
from oracles.random_mixtures import in_shape_of, random_mixture

from gmmcli.core.degenerate import (
    Dependent,
    find_dependent,
    find_dependent_columns,
    find_narrow,
    pooled_covariance,
    restricted,
)
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture

LIMITS = Rules(reg_covar=1e-6).limits(3)
KINDS = pytest.mark.parametrize("covariance_type", FAMILIES)


def engine_over(X: np.ndarray) -> OneTable:
    """Return an engine whose table holds rows of shape (d, n)."""
    return OneTable([[X]])


def in_type(mixture: Mixture, covariance_type: str) -> Mixture:
    """Return full covariances reduced to another type."""
    return Mixture(
        mixture.weights, mixture.means, in_shape_of(covariance_type, mixture.covariances), covariance_type
    )


@KINDS
def test_a_component_at_the_floor_is_found_with_its_columns(covariance_type):
    """A variance of 1.5 times the regularisation is at the floor; 3 times is not."""
    mixture = random_mixture(np.random.default_rng(1), covariance_type, 2, 3)
    covariances = mixture.structure.lift(0 * mixture.covariances, 1.0)
    flat = {"full": (0, 1, 1), "tied": (1, 1), "diag": (0, 1), "spherical": (0,)}[
        covariance_type.removeprefix("tied-")
    ]
    found = []
    for factor in (1.5, 3.0):
        covariances[flat] = factor * 1e-6
        found.append(
            list(find_narrow(Mixture(mixture.weights, mixture.means, covariances, covariance_type), LIMITS))
        )

    columns = (0, 1, 2) if covariance_type.endswith("spherical") else (1,)
    assert found == [[(None if covariance_type.startswith("tied") else 0, columns)], []]


def test_a_flat_direction_across_all_of_many_columns_is_found():
    """Shares that sum to one are flat in a direction to which each column contributes little."""
    covariance = np.eye(30) - (1 - 1e-6) * np.full((30, 30), 1 / 30)
    mixture = Mixture(np.ones(1), np.zeros((1, 30)), covariance[None], "full")

    assert list(find_narrow(mixture, Rules(reg_covar=1e-6).limits(30))) == [(0, tuple(range(30)))]


def test_a_flat_direction_across_columns_names_those_that_take_part():
    """Two equal columns, next to an independent third."""
    direction = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    covariance = np.eye(3) - (1 - 1e-6) * np.outer(direction, direction)
    mixture = Mixture(np.ones(1), np.zeros((1, 3)), covariance[None], "full")

    assert list(find_narrow(mixture, LIMITS)) == [(0, (0, 1))]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 8))
@example(seed=503627859, d=6)
@example(seed=54642, d=5)  # columns that differ by a thousandth: what is left is known to 1e-10
def test_columns_that_others_determine_are_found_with_them(seed, d):
    """A constant, a multiple and a combination among independent columns; no other column is named."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(500, d)) * np.exp(rng.normal(size=d)) + 3
    columns = np.column_stack([X, np.full(500, 7.0), -2 * X[:, 1], X[:, 0] + 0.1 * X[:, 1]])
    order = rng.permutation(d + 3)
    shuffled = columns[:, order]
    spread = shuffled.std(axis=0)
    Z = (shuffled - shuffled.mean(axis=0)) / np.where(spread > 0, spread, 1)

    found = find_dependent(np.cov(Z.T, bias=True), 1e-10)

    place = np.argsort(order)
    group = {int(place[0]), int(place[1]), int(place[d + 1]), int(place[d + 2])}
    assert {one.column for one in found if not one.others} == {int(place[d])}
    related = [one for one in found if one.others]
    assert len(related) == 2
    for one in related:
        assert {one.column, *one.others} <= group
        assert max(one.others) < one.column
        design = Z[:, one.others]
        rest = Z[:, one.column] - design @ np.linalg.lstsq(design, Z[:, one.column])[0]
        assert (rest**2).mean() < 1e-10


def test_columns_of_their_own_are_not_named():
    """Strong correlation is not dependence."""
    assert find_dependent(np.array([[1.0, 0.9999], [0.9999, 1.0]]), 1e-10) == []


@KINDS
def test_columns_are_not_dependent_for_clusters_that_are_far_apart(covariance_type):
    """Two small round clusters lie nearly on a line; only the third column is a multiple."""
    rng = np.random.default_rng(3)
    Z = np.sign(rng.normal(size=1000)) + 1e-7 * rng.normal(size=(2, 1000))
    apart = Mixture(np.full(2, 0.5), [[-1.0] * 3, [1.0] * 3], np.tile(1e-14 * np.eye(3), (2, 1, 1)), "full")
    sharp = in_type(apart, covariance_type)

    found = find_dependent_columns(engine_over(np.array([*Z, Z[0]])).expectation(sharp).statistics, 2e-6)

    has_products = covariance_type in ("full", "tied")
    assert found == ([Dependent(2, (0,))] if has_products else [])


@KINDS
def test_the_covariance_of_all_rows_is_that_of_the_table(covariance_type):
    """For any assignment to components, and far from the origin."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(3, 400)) * [[1.0], [2.0], [0.5]] + [[1e5], [0.0], [1.0]]
    mixture = random_mixture(rng, covariance_type, 2, 3)
    moved = replace(mixture, means=mixture.means + np.array([1e5, 0, 1]))

    statistics = engine_over(X).expectation(moved).statistics

    found = pooled_covariance(statistics, np.broadcast_to(X.mean(axis=1), (2, 3)))

    expected = np.cov(X, bias=True)
    if covariance_type.endswith("diag"):
        expected = np.diag(expected)
    if covariance_type.endswith("spherical"):
        expected = np.full(3, np.trace(expected) / 3)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@KINDS
def test_a_marginal_mixture_has_the_columns_that_were_asked_for(covariance_type):
    """In the given order."""
    mixture = random_mixture(np.random.default_rng(2), covariance_type, 2, 3)

    found = restricted(mixture, [2, 0])

    np.testing.assert_array_equal(found.means, mixture.means[:, [2, 0]])
    np.testing.assert_array_equal(found.matrices, mixture.matrices[:, [2, 0]][:, :, [2, 0]])


def test_without_a_bound_nothing_is_narrow():
    """Even for a very narrow component."""
    mixture = Mixture(np.ones(1), np.zeros((1, 2)), np.full((1, 2), 1e-14), "diag")

    assert list(find_narrow(mixture, Rules().limits(2))) == []


def test_coefficients_that_leave_the_doubles_are_no_warning():
    """A column 1e154 times as broad as two others, and a column without spread."""
    covariance = np.diag([1.0, 1.0, 1.7e308, 0.0])
    covariance[:2, 2] = covariance[2, :2] = 0.9e154

    assert find_dependent(covariance, 0.0)[-1] == Dependent(3, ())
