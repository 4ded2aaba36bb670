"""Quantiles, information criteria and agreement with labels, against definitions and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import partitions

from gmmcli.core import agreement, quantiles
from gmmcli.core.criteria import Fitness

N_VALUES = 4
labellings = st.integers(2, 25).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, N_VALUES - 1), min_size=n, max_size=n)] * 2)
)


def table_of(labels, components, n_values=N_VALUES):
    table = np.zeros((n_values, n_values))
    np.add.at(table, (labels, components), 1.0)
    return table


@given(labellings)
@settings(max_examples=80, deadline=None)
def test_agreement_is_that_of_counting_by_hand(labelling):
    """ARI by pairs of rows, NMI by its definition, accuracy by all permutations."""
    labels, components = labelling
    table = table_of(labels, components)

    assert agreement.adjusted_rand_index(table) == pytest.approx(
        partitions.adjusted_rand_index(labels, components), abs=1e-12
    )
    assert agreement.normalized_mutual_information(table) == pytest.approx(
        partitions.normalized_mutual_information(labels, components), abs=1e-12
    )
    assert agreement.accuracy(table) == pytest.approx(
        partitions.accuracy(labels, components, N_VALUES), abs=1e-12
    )


@given(labellings, st.permutations(range(N_VALUES)))
@settings(max_examples=40, deadline=None)
def test_agreement_does_not_depend_on_the_names_of_components(labelling, naming):
    """A renaming permutes the columns of the table."""
    table = table_of(*labelling)

    for measure in (
        agreement.adjusted_rand_index,
        agreement.normalized_mutual_information,
        agreement.accuracy,
    ):
        assert measure(table[:, naming]) == pytest.approx(measure(table), abs=1e-12)


AGREEMENT_CASES = {
    "perfect": (np.diag([5.0, 3.0]), (1.0, 1.0, 1.0)),
    "perfect, renamed": (np.array([[0.0, 5.0], [3.0, 0.0]]), (1.0, 1.0, 1.0)),
    "one label, one component": (np.array([[7.0]]), (1.0, 1.0, 1.0)),
    "one row": (np.array([[1.0]]), (1.0, 1.0, 1.0)),
    "one label, two components": (np.array([[4.0, 4.0]]), (0.0, 0.0, 0.5)),
    "two labels, one component": (np.array([[4.0], [4.0]]), (0.0, 0.0, 0.5)),
    "all rows apart, in both": (np.eye(4), (1.0, 1.0, 1.0)),
    "independent": (np.full((2, 2), 25.0), (-1 / 98, 0.0, 0.5)),
    "a component that no row has": (np.array([[5.0, 0.0, 0.0], [0.0, 3.0, 0.0]]), (1.0, 1.0, 1.0)),
    "two million rows": (np.diag([1e6, 1e6]), (1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("case", AGREEMENT_CASES)
def test_agreement_at_its_edges(case):
    """ARI, NMI and accuracy if a denominator is 0, or large."""
    table, (rand, information, accuracy) = AGREEMENT_CASES[case]

    assert agreement.adjusted_rand_index(table) == pytest.approx(rand, abs=1e-12)
    assert agreement.normalized_mutual_information(table) == pytest.approx(information, abs=1e-12)
    assert agreement.accuracy(table) == accuracy


def test_the_fixed_probabilities_are_a_thousand_and_one_in_order():
    """From 0 to 1, with even logits between 1e-5 and 1 − 1e-5, symmetrical about ½."""
    found = quantiles.probabilities()

    assert found.shape == (1001,)
    assert (np.diff(found) > 0).all()
    assert (found[0], found[-1]) == (0.0, 1.0)
    np.testing.assert_allclose(found[[1, 500, 999]], [1e-5, 0.5, 1 - 1e-5], rtol=1e-12)
    np.testing.assert_allclose(found + found[::-1], 1.0, rtol=1e-14)
    np.testing.assert_allclose(
        np.diff(np.log(found[1:-1] / (1 - found[1:-1]))), np.log(99999) / 499, rtol=1e-6
    )


def test_quantiles_are_linear_between_rows():
    """Of 0, 1, …, 100 the quantile at any p is 100 p."""
    stored = quantiles.summarise(np.random.default_rng(1).permutation(np.arange(101.0)))

    np.testing.assert_allclose(stored, 100 * quantiles.probabilities(), atol=1e-10)
    for p in (0.0, 0.001, 0.01, 0.37, 0.5, 0.999, 1.0):
        assert quantiles.quantile(stored, p) == pytest.approx(100 * p, abs=1e-10)


def test_the_extreme_quantiles_are_the_extreme_rows():
    """Quantile 0 is the smallest log density, quantile 1 the largest; one row gives all quantiles."""
    stored = quantiles.summarise(np.array([-3.0, -900.0, 2.0]))

    assert (quantiles.quantile(stored, 0.0), quantiles.quantile(stored, 1.0)) == (-900.0, 2.0)
    assert set(quantiles.summarise(np.array([-7.0])).tolist()) == {-7.0}


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2**20, 2**20), (2**20 + 1, 2**20), (10**9, 2**20)])
def test_at_most_a_million_rows_are_sampled(n, m):
    """Up to 2²⁰ rows the sample is the table; beyond that it has 2²⁰ rows."""
    assert quantiles.sample_size(n) == m


def test_criteria_are_their_formulas():
    """AIC 2p − 2L; BIC p ln n − 2L; ICL adds −2 Σ ln of the largest responsibilities."""
    log_likelihood, p, n, certainty = -1130.26396, 11, 272.0, -6.5

    fitness = Fitness(log_likelihood, certainty, n, float(n), p)
    assert fitness.aic == pytest.approx(2282.52792, abs=1e-9)
    assert fitness.bic == pytest.approx(2322.1917, abs=1e-4)
    assert fitness.icl == pytest.approx(2322.1917 + 13.0, abs=1e-4)
    assert fitness.mean_log_likelihood == log_likelihood / n


@pytest.mark.parametrize("total_weight", [1.0, 0.5, 1e-3])
def test_criteria_of_little_weight_are_finite(total_weight):
    """A decayed total weight may be below 1; its log is negative, not an error."""
    assert Fitness(-1.0, 0.0, 1, total_weight, 3).bic == pytest.approx(
        3 * np.log(total_weight) + 2.0, rel=1e-15
    )
