"""Stepwise EM follows its formula, row by row, with the same bytes wherever a run is stopped."""

from itertools import islice

import numpy as np
import pytest
from oracles import slow_em
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.em import stepwise
from gmmcli.core.em.loop import Origin
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.em.memory import Batches
from gmmcli.core.families import FAMILIES

KINDS = pytest.mark.parametrize("covariance_type", FAMILIES)
N = 100


@pytest.fixture
def mixture(covariance_type):
    return random_mixture(np.random.default_rng(1), covariance_type, 3, 2)


@pytest.fixture
def rows(mixture):
    X = random_rows(np.random.default_rng(2), mixture, N)
    return OneTable([[X[:, :33]], [X[:, 33:90], X[:, 90:]]])


def steps_of(rows, mixture, batch_rows, last_step=None, **before):
    rules = Rules(reg_covar=1e-3)
    return stepwise.iterate(Origin(mixture, **before), rows.engine, rows.table, rules, batch_rows, last_step)


@KINDS
@pytest.mark.parametrize("batch_rows", [30, 100, 1000])
def test_steps_are_those_of_the_definition(rows, mixture, batch_rows):
    """S ← (1 − γ) S + γ s, s scaled from the batch to the table, and M: with weights on all rows so far."""
    X, expected = rows.all_rows().T, mixture
    n = min(batch_rows, N)
    resp = slow_em.expectation(X, mixture).resp
    seen, first = [(X, resp)], 0
    for t in range(4):
        places = np.arange(first, first + n) % N
        gamma = (t + 10) ** -0.7
        seen = [(Y, (1 - gamma) * r) for Y, r in seen]
        seen.append((X[:, places], gamma * N / n * slow_em.expectation(X[:, places], expected).resp))
        Y, r = (np.concatenate(parts, axis=1) for parts in zip(*seen, strict=True))
        expected, first = slow_em.maximise(Y, r, expected, "wmc", 1e-3), (first + n) % N

    found = next(step for step in steps_of(rows, mixture, batch_rows, last_step=4) if step.number == 4)

    for name in ("weights", "means", "covariances"):
        exact = getattr(expected, name).astype(float)
        np.testing.assert_allclose(getattr(found.mixture, name), exact, rtol=1e-10, atol=1e-12)


@KINDS
def test_a_step_is_yielded_after_every_pass_with_its_own_likelihood(rows, mixture):
    """The likelihood is that of a full E-step; three of them judge convergence."""
    steps = list(islice(steps_of(rows, mixture, 30), 4))

    assert [step.number for step in steps] == [0, 4, 8, 12]
    assert [len(step.likelihoods) for step in steps] == [1, 2, 3, 3]
    last = rows.expectation(steps[-1].mixture)
    assert steps[-1].likelihoods[-1] == last.mean_log_likelihood


@KINDS
@pytest.mark.parametrize("cut", [4, 6, 7])
def test_a_run_that_is_cut_anywhere_ends_with_the_same_bytes(rows, mixture, cut):
    """At the end of a pass or within it, the memory of a step is enough to continue."""
    whole = next(step for step in steps_of(rows, mixture, 30, last_step=16) if step.number == 16)

    part = next(step for step in steps_of(rows, mixture, 30, last_step=cut) if step.number == cut)
    before = {"number": cut, "likelihoods": part.likelihoods[:-1], "memory": part.memory}
    rest = steps_of(rows, part.mixture, 30, last_step=16, **before)
    again = next(step for step in rest if step.number == 16)

    assert again.mixture.covariances.tobytes() == whole.mixture.covariances.tobytes()
    assert again.likelihoods == whole.likelihoods
    for name, value in vars(whole.memory.stepwise).items():
        found = getattr(again.memory.stepwise, name)
        assert found.tobytes() == value.tobytes() if isinstance(value, np.ndarray) else found == value


@KINDS
def test_a_memory_of_another_shape_is_not_used(rows, mixture):
    """The run begins with the statistics of the whole table instead."""
    other = random_mixture(np.random.default_rng(3), mixture.covariance_type, 5, 2)
    odd = next(steps_of(rows, other, 30)).memory
    assert isinstance(odd.stepwise, Batches)

    found, expected = (
        next(islice(steps_of(rows, mixture, 30, **before), 1, None)) for before in ({"memory": odd}, {})
    )

    assert found.mixture.means.tobytes() == expected.mixture.means.tobytes()


@KINDS
def test_batches_go_round_the_table(rows, mixture):
    """Batches cross the borders of chunks and operands, and continue at the first row after the last."""
    X = rows.all_rows().T

    found = rows.engine.expectation(rows.table.part(85, 140), mixture).statistics

    places = np.arange(85, 85 + 140) % N
    expected = slow_em.expectation(X[:, places], mixture)
    assert found.rows == 140
    np.testing.assert_allclose(found.counts, expected.resp.sum(axis=1).astype(float), rtol=1e-10)
    assert found.log_likelihood == pytest.approx(float(expected.log_likelihood), rel=1e-10)
