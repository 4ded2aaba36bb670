"""One pass over a table in memory: the same bytes for any number of processes, and no row lost."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow_em
from oracles.kernels import workspace_of
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core import quantiles
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel import kernel as kernel_module
from gmmcli.core.kernel.block import Layout
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.engine import blas, local
from gmmcli.engine.blas import one_blas_thread
from gmmcli.engine.in_memory import InMemoryTable
from gmmcli.engine.processes import preparation
from gmmcli.errors import CovarianceNotPositive

SHORT_BLOCK = 64


def use_short_blocks(patch, rows):
    """Make blocks of one tile of four slabs, and hand even the shortest pass to workers."""
    layout = Layout(rows, rows, rows, rows // 4, 2, 24, row_ns=1.0, most_sums=1000)
    for module in (kernel_module, local):
        patch.setattr(module, "choose_layout", lambda *_: layout)
    patch.setattr(local, "SCATTER_ROWS", rows)
    patch.setattr(local, "INLINE_NS", 0.0)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Let a few hundred rows be many blocks, and limit BLAS to one thread."""
    use_short_blocks(monkeypatch, SHORT_BLOCK)
    with one_blas_thread():
        yield


@pytest.fixture(params=FAMILIES)
def mixture(request):
    mixture = random_mixture(np.random.default_rng(1), request.param, 3, 4)
    covariances = mixture.covariances.copy()
    if request.param != "tied":
        covariances[1] *= 1e-13  # evaluated in centred form beside the others
    return Mixture(mixture.weights, mixture.means, covariances, request.param)


@pytest.fixture(name="X")
def rows_around(mixture):
    return random_rows(np.random.default_rng(2), mixture, 1000)


def bytes_of(expectation):
    statistics = expectation.statistics
    arrays = (statistics.counts, statistics.sums, statistics.squares, statistics.reference)
    numbers = (statistics.log_likelihood, statistics.total_weight, statistics.log_max_posterior)
    return [array.tobytes() for array in (*arrays, np.array(numbers), expectation.log_densities)]


def cut(X, *places):
    return [np.ascontiguousarray(part) for part in np.split(X, places, axis=1)]


@pytest.mark.parametrize("least_work", [0.0, np.inf])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_any_number_of_threads_gives_the_same_bytes(mixture, X, n_threads, hard, least_work, monkeypatch):
    """Sums are added in the order of the blocks, whichever process sums them or finds constants."""
    monkeypatch.setattr(preparation, "LEAST_WORK", least_work)
    chunks = [cut(X, 130), cut(X, 64, 640)]

    one = OneTable(chunks, 1).expectation(mixture, hard=hard)
    many = OneTable(chunks, n_threads).expectation(mixture, hard=hard)

    assert bytes_of(many) == bytes_of(one)


def test_one_pass_is_the_e_of_all_rows(mixture, X):
    """Over uneven pieces, one of them empty, it agrees with the slow reference."""
    chunks = [[X[:, :130], X[:, 130:130]], [X[:, 130:131], X[:, 131:]]]

    found = OneTable(chunks, 2).expectation(mixture)

    slow = slow_em.expectation(X, mixture)
    assert found.statistics.rows == found.statistics.total_weight == 1000
    assert found.statistics.log_likelihood == pytest.approx(float(slow.log_likelihood), rel=1e-11)
    assert found.mean_log_likelihood == pytest.approx(float(slow.log_likelihood) / 1000, rel=1e-11)
    assert found.statistics.log_max_posterior == pytest.approx(float(slow.log_max_posterior), rel=1e-9)
    np.testing.assert_allclose(found.log_densities, slow.log_density.astype(float), rtol=1e-10, atol=1e-9)
    expected = slow_em.maximise(X, slow.resp, mixture)
    np.testing.assert_allclose(
        maximise(found.statistics, mixture, Rules()).means, expected.means, rtol=0, atol=1e-9
    )


def test_how_an_operand_is_cut_into_whole_blocks_leaves_no_trace(mixture, X):
    """One array of 1,000 rows and pieces of whole blocks give the same bytes."""
    whole = OneTable([[X]], 2).expectation(mixture)
    pieces = OneTable([cut(X, 64, 320, 960)], 2).expectation(mixture)

    assert bytes_of(pieces) == bytes_of(whole)


def test_blocks_never_span_operands(mixture, X, monkeypatch):
    """Each operand starts a new block, so its sums do not depend on the operands before it."""
    lengths = []
    original = Kernel.expectation

    def watched(kernel, rows, work, *, hard=False):
        lengths.append(rows.n_rows)
        return original(kernel, rows, work, hard=hard)

    monkeypatch.setattr(Kernel, "expectation", watched)

    OneTable([[X[:, :100]], [X[:, 100:110]], [X[:, 110:302]]], 1).expectation(mixture)

    assert lengths == [64, 36, 10, 64, 64, 64]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([100], [8] * 11 + [4, 2, 2, 2, 2]),
        ([16], [4, 4, 2, 2, 2, 2]),
        ([17], [8, 4, 2, 2, 1]),
        ([3], [2, 1]),
        ([20, 20, 3], [8, 8, 4, 8, 4, 4, 2, 2, 2, 1]),
    ],
)
def test_the_last_blocks_of_a_table_are_shorter_and_shorter(lengths, expected):
    """Half as long as soon as at most two would follow, for any pieces; no row is lost."""
    X = np.arange(sum(lengths), dtype=float)[None]
    table = InMemoryTable([list(map(Rows, cut(X, *np.cumsum(lengths)[:-1])))])

    blocks = list(table.blocks(8, 2))

    assert [block.n_rows for block in blocks] == expected
    assert np.concatenate([block.X[0] for block in blocks]).tolist() == X[0].tolist()
    assert all(block.X[0, 0] == block.first_row for block in blocks)


def test_sums_are_added_block_after_block_and_operand_after_operand(mixture, X):
    """Adding the sums of blocks by hand, in that order, gives the same bytes."""
    parts = [X[:, :64], X[:, 64:100], X[:, 100:130]]
    kernel = Kernel(mixture)
    total, *rest = [kernel.expectation(Rows(part), workspace_of(kernel))[0] for part in parts]
    for sums in rest:
        total += sums

    found = OneTable([[X[:, :100]], [X[:, 100:130]]], 3).expectation(mixture).statistics

    expected = kernel.statistics(total, sum(part @ part.T for part in parts))
    assert found.squares.tobytes() == expected.squares.tobytes()
    assert found.log_likelihood == expected.log_likelihood


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("m", [1, 7, 64, 100, 999, 1000])
def test_log_densities_are_sampled_at_evenly_spaced_rows(mixture, X, m, n_threads, monkeypatch):
    """Rows ⌊i·n/m⌋ for i < m, across blocks and operands."""
    every = OneTable([[X]], 1).expectation(mixture).log_densities
    monkeypatch.setattr(quantiles, "SAMPLE_ROWS", m)

    found = OneTable([[X]], n_threads).expectation(mixture).log_densities

    assert found.tolist() == every[[i * 1000 // m for i in range(m)]].tolist()


@given(lengths=st.lists(st.integers(0, 150), min_size=1, max_size=5).filter(any), m=st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_the_sample_fills_whatever_the_operands_lengths(lengths, m):
    """Every place of the sample is written once, for operands of any length."""
    n = sum(lengths)
    table = np.arange(float(n))[None]
    chunks = [[part] for part in np.split(table, np.cumsum(lengths)[:-1], axis=1)]
    mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.full(1, 1e4), "spherical")
    with pytest.MonkeyPatch.context() as patch:
        use_short_blocks(patch, 16)
        patch.setattr(quantiles, "SAMPLE_ROWS", m)

        found = OneTable(chunks, 2).expectation(mixture).log_densities

    size = min(n, m)
    sampled = np.array([i * n // size for i in range(size)], dtype=float)
    peak = -0.5 * np.log(2 * np.pi * 1e4)
    np.testing.assert_allclose(found, peak - sampled**2 / 2e4, rtol=1e-10)


def test_take_finds_rows_across_chunks_and_operands(X):
    """In the given order, with repetitions, on both sides of every border."""
    engine = OneTable([[X[:, :10], X[:, 10:10], X[:, 10:11]], [X[:, 11:]]], 1)
    indices = np.array([999, 0, 9, 10, 11, 10, 500])

    found = engine.table.take(indices)

    assert found.X.tolist() == X[:, indices].tolist()
    assert engine.table.n_rows == 1000
    assert engine.table.n_features == 4


class Abandoned(Exception):
    """Raised by a check."""


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_check_is_called_before_blocks_and_may_abandon_the_pass(mixture, X, n_threads):
    """One process calls it for each of sixteen blocks; of several, the parent for its own blocks."""
    calls, limit = [], 1000

    def check():
        calls.append(None)
        if len(calls) >= limit:
            raise Abandoned

    OneTable([[X]], n_threads, check).expectation(mixture)
    assert calls
    assert len(calls) == 16 or n_threads > 1
    calls.clear()
    limit = 7 if n_threads == 1 else 1
    with pytest.raises(Abandoned):
        OneTable([[X]], n_threads, check).expectation(mixture)
    assert len(calls) == limit


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_covariance_that_is_none_is_refused_before_the_pass(X, n_threads):
    """The caller gets the kernel's error."""
    mixture = Mixture(np.ones(1), np.zeros((1, 4)), np.zeros((1, 4, 4)), "full")

    with pytest.raises(CovarianceNotPositive):
        OneTable([[X]], n_threads).expectation(mixture)


def test_cpus_and_blas_are_known():
    """There is at least one CPU, and numpy's BLAS has a name."""
    assert blas.available_cpus() >= 1
    assert blas.blas_kernel() not in ("", "unknown")


LIMIT = """
import threading
from threadpoolctl import threadpool_info
from gmmcli.engine.blas import one_blas_thread
def state():
    blas = {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}
    print(*blas, threading.active_count())
state()
with one_blas_thread():
    state()
    with one_blas_thread():
        state()
    state()
state()
"""


@pytest.mark.parametrize(
    ("n_threads", "expected"),
    [
        (1, ["1 1"] * 5),
        pytest.param(
            2,
            ["2 1", "1 2", "1 2", "1 2", "2 1"],
            marks=pytest.mark.skipif(blas.available_cpus() == 1, reason="BLAS has no more threads than CPUs"),
        ),
    ],
)
def test_a_thread_is_made_to_limit_blas_only_where_it_has_threads(n_threads, expected):
    """Threads of BLAS and of Python: before, within, nested, within, after."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(n_threads)}

    run = subprocess.run(
        [sys.executable, "-c", LIMIT], env=environment, capture_output=True, text=True, check=True
    )

    assert run.stdout.splitlines() == expected


def test_a_table_of_one_row_is_a_table(mixture):
    """It is one block of one row; there are more processes than blocks."""
    X = np.ones((4, 1))

    found = OneTable([[X]], 4).expectation(mixture)

    assert found.statistics.rows == 1
    assert found.log_densities[0] == pytest.approx(float(slow_em.log_density(X, mixture)[0]), rel=1e-10)


def test_distinct_rows_are_counted_no_further_than_asked():
    """Over several pieces; zeros of either sign are equal."""
    X = np.array([[0.0, -0.0, 1.0, 1.0, 2.0], [5.0, 5.0, 5.0, 6.0, 5.0]])
    table = OneTable([[X[:, :2]], [X[:, 2:], X]]).table

    assert [table.count_distinct(most) for most in (1, 3, 4, 9)] == [1, 3, 4, 4]


@pytest.mark.parametrize("n_workers", [2, 5])
def test_passes_in_any_order_give_the_bytes_of_one_process(n_workers):
    """Passes of any size, some with singular covariances, some over before a worker starts."""
    rng = np.random.default_rng(9)
    X = rng.normal(size=(3, 5 * SHORT_BLOCK))
    mixtures = [random_mixture(rng, list(FAMILIES)[i % 6], 1 + i % 5, 3) for i in range(12)]
    flat = Mixture(np.full(4, 0.25), np.zeros((4, 3)), np.zeros((4, 3, 3)), "full")
    alone = OneTable([[X]], 1)
    expected = [alone.expectation(mixture).statistics.sums.tobytes() for mixture in mixtures]

    with OneTable([[X]], n_workers) as engine:
        for _ in range(400):
            i = int(rng.integers(len(mixtures) + 2))
            if i < len(mixtures):
                assert engine.expectation(mixtures[i]).statistics.sums.tobytes() == expected[i]
            else:
                with pytest.raises(CovarianceNotPositive):
                    engine.expectation(flat)
