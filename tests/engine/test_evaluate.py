"""A mixture applied to rows as they arrive: a row's bytes depend on nothing but the row and its number."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow_em
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.kernel import kernel
from gmmcli.core.kernel.block import Layout
from gmmcli.core.kernel.posterior import PER_COMPONENT, PER_ROW
from gmmcli.core.mixture import COVARIANCE_TYPES, Mixture
from gmmcli.core.units import Units
from gmmcli.engine.evaluate import Evaluator

EVERYTHING = (*PER_ROW, *PER_COMPONENT)
N_ROWS = 600
# Odd: BLAS rounds the columns left over at the end of a slab in another way than the others.
SHORT = Layout(131, 131, 131, 131, 2, 24, row_ns=1.0, most_sums=0)
N_COMPONENTS, N_FEATURES = 5, 11
UNITS = Units(np.linspace(-3.0, 10.0, N_FEATURES), np.logspace(-1, 2, N_FEATURES))


def evaluator_of(covariance_type, n_threads=1, wanted=EVERYTHING):
    mixture = random_mixture(np.random.default_rng(1), covariance_type, N_COMPONENTS, N_FEATURES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "choose_layout", lambda *_: SHORT)
        return Evaluator(mixture, UNITS, wanted, n_threads), mixture


def rows_of(mixture, n_rows=N_ROWS):
    Z = random_rows(np.random.default_rng(2), mixture, n_rows)
    return Z * UNITS.scale[:, None] + UNITS.center[:, None], Z


@given(
    covariance_type=st.sampled_from(COVARIANCE_TYPES),
    cuts=st.lists(st.integers(0, N_ROWS), max_size=6),
    n_threads=st.integers(1, 3),
    first_row=st.sampled_from([0, 1, 130, 131, 1000]),
)
@settings(max_examples=40, deadline=None)
def test_a_row_has_the_same_bytes_however_rows_are_batched(covariance_type, cuts, n_threads, first_row):
    """Any cuts, any threads, starting anywhere in the operand."""
    evaluator, mixture = evaluator_of(covariance_type)
    X, _ = rows_of(mixture)
    whole = evaluator.evaluate(X, first_row)
    evaluator, _ = evaluator_of(covariance_type, n_threads)

    parts, places = [], [0, *sorted(cuts), N_ROWS]
    for begin, end in pairwise(places):
        parts.append(evaluator.evaluate(X[:, begin:end], first_row + begin))

    for name, values in whole.items():
        found = np.concatenate([part[name] for part in parts], axis=-1)
        assert found.tobytes() == values.tobytes(), name


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_rows_in_the_tables_units_get_the_answers_of_standard_units(covariance_type):
    """Log densities stay in standard units; the caller subtracts the Jacobian."""
    evaluator, mixture = evaluator_of(covariance_type)
    X, Z = rows_of(mixture)

    found = evaluator.evaluate(X, 0)

    resp = slow_em.expectation(Z, mixture).resp
    assert found["assignment"].tolist() == resp.argmax(axis=0).tolist()
    assert found["assignment"].dtype == np.int64
    np.testing.assert_allclose(found["probabilities"], resp.astype(float), rtol=1e-9, atol=1e-12)
    exact = slow_em.log_density(Z, mixture).astype(float)
    np.testing.assert_allclose(found["log_density"], exact, rtol=1e-9, atol=1e-9)


def test_the_callers_rows_are_left_as_they_were():
    """Standardising happens in the evaluator's own block."""
    evaluator, mixture = evaluator_of("full")
    X, _ = rows_of(mixture)
    before = X.tobytes()

    evaluator.evaluate(X, 0)

    assert X.tobytes() == before


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e200, 1e160])
def test_rows_that_are_missing_or_unbelievably_far_give_finite_numbers(covariance_type, value):
    """And their neighbours in the block do not notice."""
    evaluator, mixture = evaluator_of(covariance_type)
    X, _ = rows_of(mixture, 10)
    expected = evaluator.evaluate(X, 0)
    X[1, 4] = value

    found = evaluator.evaluate(X, 0)

    others = np.arange(10) != 4
    for name, values in found.items():
        assert np.isfinite(values).all(), name
        assert values[..., others].tobytes() == expected[name][..., others].tobytes(), name


def test_no_rows_give_no_answers():
    """An empty batch has every wanted quantity, with no row in it."""
    evaluator, _ = evaluator_of("diag")

    found = evaluator.evaluate(np.empty((N_FEATURES, 0)), 77)

    assert {name: values.shape for name, values in found.items()} == {
        **dict.fromkeys(PER_ROW, (0,)),
        **dict.fromkeys(PER_COMPONENT, (N_COMPONENTS, 0)),
    }


@pytest.mark.parametrize("wanted", [("log_density",), ("assignment", "distance"), ("probabilities",)])
def test_what_else_is_wanted_changes_no_byte(wanted):
    """A quantity alone is the quantity among all."""
    evaluator, mixture = evaluator_of("full")
    few, _ = evaluator_of("full", wanted=wanted)
    X, _ = rows_of(mixture)

    found, everything = few.evaluate(X, 5), evaluator.evaluate(X, 5)

    assert tuple(found) == wanted
    assert all(found[name].tobytes() == everything[name].tobytes() for name in wanted)


def test_one_column_and_one_component_are_enough():
    """The smallest mixture there is."""
    mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), "full")
    evaluator = Evaluator(mixture, Units(np.zeros(1), np.ones(1)), EVERYTHING, 2)

    found = evaluator.evaluate(np.array([[3.0]]), 12345)

    assert found["distance"].tolist() == [3.0]
    assert found["probability"].tolist() == [1.0]
    assert found["log_density"][0] == pytest.approx(-4.5 - 0.5 * np.log(2 * np.pi), rel=1e-15)
