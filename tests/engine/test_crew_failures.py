"""Worker processes that are killed, stopped, late or faulty: the parent continues, or reports it."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from engine.watching import PATIENCE_S, Flag, is_gone, kill, pids_of, wait_until
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.engine.processes import crew, preparation, process
from gmmcli.errors import OutOfMemory
from gmmcli.remedies import Set

pytestmark = [
    pytest.mark.skipif(not process.CAN_FORK, reason="no workers without fork"),
    pytest.mark.usefixtures("every_pass_is_handed_out"),
]


@pytest.mark.parametrize("children", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_worker_that_is_killed_is_reported_and_the_next_pass_has_new_ones(
    engine, mixture, children, request
):
    """Nothing hangs, the message has a hint, and a caller may ignore SIGCHLD."""
    request.addfinalizer(functools.partial(signal.signal, signal.SIGCHLD, signal.getsignal(signal.SIGCHLD)))
    signal.signal(signal.SIGCHLD, children)
    expected = engine.expectation(mixture).statistics
    killed = pids_of(engine)[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: is_gone(killed))

    with pytest.raises(OutOfMemory, match="was killed, probably because memory ran out") as caught:
        engine.expectation(mixture)

    assert caught.value.hint == Set("--threads", "1")
    assert engine.expectation(mixture).statistics.squares.tobytes() == expected.squares.tobytes()


@contextlib.contextmanager
def finding(engine, mixture, monkeypatch, find):
    """Let a worker take a part of the constants before the parent, and call `find` for it."""
    monkeypatch.setattr(preparation, "LEAST_WORK", 0.0)
    took, find_part = Flag(), preparation.find_part

    def take(*arguments):
        took.set()
        return find(find_part, *arguments)

    def find_after_that(*arguments):
        took.wait()
        return find_part(*arguments)

    monkeypatch.setattr(preparation, "find_part", take)
    engine.attached.crew_for(mixture)
    monkeypatch.setattr(preparation, "find_part", find_after_that)
    killer = threading.Timer(PATIENCE_S, lambda: kill(pids_of(engine)))
    killer.start()
    yield
    killer.cancel()


def test_constants_that_a_worker_has_found_are_those_that_the_parent_would_have(mixture, monkeypatch):
    """The parent waits for a part that a worker has taken."""
    X = random_rows(np.random.default_rng(2), mixture, 50_000)
    with OneTable([[X]], 1) as alone, OneTable([[X]], 2) as engine:
        expected = alone.expectation(mixture).statistics.squares.tobytes()

        with finding(engine, mixture, monkeypatch, lambda find_part, *arguments: find_part(*arguments)):
            assert engine.expectation(mixture).statistics.squares.tobytes() == expected


@pytest.mark.parametrize(
    ("do", "error"),
    [
        (lambda *_: os.kill(os.getpid(), signal.SIGKILL), OutOfMemory),
        (lambda *_: [].pop(), RuntimeError),
    ],
)
def test_a_worker_that_ends_while_it_finds_constants_is_reported(engine, mixture, monkeypatch, do, error):
    """As for a worker that sums a block; the next pass has new workers."""
    with finding(engine, mixture, monkeypatch, do), pytest.raises(error):
        engine.expectation(mixture)

    monkeypatch.undo()
    assert engine.expectation(mixture).statistics.rows == 100_000


def test_a_worker_that_is_stopped_while_it_finds_constants_does_not_keep_a_run_from_ending(
    engine, mixture, monkeypatch
):
    """The check before each wait may end the run."""
    asked = []

    def end():
        asked.append(None)
        if len(asked) > 4:  # there are three parts
            raise TimeoutError

    with finding(engine, mixture, monkeypatch, lambda *_: stop()):
        monkeypatch.setattr(engine.engine, "_check", end)
        with pytest.raises(TimeoutError):
            engine.expectation(mixture)


@contextlib.contextmanager
def held_up(engine, mixture, monkeypatch, hold):
    """Let each worker take a block and call `hold`; yield a flag that the first one sets."""
    holds, sum_block = Flag(), engine.attached.sums.sum_block

    def hold_one(i):
        holds.set()
        hold()

    def sum_after_that(i):
        holds.wait()
        return sum_block(i)

    monkeypatch.setattr(engine.attached.sums, "sum_block", hold_one)
    engine.attached.crew_for(mixture)
    monkeypatch.setattr(engine.attached.sums, "sum_block", sum_after_that)
    killer = threading.Timer(PATIENCE_S, lambda: kill(pids_of(engine)))
    killer.start()
    yield holds
    killer.cancel()


def fail():
    raise ValueError


def test_a_worker_that_fails_is_not_taken_for_one_without_memory(engine, mixture, monkeypatch):
    """An exception in a worker is reported as a failure of the program."""
    with (
        held_up(engine, mixture, monkeypatch, fail),
        pytest.raises(RuntimeError, match="failed"),
    ):
        engine.expectation(mixture)


def test_a_worker_that_is_killed_in_a_pass_is_reported(engine, mixture, monkeypatch):
    """Also while it holds a block."""
    with held_up(engine, mixture, monkeypatch, lambda: time.sleep(PATIENCE_S)) as holds:
        pids = pids_of(engine)
        killer = threading.Thread(target=lambda: (holds.wait(), kill(pids)))
        killer.start()

        with pytest.raises(OutOfMemory, match="was killed, probably because memory ran out"):
            engine.expectation(mixture)

        killer.join()


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_is_stopped_does_not_keep_a_run_from_ending(engine, mixture, monkeypatch):
    """The parent waits for its block; the check before each wait may end the run."""
    asked = []

    def end():
        asked.append(None)
        if len(asked) > 6:  # there are not so many blocks
            raise TimeoutError

    with held_up(engine, mixture, monkeypatch, stop):
        monkeypatch.setattr(engine.engine, "_check", end)
        with pytest.raises(TimeoutError):
            engine.expectation(mixture)


def test_a_worker_that_was_stopped_does_not_keep_the_next_pass_from_ending(mixture):
    """After some hundred passes, unread messages fill the socket to it."""
    X = random_rows(np.random.default_rng(2), mixture, 300)
    with OneTable([[X]], 2) as engine:
        engine.expectation(mixture)
        (worker,) = pids_of(engine)
        os.kill(worker, signal.SIGSTOP)
        killer = threading.Timer(PATIENCE_S, kill, [[worker]])
        killer.start()
        asked = []

        def end():
            asked.append(time.monotonic())
            if len(asked) > 2 and asked[-1] - asked[-2] > 0.9 * crew.WAIT_MS / 1000:
                raise TimeoutError

        engine.engine._check = end
        with pytest.raises(TimeoutError):
            for _ in range(5000):
                engine.expectation(mixture)
        killer.cancel()


@pytest.mark.parametrize("n_components", [1, 9])
def test_a_worker_that_is_late_takes_no_part_in_a_pass_that_is_over(mixture, n_components):
    """Its mixture was overwritten meanwhile, by one of another size."""
    X = random_rows(np.random.default_rng(2), mixture, 50_000)
    other = random_mixture(np.random.default_rng(4), "full", n_components, 4)
    with OneTable([[X]], 1) as alone, OneTable([[X]], 2) as engine:
        expected = [alone.expectation(m).statistics.squares.tobytes() for m in (other, mixture)]
        engine.expectation(random_mixture(np.random.default_rng(5), "full", 9, 4))
        (worker,) = pids_of(engine)
        for _ in range(5):
            os.kill(worker, signal.SIGSTOP)
            first = engine.expectation(other).statistics.squares.tobytes()
            second = engine.expectation(mixture).statistics.squares.tobytes()
            os.kill(worker, signal.SIGCONT)
            assert [first, second] == expected
        assert pids_of(engine) == [worker]


SCRIPT = """
import numpy as np
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.engine import blas, local
from gmmcli.engine.in_memory import InMemoryTable
from gmmcli.engine.processes.counter import Counter
local.INLINE_NS = 0.0
table = InMemoryTable([[Rows(np.random.default_rng(1).normal(size=(4, 100_000)))]])
engine = local.LocalEngine(3)
mixture = Mixture(np.full(2, 0.5), np.zeros((2, 4)), np.ones((2, 4)), "diag")
with blas.one_blas_thread(), engine.attached(table):
    engine.expectation(table, mixture)
    print(*[worker.pid for worker in engine._attached[table]._crew._workers.values()], flush=True)
    while True:
        engine.expectation(table, mixture)
"""


def test_workers_end_when_the_parent_is_killed(tmp_path):
    """Even if it is killed with -9."""
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: all(is_gone(pid) for pid in pids))
