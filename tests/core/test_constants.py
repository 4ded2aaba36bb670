"""The constants of a component do not depend on the components that are computed with it."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
from oracles.random_mixtures import random_mixture

from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel.block import choose_layout
from gmmcli.core.kernel.constants import Constants
from gmmcli.core.mixture import Mixture


def broad_and_tight(K, d):
    """Return a full mixture whose second component is too tight for the expanded form."""
    mixture = random_mixture(np.random.default_rng(d), "full", K, d)
    covariances = mixture.covariances.copy()
    covariances[1] *= 1e-13
    return dataclasses.replace(mixture, covariances=covariances)


def constants_of(mixture: Mixture, part: slice, layout) -> Constants:
    arrays = (mixture.weights[part], mixture.means[part], mixture.covariances[part])
    return Constants.of_components(*arrays, FAMILIES["full"].structure, layout)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("d", [1, 2, 5, 33, 64, 130])
def test_parts_give_the_same_bytes_as_all_components_at_once(d, count):
    """For parts of any size, since there may be any number of processes."""
    mixture = broad_and_tight(8, d)
    layout = choose_layout(FAMILIES["full"].structure, d, 8)
    whole = Constants.of(mixture, layout)

    parts = [constants_of(mixture, slice(k, k + count), layout) for k in range(0, 8, count)]

    assert whole.is_unsafe.tolist() == [k == 1 for k in range(8)]
    assert whole.natural.any(axis=1).tolist() == [k != 1 and layout.group_features > 0 for k in range(8)]
    for name in ("factors", "natural", "is_unsafe"):
        together = np.concatenate([getattr(part, name) for part in parts])
        assert together.tobytes() == getattr(whole, name).tobytes()


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("variance", [1e-74, 1e-78])
@pytest.mark.parametrize("place", [0.0, 1.0, 1e6])
def test_components_that_are_too_tight_have_no_natural_parameters(covariance_type, variance, place):
    """Squares of their means, in sd, would overflow; there is no warning."""
    mixture = random_mixture(np.random.default_rng(1), covariance_type, 2, 3)
    means = np.array([[place, 0.0, 0.0], [place, place, 0.0]])
    tight = Mixture(mixture.weights, means, variance * mixture.covariances, covariance_type)
    layout = choose_layout(FAMILIES[covariance_type].structure, 3, 2)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Constants.of(tight, layout)

    assert found.is_unsafe.all() or not place
    assert found.natural.shape == Constants.shapes(FAMILIES[covariance_type].structure, 2, 3, layout)[1]
    assert (found.natural.any(axis=1) == ~found.is_unsafe).all()


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_memory_for_the_sums_of_a_block_is_enough_for_a_mixture_and_for_its_constants(covariance_type):
    """One size is enough for all memory that workers share."""
    for d in (1, 2, 3, 16, 31, 32, 33, 128, 500):
        for K in (1, 2, 16, 24, 25, 300):
            layout = choose_layout(FAMILIES[covariance_type].structure, d, K)
            arrays = [(K,), (K, d), FAMILIES[covariance_type].structure.shape(K, d)]
            for shapes in (arrays, Constants.shapes(FAMILIES[covariance_type].structure, K, d, layout)):
                assert sum(map(math.prod, shapes)) <= layout.most_sums


def test_natural_parameters_are_left_out_where_all_components_are_centred():
    """For one component of many columns there would be a number for each product of two columns."""
    mixture = random_mixture(np.random.default_rng(1), "full", 1, 130)
    layout = choose_layout(FAMILIES["full"].structure, 130, 1)

    assert not layout.group_features
    assert Constants.of(mixture, layout).natural.shape == (1, 0)
