"""What is read back of a JSON export, and which files are refused, with what is wrong in them."""

import copy
import json

import numpy as np
import pytest
from oracles.random_mixtures import random_mixture

from gmmcli.core.families import FAMILIES
from gmmcli.errors import TableUnusable
from gmmcli.export import model_json
from gmmcli.export.portable import PortableModel

GOOD = {
    "schema": "gmmcli.model/1",
    "covariance_type": "full",
    "features": ["a", "b"],
    "weights": [0.25, 0.75],
    "means": [[0, 1], [2, 3]],
    "covariances": [[[1, 0.5], [0.5, 1]], [[4, 0], [0, 9]]],
}


def decoded(**changes):
    document = {**copy.deepcopy(GOOD), **changes}
    content = json.dumps({name: value for name, value in document.items() if value is not ...})
    return model_json.decode(content.encode(), "start.json")


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("scale", [1e-140, 1.0, 1e140])
def test_what_is_exported_reads_back_exactly(covariance_type, scale):
    """Whatever the units of the columns."""
    mixture = random_mixture(np.random.default_rng(3), covariance_type, 3, 4)
    scaled = type(mixture)(
        mixture.weights, mixture.means * scale, mixture.covariances * scale**2, covariance_type
    )
    names = ("a", "b", "c", "d")

    read = model_json.decode(
        model_json.encode(PortableModel(scaled, names, 1, True, -1.0, 9, 9.0)), "start.json"
    )

    assert read is not None
    assert read[1] == names
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(read[0], name), getattr(scaled, name))


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"weights": [0.5, 0.75]}, "weights sum to 1.25, must sum to 1"),
        ({"weights": [-0.25, 1.25]}, "component 0: weight is -0.25, must be >= 0"),
        ({"weights": [0.25, float("nan")]}, "weights[1] is nan, must be finite"),
        ({"weights": [0.25, None]}, "weights must be numbers"),
        ({"weights": ["0.25", 0.75]}, "weights must be numbers"),
        ({"means": [[0, True], [2, 3]]}, "means must be numbers"),
        ({"global_step": "x"}, 'global_step is "x", must be an integer >= 0'),
        ({"global_step": True}, "global_step is true, must be an integer >= 0"),
        ({"global_step": -1}, "global_step is -1, must be an integer >= 0"),
        ({"weights": [1.0]}, "weights have shape (1,) and means (2, 2), must be (K,) and (K, d)"),
        ({"weights": 1}, "weights have shape () and means (2, 2), must be (K,) and (K, d)"),
        ({"weights": {"a": 1}}, "weights must be numbers"),
        ({"means": [[0, 1], [2, float("inf")]]}, "means[1][1] is inf, must be finite"),
        ({"means": [[0, 1], [2]]}, "means must be lists of equal length"),
        ({"means": [[0, 1, 2], [2, 3, 4]]}, "covariances have shape (2, 2, 2), must be (2, 3, 3)"),
        ({"covariances": [[1, 2], [3, 4]]}, "covariances have shape (2, 2), must be (2, 2, 2)"),
        (
            {"covariances": [[[1, 0], [0, 1]], [[4, float("nan")], [0, 9]]]},
            "covariances[1][0][1] is nan, must be finite",
        ),
        (
            {"covariances": [[[1, 0], [0, 1]], [[4, 5], [4, 9]]]},
            "component 1: covariance not symmetric: 5 and 4",
        ),
        (
            {"covariances": [[[1, 0], [0, 1]], [[4, 7], [7, 9]]]},
            'component 1: covariance not positive definite in columns "a", "b"',
        ),
        (
            {"covariances": [[[1, 1], [1, 1]], [[4, 0], [0, 9]]]},
            'component 0: covariance not positive definite in columns "a", "b"',
        ),
        (
            {"covariances": [[[1, 0], [0, -1]], [[4, 0], [0, 9]]]},
            'component 0: variance of "b" is -1, must be > 0',
        ),
        (
            {"covariance_type": "tied", "covariances": [[1e-9, 2e-9], [2e-9, 1e-9]]},
            'all components: covariance not positive definite in columns "a", "b"',
        ),
        (
            {"covariance_type": "tied", "covariances": [[0, 0], [0, 1]]},
            'all components: variance of "a" is 0, must be > 0',
        ),
        (
            {"covariance_type": "diag", "covariances": [[1, 1], [1, 0]]},
            'component 1: variance of "b" is 0, must be > 0',
        ),
        (
            {"covariance_type": "spherical", "covariances": [1, -2]},
            'component 1: variance of "a" is -2, must be > 0',
        ),
        (
            {"covariance_type": "round"},
            "covariance_type is 'round', must be one of full, tied, diag, tied-diag, spherical, "
            "tied-spherical",
        ),
        ({"covariance_type": ["full"]}, 'covariance_type is ["full"], must be text'),
        ({"features": ["a", "a"]}, 'feature "a" is named twice'),
        ({"features": ["a"]}, "1 features for means of 2 numbers"),
        ({"features": "ab"}, "features must be a list of names"),
        ({"features": ["a", 2]}, "features must be a list of names"),
    ],
)
def test_a_bad_number_is_named_with_the_reason(changes, fact):
    """Of whichever component it is."""
    with pytest.raises(TableUnusable) as caught:
        decoded(**changes)

    assert str(caught.value) == f"start.json: not a mixture: {fact}"


@pytest.mark.parametrize("key", GOOD)
def test_a_key_that_is_missing_is_named(key):
    """The schema by what it must be."""
    with pytest.raises(TableUnusable, match=f'schema is null, must be "{GOOD["schema"]}"|no "{key}" in this'):
        decoded(**{key: ...})


@pytest.mark.parametrize("schema", ["gmmcli.model/2", "sklearn/1", 7])
def test_another_schema_is_named_with_the_one_that_is_read(schema):
    """Whoever wrote it."""
    with pytest.raises(TableUnusable) as caught:
        decoded(schema=schema)

    assert str(caught.value) == f'start.json: schema is {json.dumps(schema)}, must be "gmmcli.model/1"'


def test_half_an_export_is_an_export():
    """As a full disk leaves it; a table of means is something else."""
    content = json.dumps(GOOD).encode()

    with pytest.raises(TableUnusable, match="not JSON"):
        model_json.decode(content[:100], "start.json")
    assert model_json.decode(b"a,b\n1,2\n", "means.csv") is None
    assert model_json.decode(b'{"a": 1, "b": 2}\n', "means.jsonl") is None
