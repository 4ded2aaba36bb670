"""The mixture, its natural parameters, and covariances that are not positive definite."""

import numpy as np
import pytest
from oracles.random_mixtures import random_mixture

from gmmcli.core.covariances import products
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.precision import precision_factors
from gmmcli.errors import CovarianceNotPositive


def plain(covariance_type, K=2, d=3):
    unit = FAMILIES[covariance_type].structure.unit(K, d)
    return Mixture(np.full(K, 1 / K), np.zeros((K, d)), unit, covariance_type)


REFUSED = {
    "a weight below 0": {"weights": [1.5, -0.5]},
    "weights that sum to 0.9": {"weights": [0.5, 0.4]},
    "three weights for two means": {"weights": [0.5, 0.25, 0.25]},
    "NaN in the means": {"means": [[0.0, np.nan], [0.0, 0.0]]},
    "an infinite covariance": {"covariances": np.full((2, 2, 2), np.inf)},
    "covariances of another type": {"covariances": np.ones((2, 2))},
    "an unknown type": {"covariance_type": "banana"},
    "no component": {"weights": np.ones(0), "means": np.ones((0, 2)), "covariances": np.ones((0, 2, 2))},
    "means without columns": {"means": np.ones((2, 0)), "covariances": np.ones((2, 0, 0))},
    "flat means": {"means": [0.0, 1.0]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_mixture_is_refused(case):
    """Each case raises a ValueError."""
    valid = {
        "weights": [0.5, 0.5],
        "means": [[0.0, 0.0], [1.0, 1.0]],
        "covariances": np.stack([np.eye(2)] * 2),
        "covariance_type": "full",
    }
    Mixture(**valid)

    with pytest.raises(ValueError, match=r"must|match|shape|not one of"):
        Mixture(**(valid | REFUSED[case]))


def test_a_mixture_never_changes():
    """Neither through its arrays nor through those that it was made from."""
    means = np.zeros((1, 2))
    mixture = Mixture(np.ones(1), means, np.ones(1), "spherical")

    means[0, 0] = 5.0

    assert mixture.means[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        mixture.means[0, 0] = 1.0


def test_a_read_only_array_that_is_no_view_is_kept_without_a_copy():
    """A read-only view is copied, because its base may change."""
    frozen, means = np.ones(1), np.zeros((1, 2))
    frozen.setflags(write=False)
    view = means.view()
    view.setflags(write=False)

    mixture = Mixture(frozen, view, np.ones(1), "spherical")
    means[0, 0] = 5.0

    assert mixture.weights is frozen
    assert mixture.means[0, 0] == 0.0


@pytest.mark.parametrize(
    ("covariance_type", "expected"),
    [
        ("full", 2 + 9 + 18),
        ("tied", 2 + 9 + 6),
        ("diag", 2 + 9 + 9),
        ("tied-diag", 2 + 9 + 3),
        ("spherical", 2 + 9 + 3),
        ("tied-spherical", 2 + 9 + 1),
    ],
)
def test_free_parameters_are_counted(covariance_type, expected):
    """Three components in three dimensions."""
    assert plain(covariance_type, K=3).n_parameters == expected


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("d", [1, 2, 5, 6])
def test_a_block_expands_to_the_features_that_its_length_announces(covariance_type, d):
    """1, z, and the products of the type, each pair of columns once."""
    X = np.random.default_rng(d).normal(size=(d, 4))
    structure = FAMILIES[covariance_type].structure
    out = np.full((1, structure.expanded_length(d), 4), np.nan)

    structure.expand(X[None], out)
    if covariance_type == "full":
        shifted = products.shifted(np.concatenate([X, X[: d // 2]])[None], d)
        products.expand_products(shifted, 0, d // 2 + 1, out[:, 1 + d :])

    i, j = products.pairs(d)
    assert {frozenset(pair) for pair in zip(i, j, strict=True)} == {
        frozenset((a, b)) for a in range(d) for b in range(d)
    }
    tail = {
        "full": X[i] * X[j],
        "tied": np.empty((0, 4)),
        "diag": X**2,
        "spherical": (X**2).sum(axis=0, keepdims=True),
    }[covariance_type.removeprefix("tied-")]
    np.testing.assert_allclose(out[0], np.concatenate([np.ones((1, 4)), X, tail]), rtol=1e-15)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_the_factors_turn_the_covariances_into_the_identity(covariance_type):
    """F Σ Fᵀ = 1, with F lower triangular."""
    mixture = random_mixture(np.random.default_rng(1), covariance_type, 3, 5, condition=1e4)

    factors = precision_factors(mixture)

    for k, covariance in enumerate(mixture.matrices):
        factor = factors if covariance_type == "tied" else factors[k]
        factor = factor if factor.ndim == 2 else factor * np.eye(5)
        np.testing.assert_allclose(factor @ covariance @ factor.T, np.eye(5), atol=1e-10)
        assert (np.triu(factor, 1) == 0).all()


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("variance", [0.0, -1e-12, 1e-81, 1e-310])
def test_a_flat_component_is_named_with_its_column(covariance_type, variance):
    """The second of two components is flat in the last column."""
    mixture = plain(covariance_type)
    covariances = mixture.covariances.copy()
    flat = {"full": (1, 2, 2), "tied": (2, 2), "diag": (1, 2), "spherical": (1,)}[
        covariance_type.removeprefix("tied-")
    ]
    covariances[flat] = variance
    broken = Mixture(mixture.weights, mixture.means, covariances, covariance_type)

    with pytest.raises(CovarianceNotPositive) as caught:
        precision_factors(broken)

    assert caught.value.component == (None if covariance_type == "tied" else 1)
    assert 2 in caught.value.features or covariance_type.endswith("spherical")
    if not covariance_type.endswith("spherical"):
        assert caught.value.features == (2,)


def test_columns_that_depend_on_each_other_are_both_named():
    """The first and the last column are perfectly correlated, up to rounding."""
    covariance = np.array([[1.0, 0.0, 1.0 + 1e-9], [0.0, 1.0, 0.0], [1.0 + 1e-9, 0.0, 1.0]])
    mixture = Mixture(np.ones(1), np.zeros((1, 3)), covariance[None], "full")

    with pytest.raises(CovarianceNotPositive) as caught:
        precision_factors(mixture)

    assert (caught.value.component, caught.value.features) == (0, (0, 2))


def test_a_covariance_that_is_small_but_round_is_not_blamed():
    """If one component is tiny and another is flat, the error names the flat one."""
    covariances = np.array([1e-70 * np.eye(2), np.diag([1.0, -1e-17])])
    mixture = Mixture(np.full(2, 0.5), np.zeros((2, 2)), covariances, "full")

    with pytest.raises(CovarianceNotPositive) as caught:
        precision_factors(mixture)

    assert (caught.value.component, caught.value.features) == (1, (1,))
