"""Mixtures that describe a simpler one in a larger family or with more components."""

import numpy as np
import pytest
from oracles.random_mixtures import random_mixture

from gmmcli.core.families import FAMILIES
from gmmcli.core.start.nested import as_family, grown, split, splits

PAIRS = [(inner, outer) for outer in FAMILIES for inner in FAMILIES]
NESTED = [(inner, outer) for inner, outer in PAIRS if FAMILIES[outer].contains(inner)]


def test_families_are_nested_as_in_celeux_and_govaert() -> None:
    """The inclusions among the six."""
    assert {(inner, outer) for inner, outer in NESTED if outer in ("full", "diag", "tied")} == {
        *((inner, "full") for inner in FAMILIES if inner != "full"),
        *((inner, "diag") for inner in ("tied-diag", "spherical", "tied-spherical")),
        *((inner, "tied") for inner in ("tied-diag", "tied-spherical")),
    }
    assert not any(family.contains(name) for name, family in FAMILIES.items())


@pytest.mark.parametrize(("inner", "outer"), NESTED)
def test_a_mixture_is_the_same_in_a_family_that_its_own_is_nested_in(inner: str, outer: str) -> None:
    """Its covariance matrices are equal to rounding."""
    mixture = random_mixture(np.random.default_rng(1), inner, 3, 4)

    found = as_family(mixture, outer)

    assert found.covariance_type == outer
    np.testing.assert_allclose(found.matrices, mixture.matrices, rtol=1e-12, atol=1e-14)
    assert found.means.tolist() == mixture.means.tolist()


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_split_keeps_weight_and_mean_and_goes_along_the_widest_direction(covariance_type: str) -> None:
    """The halves are as far from the mean as asked, in sds."""
    mixture = random_mixture(np.random.default_rng(2), covariance_type, 3, 4)

    found = split(mixture, 1, 0.5)

    assert found.weights[[1, 3]].tolist() == [mixture.weights[1] / 2] * 2
    np.testing.assert_allclose(found.means[[1, 3]].mean(axis=0), mixture.means[1], atol=1e-12)
    variances, directions = np.linalg.eigh(mixture.matrices[1])
    apart = (found.means[3] - found.means[1]) / np.sqrt(variances[-1])
    assert np.linalg.norm(apart) == pytest.approx(1.0)
    assert np.linalg.norm(np.abs(directions.T @ apart)[:-1]) == pytest.approx(0.0, abs=1e-9) or np.ptp(
        variances
    ) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.matrices[[0, 2]], mixture.matrices[[0, 2]])


def test_each_component_is_split_first_in_one_of_the_starts() -> None:
    """Then the heaviest, until there are enough."""
    mixture = random_mixture(np.random.default_rng(3), "full", 3, 2)

    found = splits(mixture, 5)

    assert [one.n_components for one in found] == [5, 5, 5]
    assert len({one.means.tobytes() for one in found}) == 3
    assert grown(mixture, 3, 0.1) is mixture
