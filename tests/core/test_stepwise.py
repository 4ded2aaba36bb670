"""Steps after batches: what the formula says, row by row, and the same bytes however a run is cut."""

from itertools import islice

import numpy as np
import pytest
from oracles import slow_em
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core import em, stepwise
from gmmcli.core.mixture import COVARIANCE_TYPES
from gmmcli.core.stepwise import Running
from gmmcli.engine.local import LocalEngine

KINDS = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
N = 100


@pytest.fixture
def mixture(covariance_type):
    return random_mixture(np.random.default_rng(1), covariance_type, 3, 2)


@pytest.fixture
def engine(mixture):
    X = random_rows(np.random.default_rng(2), mixture, N)
    return LocalEngine([[X[:, :33]], [X[:, 33:90], X[:, 90:]]], 1)


def rows_of(engine):
    return engine.take(np.arange(N)).T


def pairs_of(engine, mixture, batch_rows, last_step=None, **before):
    first = em.begin(mixture, engine.expectation, **before)
    rules = em.Rules(reg_covar=1e-3)
    return stepwise.iterate(first, engine.expectation, rules, engine, batch_rows, last_step)


@KINDS
@pytest.mark.parametrize("batch_rows", [30, 100, 1000])
def test_steps_are_those_of_the_definition(engine, mixture, batch_rows):
    """S ← (1 − γ) S + γ s, s scaled from the batch to the table, and M: with weights on all rows so far."""
    X, expected = rows_of(engine), mixture
    n = min(batch_rows, N)
    resp = slow_em.expectation(X, mixture).resp
    seen, first = [(X, resp)], 0
    for t in range(4):
        rows = np.arange(first, first + n) % N
        gamma = (t + 10) ** -0.7
        seen = [(Y, (1 - gamma) * r) for Y, r in seen]
        seen.append((X[:, rows], gamma * N / n * slow_em.expectation(X[:, rows], expected).resp))
        Y, r = (np.concatenate(parts, axis=1) for parts in zip(*seen, strict=True))
        expected, first = slow_em.maximise(Y, r, expected, "wmc", 1e-3), (first + n) % N

    found = next(pair for pair in pairs_of(engine, mixture, batch_rows, last_step=4) if pair.step == 4)

    for name in ("weights", "means", "covariances"):
        exact = getattr(expected, name).astype(float)
        np.testing.assert_allclose(getattr(found.mixture, name), exact, rtol=1e-10, atol=1e-12)


@KINDS
def test_a_pair_is_yielded_after_every_pass_with_its_own_likelihood(engine, mixture):
    """That of a full E; three of them tell of convergence."""
    pairs = list(islice(pairs_of(engine, mixture, 30), 4))

    assert [pair.step for pair in pairs] == [0, 4, 8, 12]
    assert [len(pair.likelihoods) for pair in pairs] == [1, 2, 3, 3]
    last = engine.expectation(pairs[-1].mixture)
    assert pairs[-1].likelihoods[-1] == last.mean_log_likelihood


@KINDS
@pytest.mark.parametrize("cut", [4, 6, 7])
def test_a_run_that_is_cut_anywhere_ends_with_the_same_bytes(engine, mixture, cut):
    """At the end of a pass or within one: the run state says where to go on."""
    whole = next(pair for pair in pairs_of(engine, mixture, 30, last_step=16) if pair.step == 16)

    part = next(pair for pair in pairs_of(engine, mixture, 30, last_step=cut) if pair.step == cut)
    before = part.likelihoods[:-1]
    rest = pairs_of(engine, part.mixture, 30, last_step=16, step=part.step, likelihoods=before, run=part.run)
    again = next(pair for pair in rest if pair.step == 16)

    assert again.mixture.covariances.tobytes() == whole.mixture.covariances.tobytes()
    assert again.likelihoods == whole.likelihoods
    assert again.run.keys() == whole.run.keys()
    assert all(again.run[name].tobytes() == whole.run[name].tobytes() for name in whole.run)


@KINDS
def test_a_state_of_another_shape_is_not_used(engine, mixture):
    """A run begins with what the whole table says then."""
    other = random_mixture(np.random.default_rng(3), mixture.covariance_type, 5, 2)
    whole = engine.expectation(mixture).statistics
    state = Running(engine.expectation(other).statistics, 7, 12).kept_in({})

    found = Running.from_arrays(state, whole)

    assert (found.batches, found.first) == (0, 0)
    assert found.statistics is whole


@KINDS
def test_batches_go_round_the_table(engine, mixture):
    """Over the seams of chunks and operands, and from the last row to the first, once or more."""
    X = rows_of(engine)

    found = engine.expectation_of(85, 140, mixture)

    rows = np.arange(85, 85 + 140) % N
    expected = slow_em.expectation(X[:, rows], mixture)
    assert found.rows == 140
    np.testing.assert_allclose(found.counts, expected.resp.sum(axis=1).astype(float), rtol=1e-10)
    assert found.log_likelihood == pytest.approx(float(expected.log_likelihood), rel=1e-10)
