"""A bound on covariances: an M-step under it is an exact maximum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture

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
