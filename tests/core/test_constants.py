"""What evaluating a mixture needs of each component does not depend on what is found beside it."""

import dataclasses

import numpy as np
import pytest
from oracles.random_mixtures import random_mixture

from gmmcli.core.block import choose_layout
from gmmcli.core.constants import Constants
from gmmcli.core.mixture import Mixture


def broad_and_tight(K, d):
    """Return a full mixture whose second component is too tight for the expanded form."""
    mixture = random_mixture(np.random.default_rng(d), "full", K, d)
    covariances = mixture.covariances.copy()
    covariances[1] *= 1e-13
    return dataclasses.replace(mixture, covariances=covariances)


def constants_of(mixture: Mixture, part: slice, layout) -> Constants:
    arrays = (mixture.weights[part], mixture.means[part], mixture.covariances[part])
    return Constants.of_components(*arrays, "full", layout)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("d", [1, 2, 5, 33, 64, 130])
def test_parts_give_the_same_bytes_as_all_components_at_once(d, count):
    """As many at a time as there happen to be processes."""
    mixture = broad_and_tight(8, d)
    layout = choose_layout("full", d, 8)
    whole = Constants.of(mixture, layout)

    parts = [constants_of(mixture, slice(k, k + count), layout) for k in range(0, 8, count)]

    assert whole.is_unsafe.tolist() == [k == 1 for k in range(8)]
    assert whole.natural.any(axis=1).tolist() == [k != 1 and layout.group_features > 0 for k in range(8)]
    for name in ("factors", "natural", "is_unsafe"):
        together = np.concatenate([getattr(part, name) for part in parts])
        assert together.tobytes() == getattr(whole, name).tobytes()


def test_components_that_are_all_too_tight_have_no_natural_parameters():
    """Squares of what their means are in sd would leave the doubles; no warning of it either."""
    mixture = random_mixture(np.random.default_rng(1), "full", 2, 3)
    tight = dataclasses.replace(mixture, covariances=1e-306 * mixture.covariances)
    layout = choose_layout("full", 3, 2)

    found = Constants.of(tight, layout)

    assert found.is_unsafe.all()
    assert found.natural.shape == (2, 10)
    assert not found.natural.any()


def test_natural_parameters_are_left_out_where_all_components_are_centred():
    """One component of many columns: as many numbers as products of two columns, which nobody would read."""
    mixture = random_mixture(np.random.default_rng(1), "full", 1, 130)
    layout = choose_layout("full", 130, 1)

    assert not layout.group_features
    assert Constants.of(mixture, layout).natural.shape == (1, 0)
