"""Weights stay with their rows: a row of weight 3 counts as the row three times, everywhere."""

from dataclasses import replace
from itertools import accumulate, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow_em
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core import quantiles, units
from gmmcli.core.em import acceleration, loop, stepwise
from gmmcli.core.em.loop import Origin
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.em.reseeding import Reseeding
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.start import starts as start
from gmmcli.core.start.partitions import Partitions
from gmmcli.core.start.starts import Starts
from gmmcli.engine.in_memory import InMemoryTable

# Sums of the same numbers in another order differ by rounding: far less than a row of any weight counts.
ROUNDING = 1e-11
RULES = Rules(reg_covar=1e-3)
KINDS = pytest.mark.parametrize("covariance_type", FAMILIES)
counts = st.lists(st.integers(0, 3), min_size=6, max_size=60).filter(lambda found: sum(map(bool, found)) > 2)
seeds = st.integers(0, 2**32 - 1)
types = st.sampled_from(list(FAMILIES))


def problem(seed, covariance_type, n_rows, has_tight=False):
    """Return a mixture of three components and rows from it; one may be too narrow for the expanded form."""
    rng = np.random.default_rng(seed)
    mixture = random_mixture(rng, covariance_type, 3, 2)
    X = random_rows(rng, mixture, n_rows)
    if has_tight:
        covariances = mixture.covariances.copy()
        covariances[() if covariance_type == "tied" else 1] *= 1e-13
        mixture = Mixture(mixture.weights, mixture.means, covariances, covariance_type)
    return mixture, X


def in_pieces(X, weights, *places):
    """Return two operands, the second one in two pieces."""
    n = X.shape[1]
    first, second = places or (n // 3, n // 2)
    cuts = (slice(0, first), slice(first, second), slice(second, n))
    one, two, three = (Rows(np.ascontiguousarray(X[:, c]), weights[c]) for c in cuts)
    return [[one], [two, three]]


def both(X, weights):
    """Return a table with weights, and one with every row repeated as often as its weight."""
    weights = np.array(weights)
    return OneTable(in_pieces(X, weights.astype(float))), OneTable([[np.repeat(X, weights, axis=1)]])


def assert_near(found, expected, names, rtol=ROUNDING):
    """Compare attributes, relative to their largest number."""
    for name in names:
        exact = np.asarray(getattr(expected, name))
        atol = rtol * max(1.0, np.abs(exact).max())
        np.testing.assert_allclose(getattr(found, name), exact, rtol=0, atol=atol, err_msg=name)


STATISTICS = ("counts", "sums", "squares", "reference", "log_likelihood", "log_max_posterior", "total_weight")
MIXTURE = ("weights", "means", "covariances")


@given(seed=seeds, covariance_type=types, weights=counts, hard=st.booleans(), has_tight=st.booleans())
@settings(max_examples=80, deadline=None)
def test_statistics_of_integer_weights_are_those_of_repeated_rows(
    seed, covariance_type, weights, hard, has_tight
):
    """In both forms; rows of weight 0 are not counted."""
    mixture, X = problem(seed, covariance_type, len(weights), has_tight)
    weighted, repeated = both(X, weights)

    found, expected = (one.expectation(mixture, hard=hard) for one in (weighted, repeated))

    # Densities of tight components are of the order of 1e13.
    assert_near(found.statistics, expected.statistics, STATISTICS, 1e-9 if has_tight else ROUNDING)
    assert found.statistics.rows == np.count_nonzero(weights)
    assert expected.statistics.rows == sum(weights)
    assert found.mean_log_likelihood == pytest.approx(expected.mean_log_likelihood, rel=1e-9, abs=1e-9)
    assert weighted.table.total_weight == repeated.table.total_weight == sum(weights)
    assert found.log_densities.size == len(weights)


@given(seed=seeds, weights=counts, cut=st.integers(0, 60))
@settings(max_examples=80, deadline=None)
def test_units_of_integer_weights_are_those_of_repeated_rows(seed, weights, cut):
    """In any number of blocks, one of them of weight 0."""
    X = np.random.default_rng(seed).normal(size=(3, len(weights))) * [[1.0], [1e6], [1e-3]] + [
        [0],
        [1e6],
        [5],
    ]
    w = np.array(weights, float)
    parts = [Rows(X[:, :cut], w[:cut]), Rows(X[:, cut:], w[cut:]), Rows(X[:, :2] + 1e9, np.zeros(2))]

    found = units.measure(part for part in parts if part.n_rows)

    expected = units.measure([Rows(np.repeat(X, weights, axis=1))])
    assert found.weight == expected.weight == sum(weights)
    assert found.low.tobytes() == expected.low.tobytes()
    assert found.high.tobytes() == expected.high.tobytes()
    for common in (False, True):
        one, other = found.units(common=common), expected.units(common=common)
        np.testing.assert_allclose(one.center, other.center, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(one.scale, other.scale, rtol=1e-10)


@given(seed=seeds, weights=counts)
@settings(max_examples=100, deadline=None)
def test_quantiles_of_integer_weights_are_those_of_repeated_rows(seed, weights):
    """To the share of two rows: a third one between them has no known place."""
    w = np.array(weights)
    densities = np.random.default_rng(seed).normal(size=len(w))

    found = quantiles.summarise(densities, w.astype(float))

    repeated, p = np.sort(np.repeat(densities, w)), quantiles.probabilities()
    slack = 2 / np.count_nonzero(w) + 1 / w.sum()
    assert (np.diff(found) >= 0).all()
    assert (found >= np.quantile(repeated, np.clip(p - slack, 0, 1), method="lower")).all()
    assert (found <= np.quantile(repeated, np.clip(p + slack, 0, 1), method="higher")).all()
    assert found[0] == repeated[0]


@pytest.mark.parametrize("factor", [1.0, 0.3, 1e-9, 1e9])
@pytest.mark.parametrize("n", [1, 2, 3, 50, 1234])
def test_quantiles_of_equal_weights_are_those_without_weights(n, factor):
    """Only ratios of weights count."""
    densities = np.random.default_rng(n).normal(size=n)

    found = quantiles.summarise(densities, np.full(n, factor))

    np.testing.assert_allclose(found, quantiles.summarise(densities), rtol=1e-12, atol=1e-12)


def test_a_row_of_half_of_the_weight_has_half_of_the_quantiles():
    """All quantiles up to one half, apart from the step to the next value."""
    found = quantiles.summarise(np.arange(101.0), np.array([100.0] + [1.0] * 100))

    p = quantiles.probabilities()
    assert (found[p < 0.48] == 0.0).all()
    assert (found[p > 0.52] > 0.0).all()
    assert found[-1] >= 99.0  # the greatest value is half of a hundred-and-first of all


@given(seed=seeds, covariance_type=types, weights=counts)
@settings(max_examples=60, deadline=None)
def test_a_partition_of_integer_weights_is_that_of_repeated_rows(seed, covariance_type, weights):
    """Rows at a tie count by their weights as well."""
    mixture, X = problem(seed, covariance_type, len(weights))
    rows = both(X, weights)

    found, expected = (
        start.from_partition(one.engine, one.table, mixture.means, covariance_type, Rules(reg_covar=1e-3))
        for one in rows
    )

    assert_near(found, expected, MIXTURE)


@given(seed=seeds, covariance_type=types, factor=st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_scaling_all_weights_leaves_the_mixture_that_m_makes(seed, covariance_type, factor):
    """Exactly, for a power of two."""
    mixture, X = problem(seed, covariance_type, 50)
    weights = np.random.default_rng(seed).uniform(0.0, 2.0, 50)
    made = []
    for scale in (1.0, 0.125, factor):
        statistics = OneTable(in_pieces(X, scale * weights)).expectation(mixture).statistics
        made.append(maximise(statistics, mixture, RULES))
        assert statistics.total_weight == pytest.approx(scale * weights.sum(), rel=1e-13)

    assert_near(made[2], made[0], MIXTURE)
    for name in MIXTURE:
        assert getattr(made[1], name).tobytes() == getattr(made[0], name).tobytes()


@KINDS
def test_scaling_all_weights_leaves_starts_and_which_components_starve(covariance_type):
    """Counts of rows use weights whose mean is 1."""
    mixture, X = problem(5, covariance_type, 50)
    means = mixture.means.copy()
    means[2] = 1e3
    starving, weights = replace(mixture, means=means), np.random.default_rng(5).uniform(0.5, 2.0, 50)
    found = []
    for scale in (1.0, 2.0**-20, 2.0**20):
        rows, told = OneTable(in_pieces(X, scale * weights)), []
        starts = Starts(
            rows.engine, rows.table, Partitions(rows.table, np.ones(X.shape[0])), covariance_type, 3, RULES
        )
        mend = Reseeding(rows.table, lambda components, step, told=told: told.append(components))
        step = next(islice(loop.iterate(Origin(starving), rows.engine, rows.table, RULES, mend), 4, None))
        made = (
            starts.around_means(mixture.means),
            starts.draw("kmeans", np.random.default_rng(1)),
            step.mixture,
        )
        assert told == [[2]]
        found.append([getattr(one, name).tobytes() for one in made for name in MIXTURE])

    assert found[0] == found[1] == found[2]


@KINDS
@pytest.mark.parametrize("algorithm", ["plain", "accelerated", "by batches"])
def test_steps_of_integer_weights_are_those_of_repeated_rows(covariance_type, algorithm):
    """For batches that hold the same rows in both tables."""
    mixture, X = problem(7, covariance_type, 60)
    # Six batches of ten rows, which weigh twenty, are six batches of twenty repeated rows.
    tables, sizes = both(X, np.tile([1, 2, 3, 2, 2, 2, 1, 3, 2, 2], 6)), (10, 20)

    def steps(rows, batch_rows):
        origin, engine, table = Origin(mixture), rows.engine, rows.table
        return {
            "plain": lambda: loop.iterate(origin, engine, table, RULES),
            "accelerated": lambda: acceleration.iterate(origin, engine, table, RULES),
            "by batches": lambda: stepwise.iterate(origin, engine, table, RULES, batch_rows),
        }[algorithm]()

    found, expected = (list(islice(steps(rows, size), 9)) for rows, size in zip(tables, sizes, strict=True))

    for one, other in zip(found, expected, strict=True):
        assert one.number == other.number
        assert one.likelihoods == pytest.approx(other.likelihoods, rel=1e-9)
        assert_near(one.mixture, other.mixture, MIXTURE, 1e-9)


@KINDS
def test_a_batch_counts_by_its_weight(covariance_type):
    """S ← (1 − γ) S + γ s, with γ in proportion to the weight of the batch."""
    mixture, X = problem(8, covariance_type, 60)
    weights = np.random.default_rng(8).uniform(0.5, 2.0, 60) * np.repeat([0.5, 2.0, 1.0], 20)
    rows = OneTable(in_pieces(X, weights))

    found = list(islice(stepwise.iterate(Origin(mixture), rows.engine, rows.table, RULES, 20, 2), 2))[-1]

    expected, seen = mixture, [(X, slow_em.expectation(X, mixture, weights).resp)]
    for t, batch in enumerate((slice(0, 20), slice(20, 40))):
        share = weights[batch].sum() / weights.sum() * 3
        gamma = share * (t + 10) ** -0.7
        resp = slow_em.expectation(X[:, batch], expected, weights[batch]).resp
        seen = [(Y, (1 - gamma) * r) for Y, r in seen]
        seen.append((X[:, batch], gamma * weights.sum() / weights[batch].sum() * resp))
        Y, r = (np.concatenate(parts, axis=1) for parts in zip(*seen, strict=True))
        expected = slow_em.maximise(Y, r, expected, "wmc", RULES.reg_covar)
    assert found.number == 2
    for name in MIXTURE:
        exact = getattr(expected, name).astype(float)
        np.testing.assert_allclose(getattr(found.mixture, name), exact, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("every_pass_is_handed_out")
@KINDS
def test_any_number_of_processes_gives_the_same_bytes_with_weights(covariance_type):
    """Also if some pieces have no weights."""
    mixture, X = problem(3, covariance_type, 50_000)
    weights = np.random.default_rng(4).uniform(0.0, 3.0, 50_000) * (np.arange(50_000) % 7 > 0)
    (one,), (two, three) = in_pieces(X, weights, 20_000, 31_111)
    operands = [[one], [Rows(two.X), three]]

    found = set()
    for n_workers in (1, 2, 3):
        with OneTable(operands, n_workers) as rows:
            statistics = rows.expectation(mixture).statistics
        arrays = [getattr(statistics, name) for name in STATISTICS]
        found.add(b"".join(np.asarray(array).tobytes() for array in arrays))

    assert len(found) == 1
    assert statistics.total_weight == pytest.approx(one.total_weight + 11_111 + three.total_weight, rel=1e-12)
    assert statistics.rows == np.count_nonzero(one.weights) + 11_111 + np.count_nonzero(three.weights)


pieces = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=5).filter(
    lambda found: any(length for length, _ in found)
)


def numbered(pieces):
    """Return a table whose rows are their own numbers, and the expected weights."""
    firsts = [0, *accumulate(length for length, _ in pieces)]
    expected, operands = np.ones(firsts[-1]), []
    for first, (length, has_weights) in zip(firsts, pieces, strict=False):
        where = slice(first, first + length)
        if has_weights:
            expected[where] = np.arange(first, first + length) + 0.5
        X = np.arange(first, first + length, dtype=float)[None]
        operands.append([Rows(X, expected[where].copy() if has_weights else None)])
    return InMemoryTable(operands), expected


def assert_own_weights(rows, expected):
    """Check that each row has the weight that it came with; 1 in pieces without weights."""
    weights = np.ones(rows.n_rows) if rows.weights is None else rows.weights
    assert weights.tolist() == expected[rows.X[0].astype(int)].tolist()


@given(pieces=pieces, data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_table_in_memory_keeps_weights_with_their_rows(pieces, data):
    """In take, part, sample and blocks, whichever pieces have weights."""
    table, expected = numbered(pieces)
    n = table.n_rows
    indices = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20)))
    first, count = data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, 2 * n))
    m = data.draw(st.integers(1, n))
    longest = data.draw(st.sampled_from([1, 2, 4, 8]))

    taken, part, sample = table.take(indices), table.part(first, count), table.sample(m)

    assert table.total_weight == expected.sum()
    assert taken.X[0].tolist() == indices.tolist()
    assert_own_weights(taken, expected)
    everything = np.arange(first, first + count) % n
    assert part.take(np.arange(count)).X[0].tolist() == everything.tolist()
    assert part.total_weight == expected[everything].sum()
    kept = np.arange(n) if n <= 2 * m else np.arange(m) * n // m
    assert sample.take(np.arange(len(kept))).X[0].tolist() == kept.tolist()
    assert sample.total_weight == expected[kept].sum()
    for one in (table, part, sample):
        assert_own_weights(one.take(np.arange(one.n_rows)), expected)
        for block in one.blocks(longest, 1):
            assert_own_weights(block, expected)
    assert np.concatenate([block.X[0] for block in part.blocks(longest)]).tolist() == everything.tolist()


@given(pieces=pieces, m=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_weights_of_sampled_rows_are_those_of_the_densities_that_a_pass_samples(pieces, m):
    """Both are of rows ⌊i·n/m⌋; there are none if all rows weigh 1."""
    table, expected = numbered(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantiles, "SAMPLE_ROWS", m)

        found = table.sampled_weights()

    size = min(table.n_rows, m)
    if any(length and has_weights for length, has_weights in pieces):
        assert found.tolist() == expected[np.arange(size) * table.n_rows // size].tolist()
    else:
        assert found is None


@given(begin=st.integers(0, 10), length=st.integers(0, 10), first=st.integers(0, 5))
def test_a_slice_of_rows_shares_their_values_and_weights(begin, length, first):
    """It also knows the number of its first row."""
    rows = Rows(np.arange(40.0).reshape(2, 20), np.arange(20.0), first)

    part = rows[begin : begin + length]

    assert np.shares_memory(part.X, rows.X) or not length
    assert part.X.tolist() == rows.X[:, begin : begin + length].tolist()
    assert part.weights.tolist() == list(range(begin, begin + length))
    assert (part.n_rows, part.first_row) == (length, first + begin)
    assert part.total_weight == sum(range(begin, begin + length))
    assert Rows(rows.X)[begin : begin + length].weights is None
