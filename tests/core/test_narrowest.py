"""The narrowest component: what the bound is, and that an M-step under it is an exact maximum."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture
from scipy.optimize import minimize

from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.narrowest import narrowest_sds, resolution

seeds = st.integers(0, 2**32 - 1)
STRUCTURES = [name for name in FAMILIES if not name.startswith("tied-")]


def bound(covariances: np.ndarray, kind: str, narrowest: np.ndarray) -> np.ndarray:
    """Bound covariances that are kept as those of a family are."""
    return FAMILIES[kind].structure.bound(covariances, narrowest)


def loss(covariance: np.ndarray, second_moment: np.ndarray) -> float:
    """−2 / n times the log-likelihood of a covariance, without constants."""
    return float(np.linalg.slogdet(covariance)[1] + np.trace(np.linalg.solve(covariance, second_moment)))


def slowly_bounded(second_moment: np.ndarray, narrowest: np.ndarray) -> np.ndarray:
    """Minimise the loss over Σ = F + AAᵀ numerically, with the gradient 2 (P − P S P) A, P = Σ⁻¹."""
    d = narrowest.size

    def covariance(x: np.ndarray) -> np.ndarray:
        A = x.reshape(d, d)
        return np.diag(narrowest**2) + A @ A.T

    def gradient(x: np.ndarray) -> np.ndarray:
        P = np.linalg.inv(covariance(x))
        return (2 * (P - P @ second_moment @ P) @ x.reshape(d, d)).ravel()

    x = np.random.default_rng(0).standard_normal(d * d)
    for _ in range(3):
        found = minimize(
            lambda x: loss(covariance(x), second_moment), x, jac=gradient, options={"gtol": 1e-11}
        )
        x = found.x
    return covariance(x)


def second_moment_of(rng: np.random.Generator, d: int, rank: int) -> np.ndarray:
    """Return a random covariance with widths from 1e-2 to 1, of at most a rank."""
    A = rng.standard_normal((d, rank)) * 10.0 ** rng.uniform(-2, 0, (d, 1))
    return A @ A.T / rank


@settings(max_examples=100, deadline=None)
@given(seed=seeds, d=st.integers(1, 4))
def test_the_bound_gives_the_most_likely_covariance_that_keeps_it(seed: int, d: int) -> None:
    """Against a numerical maximisation, in parameters that keep the bound of themselves."""
    rng = np.random.default_rng(seed)
    S, narrowest = second_moment_of(rng, d, int(rng.integers(1, 2 * d + 1))), rng.uniform(0.05, 0.5, d)

    found = bound(S, "tied", narrowest)

    slow = slowly_bounded(S, narrowest)
    assert loss(found, S) <= loss(slow, S) + 1e-12
    assert np.allclose(found, slow, atol=1e-6)
    assert np.array_equal(found, found.T)


@settings(max_examples=200, deadline=None)
@given(seed=seeds, d=st.integers(1, 8), kind=st.sampled_from(STRUCTURES))
def test_the_bound_meets_the_conditions_of_a_maximum(seed: int, d: int, kind: str) -> None:
    """Of Karush, Kuhn and Tucker, enough in a convex problem: that of the precision Σ⁻¹ ⪯ F⁻¹."""
    rng = np.random.default_rng(seed)
    S, narrowest = second_moment_of(rng, d, int(rng.integers(1, 2 * d + 1))), rng.uniform(0.01, 0.5, d)
    own, F = S, np.diag(narrowest**2)
    if kind == "full":
        own = S[None]
    elif kind == "diag":
        S = np.diag(np.diagonal(S))
        own = np.diagonal(S)[None]
    elif kind == "spherical":  # a variance of its own for each column is no choice here: one number remains
        S, F = np.eye(d) * np.trace(S) / d, np.eye(d) * (narrowest**2).max()
        own = S[:1, 0]

    bounded = Mixture(np.ones(1), np.zeros((1, d)), bound(own, kind, narrowest), kind).matrices[0]

    in_units = np.sqrt(np.diagonal(F))
    added, slack = bounded - S, np.linalg.inv(F) - np.linalg.inv(bounded)
    assert np.linalg.eigvalsh((bounded - F) / in_units / in_units[:, None]).min() >= -1e-9
    assert np.linalg.eigvalsh(added / in_units / in_units[:, None]).min() >= -1e-9
    assert abs(np.trace(added @ slack)) <= 1e-9 * (1 + np.trace(S @ np.linalg.inv(F)))


@settings(max_examples=60, deadline=None)
@given(seed=seeds, d=st.integers(1, 5), kind=st.sampled_from(STRUCTURES))
def test_a_bound_that_does_not_bind_changes_no_bit(seed: int, d: int, kind: str) -> None:
    """The very array comes back, or its equal."""
    rng = np.random.default_rng(seed)
    S = second_moment_of(rng, d, 2 * d) + 0.1 * np.eye(d)
    own = {
        "full": np.stack([S, 2 * S]),
        "tied": S,
        "diag": np.stack([np.diagonal(S)] * 2),
        "spherical": np.array([np.trace(S), 2.0]),
    }[kind]

    assert np.array_equal(bound(own, kind, np.full(d, 0.3)), own)


def test_only_components_that_are_too_narrow_change() -> None:
    """One of three, in one direction: its variance there becomes that of the bound."""
    line = np.array([[1.0, 1.0], [1.0, 1.0]])
    covariances = np.stack([np.eye(2), line, 3 * np.eye(2)])

    bounded = bound(covariances, "full", np.array([0.1, 0.1]))

    assert np.array_equal(bounded[[0, 2]], covariances[[0, 2]])
    assert np.linalg.eigvalsh(bounded[1]) == pytest.approx([0.01, 2.0], rel=1e-12)
    assert covariances[1, 0, 1] == 1.0


def test_the_bound_of_a_continuous_column_is_a_millionth_of_its_robust_spread() -> None:
    """A single extreme cell moves the sd, not the interquartile range."""
    column = np.random.default_rng(0).standard_normal((1, 1000))
    spoilt = column.copy()
    spoilt[0, 17] = 1e9

    narrowest = narrowest_sds(column, column.std(axis=1), 1e-6)
    moved = narrowest_sds(spoilt, spoilt.std(axis=1), 1e-6)

    assert narrowest == pytest.approx(1e-6, rel=0.1)
    assert moved == pytest.approx(narrowest, rel=0.01)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-5, 1e2), (1e5, -1e7)])
def test_the_bound_of_a_rounded_column_is_what_rounding_takes_away(scale: float, offset: float) -> None:
    """Values at tenths, whatever the units of the column, and although doubles do not hold tenths exactly."""
    tenths = np.round(np.random.default_rng(1).normal(3, 2, (1, 400)), 1)
    column = tenths * scale + offset

    narrowest = narrowest_sds(column, column.std(axis=1), 1e-6)

    assert resolution(column[0]) == pytest.approx(0.1 * scale, rel=1e-6)
    assert narrowest == pytest.approx(0.1 * scale / np.sqrt(12), rel=1e-6)


def test_a_column_is_not_rounded_where_few_rows_share_their_value() -> None:
    """One row in ten may: here 5 of 100 do."""
    column = np.random.default_rng(2).standard_normal((1, 100))
    column[0, :5] = 0.5

    assert resolution(column[0]) == 0


def test_no_column_is_bounded_above_its_own_sd() -> None:
    """Of 100 flags one is set: a single component keeps its maximum-likelihood variance."""
    column = np.zeros((1, 100))
    column[0, 3] = 1.0

    narrowest = narrowest_sds(column, column.std(axis=1), 1e-6)

    assert (narrowest, resolution(column[0])) == (column.std(), 1.0)


def test_a_constant_column_is_bounded_by_its_scale() -> None:
    """Its component would have no density otherwise."""
    assert narrowest_sds(np.ones((1, 9)), np.ones(1), 1e-6) == 1e-6


@settings(max_examples=100, deadline=None)
@given(seed=seeds, d=st.integers(1, 30), exponent=st.integers(-20, -3), rank=st.integers(1, 30))
def test_a_bounded_covariance_always_has_a_factor(seed: int, d: int, exponent: int, rank: int) -> None:
    """However far the bound is below rounding errors of the variances."""
    rng = np.random.default_rng(seed)
    S = second_moment_of(rng, d, rank)[None]

    bounded = bound(S, "full", np.full(d, 10.0**exponent))

    FAMILIES["full"].structure.check(bounded)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, kind=st.sampled_from(list(FAMILIES)))
def test_the_likelihood_never_falls_under_a_bound_that_binds(seed: int, kind: str) -> None:
    """Thirty steps on a table of which a column is rounded and another one nearly constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3, 60))
    X[0], X[1] = np.round(X[0], 1), X[2] + 1e-3 * X[1]
    rows = OneTable([[np.ascontiguousarray(X)]])
    rules = Rules(narrowest=rng.uniform(0.01, 0.3, 3))
    means = X[:, :3].T

    start = random_mixture(rng, kind, 3, 3)
    start = Mixture(start.weights, means, start.covariances, kind)
    steps = islice(iterate(Origin(start), rows.engine, rows.table, rules), 31)
    likelihoods = [step.likelihoods[-1] for step in steps]

    gains = np.diff(likelihoods[1:])  # the start itself may be narrower than the bound
    assert (gains >= -1e-9 * np.abs(likelihoods[2:])).all()
