"""Each quantity that predict writes, against the slow reference."""

import numpy as np
import pytest
from oracles import slow_em
from oracles.kernels import workspace_of
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel import posterior
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.mixture import Mixture

EVERYTHING = (*posterior.PER_ROW, *posterior.PER_COMPONENT)


def evaluate(mixture, X, wanted=EVERYTHING):
    kernel = Kernel(mixture)
    return posterior.evaluate(kernel, workspace_of(kernel).load(X), wanted)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("d", [1, 3])
def test_every_quantity_is_what_its_definition_says(covariance_type, d):
    """Responsibilities, their largest, its logarithm, entropy, distances, densities, assignments."""
    rng = np.random.default_rng(d)
    mixture = random_mixture(rng, covariance_type, 4, d)
    X = random_rows(rng, mixture, 200, 2.0)

    found = evaluate(mixture, X)

    resp = slow_em.expectation(X, mixture).resp
    distances = np.sqrt(slow_em.distances(X, mixture))
    best = resp.argmax(axis=0)
    expected = {
        "assignment": best,
        "probability": resp.max(axis=0),
        "distance": distances[best, np.arange(200)],
        "log_density": slow_em.log_density(X, mixture),
        "log_max_posterior": np.log(resp.max(axis=0)),
        "entropy": -(resp * np.log(resp)).sum(axis=0),
        "probabilities": resp,
        "distances": distances,
    }
    assert found.keys() == expected.keys()
    for name, exact in expected.items():
        np.testing.assert_allclose(found[name], exact.astype(float), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("wanted", [(), ("assignment",), ("distance",), ("entropy", "probabilities")])
def test_only_what_is_wanted_comes_back(wanted):
    """Other quantities are absent."""
    mixture = random_mixture(np.random.default_rng(1), "full", 3, 2)

    assert tuple(evaluate(mixture, np.zeros((2, 5)), wanted)) == wanted


def test_the_first_of_equals_is_assigned():
    """A row between two equal components goes to the lower number, with probability one half."""
    mixture = Mixture(np.full(2, 0.5), np.array([[1.0], [-1.0]]), np.ones(2), "spherical")

    found = evaluate(mixture, np.array([[0.0]]))

    assert found["assignment"].tolist() == [0]
    assert found["probability"].tolist() == [0.5]
    assert found["entropy"][0] == pytest.approx(np.log(2), rel=1e-15)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_certain_rows_and_empty_components_give_finite_numbers(covariance_type):
    """0 ln 0 is 0; a component of weight 0 has distances; far rows underflow to certainty."""
    mixture = random_mixture(np.random.default_rng(2), covariance_type, 2, 2)
    mixture = Mixture(np.array([1.0, 0.0]), mixture.means, mixture.covariances, covariance_type)

    found = evaluate(mixture, np.array([[0.0, 1e6], [0.0, -1e6]]))

    assert all(np.isfinite(values).all() for values in found.values())
    assert found["assignment"].tolist() == [0, 0]
    assert found["entropy"].tolist() == [0.0, 0.0]
    assert found["log_max_posterior"].tolist() == [0.0, 0.0]


def test_entropy_of_even_odds_is_the_log_of_their_number():
    """Four equal shares: ln 4; a certain row: 0."""
    resp = np.array([[0.25, 1.0], [0.25, 0.0], [0.25, 0.0], [0.25, 0.0]])

    np.testing.assert_allclose(posterior.entropy(resp), [np.log(4), 0.0], rtol=1e-15)
