"""A mixture applied to rows as they arrive: a row's bytes depend only on the row and its number."""

import concurrent.futures
import os
import signal
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow_em
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel import kernel
from gmmcli.core.kernel.block import Layout
from gmmcli.core.kernel.posterior import PER_COMPONENT, PER_ROW
from gmmcli.core.mixture import Mixture
from gmmcli.core.units import Units
from gmmcli.engine import evaluate
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
    covariance_type=st.sampled_from(list(FAMILIES)),
    cuts=st.lists(st.integers(0, N_ROWS), max_size=6),
    n_threads=st.integers(1, 3),
    first_row=st.sampled_from([0, 1, 130, 131, 1000]),
)
@settings(max_examples=40, deadline=None)
def test_a_row_has_the_same_bytes_however_rows_are_batched(covariance_type, cuts, n_threads, first_row):
    """For any batches, any number of threads, and any first row."""
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


@pytest.mark.parametrize("covariance_type", FAMILIES)
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
    """The evaluator standardises a copy."""
    evaluator, mixture = evaluator_of("full")
    X, _ = rows_of(mixture)
    before = X.tobytes()

    evaluator.evaluate(X, 0)

    assert X.tobytes() == before


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e200, 1e160])
def test_rows_that_are_missing_or_unbelievably_far_give_finite_numbers(covariance_type, value):
    """Other rows of their block are not affected."""
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
    """An empty batch gives every wanted quantity, empty."""
    evaluator, _ = evaluator_of("diag")

    found = evaluator.evaluate(np.empty((N_FEATURES, 0)), 77)

    assert {name: values.shape for name, values in found.items()} == {
        **dict.fromkeys(PER_ROW, (0,)),
        **dict.fromkeys(PER_COMPONENT, (N_COMPONENTS, 0)),
    }


@pytest.mark.parametrize("wanted", [("log_density",), ("assignment", "distance"), ("probabilities",)])
def test_what_else_is_wanted_changes_no_byte(wanted):
    """A quantity is the same alone and among all."""
    evaluator, mixture = evaluator_of("full")
    few, _ = evaluator_of("full", wanted=wanted)
    X, _ = rows_of(mixture)

    found, everything = few.evaluate(X, 5), evaluator.evaluate(X, 5)

    assert tuple(found) == wanted
    assert all(found[name].tobytes() == everything[name].tobytes() for name in wanted)


def test_one_column_and_one_component_are_enough():
    """The smallest possible mixture."""
    mixture = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), "full")
    evaluator = Evaluator(mixture, Units(np.zeros(1), np.ones(1)), EVERYTHING, 2)

    found = evaluator.evaluate(np.array([[3.0]]), 12345)

    assert found["distance"].tolist() == [3.0]
    assert found["probability"].tolist() == [1.0]
    assert found["log_density"][0] == pytest.approx(-4.5 - 0.5 * np.log(2 * np.pi), rel=1e-15)


N_TILES, PATIENCE_S = 40, 120.0


class Interruption(BaseException):
    """Raised by a signal handler: not an Exception."""


class Tiles:
    """Looks at every tile that is evaluated.

    Attributes
    ----------
    do : callable
        Called with the number of each tile before it is evaluated.
    threads : set of int
    n_begun, n_under_way : int
    """

    def __init__(self):
        self.do = lambda number: None
        self.threads, self.n_begun, self.n_under_way = set(), 0, 0
        self._lock = threading.Lock()

    def look(self, evaluate_rows, evaluator, X, first_row, *rest):
        """Evaluate a tile."""
        with self._lock:
            self.threads.add(threading.get_ident())
            self.n_begun += 1
            self.n_under_way += 1
        try:
            self.do(first_row // SHORT.tile_rows)
            evaluate_rows(evaluator, X, first_row, *rest)
        finally:
            with self._lock:
                self.n_under_way -= 1


@pytest.fixture
def tiles(monkeypatch):
    """Return an observer of tiles."""
    tiles, evaluate_rows = Tiles(), Evaluator._evaluate_rows
    monkeypatch.setattr(Evaluator, "_evaluate_rows", lambda *arguments: tiles.look(evaluate_rows, *arguments))
    return tiles


class Pool(concurrent.futures.ThreadPoolExecutor):
    """A thread pool that records when it has all tiles, and when it stops starting tiles."""

    has_all, is_dismissed = threading.Event(), threading.Event()
    n_given = 0

    def submit(self, *arguments, **more):
        """Take a tile."""
        future = super().submit(*arguments, **more)
        self.n_given += 1
        if self.n_given == N_TILES:
            self.has_all.set()
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        """End the threads."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        self.is_dismissed.set()
        super().shutdown(wait)


@pytest.fixture
def pool(monkeypatch):
    """Return the class of pool that evaluators use."""
    Pool.has_all.clear()
    Pool.is_dismissed.clear()
    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Pool)
    return Pool


def many_rows(mixture):
    return rows_of(mixture, N_TILES * SHORT.tile_rows)[0]


@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_keep_their_arrays_from_batch_to_batch_and_never_share_them(tiles, monkeypatch, n_threads):
    """There are as many workspaces as threads: making one takes longer than a tile."""
    made, in_use, all_there = [], [], threading.Barrier(n_threads, timeout=PATIENCE_S)
    workspace, apply = evaluate.Workspace, evaluate.evaluate

    def make(*arguments):
        made.append(workspace(*arguments))
        return made[-1]

    def apply_alone(kernel, block, wanted):
        assert block not in in_use
        in_use.append(block)
        found = apply(kernel, block, wanted)
        in_use.remove(block)
        return found

    monkeypatch.setattr(evaluate, "Workspace", make)
    monkeypatch.setattr(evaluate, "evaluate", apply_alone)
    evaluator, mixture = evaluator_of("full", n_threads)
    tiles.do = lambda number: all_there.wait() if number < n_threads else None

    with evaluator:
        for _ in range(3):
            evaluator.evaluate(many_rows(mixture), 0)

    assert tiles.n_begun == 3 * N_TILES
    assert len(tiles.threads) == n_threads
    assert 1 <= len(made) <= n_threads


def test_leaving_an_evaluator_ends_its_threads(tiles):
    """They serve all batches before."""
    before = set(threading.enumerate())
    evaluator, mixture = evaluator_of("full", 3)

    with evaluator:
        evaluator.evaluate(many_rows(mixture), 0)
        threads = set(threading.enumerate()) - before
        evaluator.evaluate(many_rows(mixture), 0)
        assert set(threading.enumerate()) - before >= threads
        assert 1 <= len(set(threading.enumerate()) - before) <= 3

    assert set(threading.enumerate()) == before


@pytest.mark.parametrize(("n_threads", "n_rows"), [(1, N_TILES * SHORT.tile_rows), (3, SHORT.tile_rows)])
def test_one_thread_or_one_tile_needs_no_other_thread(tiles, n_threads, n_rows):
    """Starting a thread takes longer than a small table."""
    evaluator, mixture = evaluator_of("full", n_threads)

    with evaluator:
        evaluator.evaluate(rows_of(mixture, n_rows)[0], 0)

    assert tiles.threads == {threading.get_ident()}


@pytest.mark.parametrize("kind", [ValueError, MemoryError, Interruption, KeyboardInterrupt])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("place", ["tile", "workspace"])
def test_whatever_is_raised_in_a_thread_surfaces_and_no_thread_is_left(
    tiles, pool, monkeypatch, place, n_threads, kind
):
    """From a tile or from an allocation; tiles that have not begun are cancelled."""
    before = set(threading.enumerate())

    def fail(*_):
        raise kind

    if place == "workspace":
        monkeypatch.setattr(evaluate, "Workspace", fail)
    tiles.do = lambda number: fail() if number == 0 else pool.is_dismissed.wait(PATIENCE_S)
    evaluator, mixture = evaluator_of("full", n_threads)

    with pytest.raises(kind), evaluator:
        evaluator.evaluate(many_rows(mixture), 0)

    assert set(threading.enumerate()) == before
    assert tiles.n_under_way == 0
    # The one that failed, and one more in the hands of each thread; a single thread begins none after it.
    assert tiles.n_begun <= (1 if n_threads == 1 else 1 + n_threads)


@pytest.fixture
def interrupted_by_sigusr1():
    """Let SIGUSR1 raise once in the main thread, as SIGTERM does in the command."""
    seen = []

    def handler(*_):
        seen.append(None)
        if len(seen) == 1:
            raise Interruption

    previous = signal.signal(signal.SIGUSR1, handler)
    yield
    signal.signal(signal.SIGUSR1, previous)


@pytest.mark.usefixtures("interrupted_by_sigusr1")
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_signal_ends_the_evaluation_and_no_tile_goes_on_behind_it(tiles, pool, n_threads):
    """The exception leaves after the tiles that have begun, not after all tiles."""
    before = set(threading.enumerate())

    def interrupt(number):
        if number == 0:
            # Earlier, a thread that is being started might end a moment after the pool.
            assert n_threads == 1 or pool.has_all.wait(PATIENCE_S)
            # Again and again: one that comes just before the main thread waits for a tile does not wake it.
            while not pool.is_dismissed.wait(0.05):
                os.kill(os.getpid(), signal.SIGUSR1)
        pool.is_dismissed.wait(PATIENCE_S)

    tiles.do = interrupt
    evaluator, mixture = evaluator_of("full", n_threads)

    with pytest.raises(Interruption), evaluator:
        evaluator.evaluate(many_rows(mixture), 0)

    assert set(threading.enumerate()) == before
    assert tiles.n_under_way == 0
    assert tiles.n_begun <= n_threads
