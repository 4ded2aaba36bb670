"""New rows are added to the statistics of earlier rows, as the definitions say."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow_em
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core import quantiles
from gmmcli.core.em.incremental import absorb
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.families import FAMILIES
from gmmcli.core.statistics import Statistics

KINDS = pytest.mark.parametrize("covariance_type", FAMILIES)


def table_of(X):
    return OneTable([[np.ascontiguousarray(X)]])


def absorbed(mixture, stored, rows, n_steps):
    """Return the step after `n_steps` M-steps on the rows and the stored statistics."""
    steps = absorb(Origin(mixture), rows.engine, rows.table, Rules(), stored)
    return next(islice(steps, n_steps, None))


@pytest.fixture
def problem(covariance_type):
    """Return a mixture and two batches of rows from it."""
    rng = np.random.default_rng(3)
    mixture = random_mixture(rng, covariance_type, 3, 2)
    return mixture, random_rows(rng, mixture, 300), random_rows(rng, mixture, 200)


@KINDS
@pytest.mark.parametrize("decay", [1.0, 0.25])
def test_a_step_maximises_old_and_new_statistics_together(problem, decay):
    """As the slow oracle does on both batches, with weights for the earlier one."""
    mixture, old, new = problem
    stored = table_of(old).expectation(mixture).statistics.scaled(decay)

    step = absorbed(mixture, stored, table_of(new), 1)
    found, statistics = step.mixture, step.expectation.statistics

    both = np.concatenate([old, new], axis=1)
    weights = np.concatenate([np.full(old.shape[1], decay), np.ones(new.shape[1])])
    expected = slow_em.maximise(both, slow_em.expectation(both, mixture).resp * weights, mixture, "wmc", 0.0)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name).astype(float), rtol=1e-9)
    assert statistics.total_weight == pytest.approx(decay * 300 + 200)


@KINDS
def test_further_steps_look_at_the_new_rows_again_and_at_no_others(problem):
    """The earlier statistics stay those of the earlier mixture."""
    mixture, old, new = problem
    stored, rows = table_of(old).expectation(mixture).statistics, table_of(new)

    step = absorbed(mixture, stored, rows, 3)

    expected = mixture
    for _ in range(3):
        expected = maximise(stored + rows.expectation(expected).statistics, expected, Rules())
    assert step.mixture.means.tobytes() == expected.means.tobytes()
    of_new, statistics = rows.expectation(expected), step.expectation.statistics
    assert step.expectation.log_densities.tobytes() == of_new.log_densities.tobytes()
    of_new = of_new.statistics
    assert statistics.log_likelihood == stored.log_likelihood + of_new.log_likelihood
    assert step.likelihoods == (step.expectation.mean_log_likelihood,)
    np.testing.assert_allclose(statistics.counts, stored.counts + of_new.counts, rtol=1e-14)


@KINDS
def test_without_earlier_rows_it_is_em(problem):
    """Empty statistics are the neutral element."""
    mixture, _, new = problem
    rows, none = table_of(new), Statistics.empty(mixture.covariance_type, 3, 2)

    found = absorbed(mixture, none, rows, 4).mixture

    expected = next(islice(iterate(Origin(mixture), rows.engine, rows.table, Rules()), 4, None)).mixture
    assert found.covariances.tobytes() == expected.covariances.tobytes()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 400), m=st.integers(1, 400), has_ties=st.booleans())
def test_merged_quantiles_are_those_of_all_rows(seed, n, m, has_ties):
    """To the share of one or two rows: rows between two quantiles have no known place."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(rng.normal(), 2.0, size=m)
    if has_ties:
        a, b = np.round(a), np.round(b)

    found = quantiles.merge([(quantiles.summarise(a), float(n)), (quantiles.summarise(b), float(m))])

    both, p = np.sort(np.concatenate([a, b])), quantiles.probabilities()
    slack = 2.5 / n * n / (n + m) + 2.5 / m * m / (n + m) + 2.5e-3
    assert (np.diff(found) >= 0).all()
    low = np.quantile(both, np.clip(p - slack, 0, 1), method="lower")
    high = np.quantile(both, np.clip(p + slack, 0, 1), method="higher")
    assert (found >= low - 1e-9).all()
    assert (found <= high + 1e-9).all()
    assert (found[0], found[-1]) == (both[0], both[-1])


@pytest.mark.parametrize("weights", [(2.0, 3.0), (0.0, 1.0), (1.0, 0.0)])
def test_merging_a_distribution_with_itself_or_with_nothing_changes_nothing(weights):
    """Also with many equal values."""
    rows = np.round(np.random.default_rng(1).normal(size=1000), 1)
    own = quantiles.summarise(rows)
    other = own if min(weights) else own + 100

    parts = [(own, max(weights)), (other, min(weights))]

    np.testing.assert_allclose(quantiles.merge(parts), own, rtol=1e-12, atol=1e-12)
