"""Worker processes: they leave nothing behind, keep nothing of the parent's, and are missed when they end."""

import contextlib
import dataclasses
import fcntl
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.engine import crew as crew_module
from gmmcli.engine import local, preparation, process
from gmmcli.engine.counter import Counter
from gmmcli.engine.local import LocalEngine, one_blas_thread
from gmmcli.engine.memory import shared_array
from gmmcli.errors import CovarianceNotPositive, OutOfMemory

pytestmark = pytest.mark.skipif(not process.can_fork(), reason="no workers without fork")
PATIENCE_S = 20.0


@pytest.fixture(autouse=True, params=["constants found by each", "constants found by all"])
def every_pass_is_handed_out(monkeypatch, request):
    monkeypatch.setattr(local, "INLINE_NS", 0.0)
    if request.param == "constants found by all":
        monkeypatch.setattr(preparation, "LEAST_WORK", 0.0)
    with one_blas_thread():
        yield


@pytest.fixture
def mixture():
    return random_mixture(np.random.default_rng(1), "full", 3, 4)


@pytest.fixture
def engine(mixture):
    X = random_rows(np.random.default_rng(2), mixture, 100_000)
    with LocalEngine([[X[:, :65_536], X[:, 65_536:]]], 3) as engine:
        yield engine


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Flag:
    """What one process sets and others wait for, none of which can hold up the rest when it is killed."""

    def __init__(self):
        self._memory = shared_array(1)

    def set(self):
        """Let all see it from now on."""
        self._memory[0] = 1.0

    def wait(self):
        """Return when it is seen."""
        wait_until(lambda: self._memory[0])


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def files_of(pid):
    return list(Path(f"/proc/{pid}/fd").iterdir())


def pids_of(engine):
    """Return the workers, once they have let go of what is the parent's."""
    pids = [worker.pid for worker in engine._crew._workers.values()]
    wait_until(lambda: all(is_gone(pid) or len(files_of(pid)) == 5 for pid in pids))
    return pids


def test_workers_stay_between_passes_and_end_with_the_engine(engine, mixture):
    """The second pass is made by the processes of the first; closing ends them."""
    engine.expectation(mixture)
    first = pids_of(engine)
    engine.expectation(mixture, hard=True)

    assert pids_of(engine) == first
    engine.close()
    wait_until(lambda: all(is_gone(pid) for pid in first))


def test_workers_that_have_ended_are_reaped_when_the_next_ones_are_made(engine, mixture):
    """The end of a process is not waited for; sooner or later the system may forget it."""
    engine.expectation(mixture)
    first = pids_of(engine)
    engine.close()
    wait_until(lambda: all(is_gone(pid) for pid in first))

    engine.expectation(mixture)

    assert not any(Path(f"/proc/{pid}").exists() for pid in first)


def test_an_engine_that_is_forgotten_takes_its_workers_along(mixture):
    """Without a call of close: when the object goes, they go."""
    X = random_rows(np.random.default_rng(2), mixture, 50_000)
    engine = LocalEngine([[X]], 2)
    engine.expectation(mixture)
    pids = pids_of(engine)

    del engine

    wait_until(lambda: all(is_gone(pid) for pid in pids))


def test_a_mixture_with_more_components_gets_new_workers_with_room_for_its_sums(engine, mixture):
    """What a block's sums need is set aside before the fork."""
    engine.expectation(mixture)
    before = pids_of(engine)
    larger = random_mixture(np.random.default_rng(3), "full", 9, 4)

    found = engine.expectation(larger)

    assert pids_of(engine) != before
    assert found.statistics.counts.sum() == pytest.approx(100_000, rel=1e-12)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_workers_leave_signals_to_the_parent(engine, mixture, signum):
    """Ctrl-C reaches the whole group of processes; the parent alone decides what it means."""
    expected = engine.expectation(mixture).statistics
    for pid in pids_of(engine):
        os.kill(pid, signum)

    found = engine.expectation(mixture).statistics

    assert found.squares.tobytes() == expected.squares.tobytes()


@pytest.mark.parametrize("children", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_worker_that_is_killed_is_reported_and_the_next_pass_has_new_ones(
    engine, mixture, children, request
):
    """Nothing hangs; the message says what may be done. A caller that ignores its children is no trouble."""
    request.addfinalizer(functools.partial(signal.signal, signal.SIGCHLD, signal.getsignal(signal.SIGCHLD)))
    signal.signal(signal.SIGCHLD, children)
    expected = engine.expectation(mixture).statistics
    killed = pids_of(engine)[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: is_gone(killed))

    with pytest.raises(OutOfMemory, match="was ended") as caught:
        engine.expectation(mixture)

    assert caught.value.hint == "--threads 1"
    assert engine.expectation(mixture).statistics.squares.tobytes() == expected.squares.tobytes()


def test_a_system_without_processes_to_give_is_served_by_this_one(engine, mixture, monkeypatch):
    """Where fork fails the pass is made all the same, to the same bytes."""
    expected = engine.expectation(mixture).statistics
    engine.close()

    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)

    assert engine.expectation(mixture).statistics.squares.tobytes() == expected.squares.tobytes()


def test_a_signal_that_arrives_during_the_fork_leaves_no_worker_behind(engine, mixture, monkeypatch):
    """Ctrl-C in a program that goes on after it."""
    pids, fork = [], process.fork

    def fork_and_interrupt():
        pids.append(fork())
        if pids[-1]:
            os.kill(os.getpid(), signal.SIGINT)
        return pids[-1]

    monkeypatch.setattr(process, "fork", fork_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.expectation(mixture)

    assert len(pids) == 1
    wait_until(lambda: is_gone(pids[0]))


def test_workers_hold_none_of_the_parents_locks_and_files(engine, mixture, tmp_path):
    """A lock taken before the fork is free as soon as the parent lets go of it."""
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        engine.expectation(mixture)
        open_files = [files_of(pid) for pid in pids_of(engine)]

    with (tmp_path / "lock").open("w") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert all(len(files) == 5 for files in open_files)  # standard streams, the socket, the counter's file


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_covariance_that_is_none_leaves_the_workers_where_they_are(engine, mixture, k):
    """Whoever finds it, the parent names it, and all wait for the next mixture."""
    expected = engine.expectation(mixture).statistics
    before = pids_of(engine)
    covariances = mixture.covariances.copy()
    covariances[k] = 0.0

    for _ in range(3):
        with pytest.raises(CovarianceNotPositive) as caught:
            engine.expectation(dataclasses.replace(mixture, covariances=covariances))
        assert caught.value.component == k
        assert engine.expectation(mixture).statistics.squares.tobytes() == expected.squares.tobytes()

    assert pids_of(engine) == before


def test_a_parent_that_is_slow_is_waited_for(engine, mixture, monkeypatch):
    """Workers that are ahead by as many sums as there is room for lose none of them."""
    expected = engine.expectation(mixture).statistics
    sum_block = engine._sweep.sum_block

    def sum_slowly(i):
        time.sleep(0.02)
        return sum_block(i)

    monkeypatch.setattr(engine._sweep, "sum_block", sum_slowly)  # the workers have been forked before

    for _ in range(3):
        assert engine.expectation(mixture).statistics.squares.tobytes() == expected.squares.tobytes()


@contextlib.contextmanager
def finding(engine, mixture, monkeypatch, find):
    """Lend workers one of whom takes a part of the constants before the parent, and what it does with it."""
    monkeypatch.setattr(preparation, "LEAST_WORK", 0.0)
    took, find_part = Flag(), preparation.find_part

    def take(*arguments):
        took.set()
        return find(find_part, *arguments)

    def find_after_that(*arguments):
        took.wait()
        return find_part(*arguments)

    monkeypatch.setattr(preparation, "find_part", take)
    engine._crew_for(mixture)
    monkeypatch.setattr(preparation, "find_part", find_after_that)
    killer = threading.Timer(PATIENCE_S, lambda: kill(pids_of(engine)))
    killer.start()
    yield
    killer.cancel()


def test_constants_that_a_worker_has_found_are_those_that_the_parent_would_have(mixture, monkeypatch):
    """The parent waits for a part that is taken."""
    X = random_rows(np.random.default_rng(2), mixture, 50_000)
    with LocalEngine([[X]], 1) as alone, LocalEngine([[X]], 2) as engine:
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
    """As one that sums a block; the next pass has new ones."""
    with finding(engine, mixture, monkeypatch, do), pytest.raises(error):
        engine.expectation(mixture)

    monkeypatch.undo()
    assert engine.expectation(mixture).statistics.rows == 100_000


def test_a_worker_that_is_stopped_while_it_finds_constants_does_not_keep_a_run_from_ending(
    engine, mixture, monkeypatch
):
    """What is asked before each wait may end the run."""
    asked = []

    def end():
        asked.append(None)
        if len(asked) > 4:  # there are three parts
            raise TimeoutError

    with finding(engine, mixture, monkeypatch, lambda *_: stop()):
        monkeypatch.setattr(engine, "_check", end)
        with pytest.raises(TimeoutError):
            engine.expectation(mixture)


def test_wide_mixtures_give_the_same_bytes_for_any_number_of_processes():
    """Their constants are found in as many parts as there are processes."""
    mixture = random_mixture(np.random.default_rng(1), "full", 9, 110)
    X = random_rows(np.random.default_rng(2), mixture, 3_000)
    assert preparation.is_worth_sharing(mixture)

    found = set()
    for n_processes in (1, 2, 3, 10):
        with LocalEngine([[X]], n_processes) as engine:
            passes = [engine.expectation(mixture).statistics for _ in range(2)]
            found |= {(one.squares.tobytes(), one.log_likelihood) for one in passes}

    assert len(found) == 1


def test_workers_may_run_wherever_the_parent_may(engine, mixture):
    """They are sent to another processor at first, and not bound to it."""
    engine.expectation(mixture)

    assert {frozenset(os.sched_getaffinity(pid)) for pid in pids_of(engine)} == {
        frozenset(os.sched_getaffinity(0))
    }


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one processor")
def test_workers_are_sent_to_another_processor_at_first(engine, mixture, monkeypatch):
    """Than the one that the parent runs on."""
    allowed, masks = os.sched_getaffinity(0), []
    monkeypatch.setattr(process, "processor", lambda: min(allowed))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, mask: masks.append((pid, mask)))

    engine.expectation(mixture)

    assert masks == [(pid, mask) for pid in pids_of(engine) for mask in (allowed - {min(allowed)}, allowed)]


def test_the_processor_is_one_of_those_that_may_be_used():
    assert process.processor() in os.sched_getaffinity(0)


def take_all(counter, of_pass, end, writer):
    """Be a process that takes what it can, and says what."""
    try:
        with os.fdopen(writer, "wb") as file:
            file.write(np.array([*iter(lambda: counter.take(of_pass, end), None)]).tobytes())
    finally:
        os._exit(0)


def test_processes_take_every_number_once():
    """Several at a time, and none beyond the end."""
    counter, n_processes, end = Counter(), 4, 500_000
    pipes, pids = [os.pipe() for _ in range(n_processes)], []
    begin = multiprocessing.get_context("fork").Event()
    for _, writer in pipes:
        pids.append(os.fork())
        if pids[-1] == 0:
            begin.wait()
            take_all(counter, 7, end, writer)
        os.close(writer)
    counter.start(7)
    begin.set()

    found = []
    for reader, _ in pipes:
        with os.fdopen(reader, "rb") as file:
            found.append(np.frombuffer(file.read(), dtype=np.int64))

    for pid in pids:
        os.waitpid(pid, 0)
    assert np.sort(np.concatenate(found)).tolist() == list(range(end))
    assert counter.take(7, end) is None


def test_a_process_that_is_late_keeps_a_number_of_a_later_pass_until_it_is_there():
    """None is lost, and none is taken for one of a pass that is over."""
    late, others = Counter(), Counter()
    os.dup2(others.descriptor, late.descriptor)  # as after a fork
    others.start(1)
    assert others.take(1, 5) == 0

    others.start(3)

    assert [late.take(of_pass, 5) for of_pass in (1, 2)] == [None, None]
    assert [others.take(3, 5), late.take(3, 5), late.take(3, 5), others.take(3, 5)] == [1, 0, 2, 3]
    assert [late.take(3, 5), others.take(3, 5)] == [4, None]


@pytest.mark.parametrize("n_components", [1, 9])
def test_a_worker_that_is_late_takes_no_part_in_a_pass_that_is_over(mixture, n_components):
    """Its mixture has been overwritten meanwhile, by one of another size."""
    X = random_rows(np.random.default_rng(2), mixture, 50_000)
    other = random_mixture(np.random.default_rng(4), "full", n_components, 4)
    with LocalEngine([[X]], 1) as alone, LocalEngine([[X]], 2) as engine:
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


@contextlib.contextmanager
def held_up(engine, mixture, monkeypatch, hold):
    """Lend workers that hold a block each, what to do then, and a flag that tells of the first."""
    holds, sum_block = Flag(), engine._sweep.sum_block

    def hold_one(i):
        holds.set()
        hold()

    def sum_after_that(i):
        holds.wait()
        return sum_block(i)

    monkeypatch.setattr(engine._sweep, "sum_block", hold_one)
    engine._crew_for(mixture)
    monkeypatch.setattr(engine._sweep, "sum_block", sum_after_that)
    killer = threading.Timer(PATIENCE_S, lambda: kill(pids_of(engine)))
    killer.start()
    yield holds
    killer.cancel()


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_a_process_that_the_user_forks_does_not_end_the_workers(engine, mixture):
    """Its own end closes what it has a copy of."""
    engine.expectation(mixture)
    child = os.fork()
    if child == 0:
        engine.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert not any(is_gone(pid) for pid in pids_of(engine))
    engine.expectation(mixture)


def fail():
    raise ValueError


def test_a_worker_that_fails_is_not_taken_for_one_without_memory(engine, mixture, monkeypatch):
    """An error in its own code is a bug, and said to be one."""
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

        with pytest.raises(OutOfMemory, match="was ended"):
            engine.expectation(mixture)

        killer.join()


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_is_stopped_does_not_keep_a_run_from_ending(engine, mixture, monkeypatch):
    """It holds a block for which the parent waits; what that is asked before each wait may end the run."""
    asked = []

    def end():
        asked.append(None)
        if len(asked) > 6:  # there are not so many blocks
            raise TimeoutError

    with held_up(engine, mixture, monkeypatch, stop):
        monkeypatch.setattr(engine, "_check", end)
        with pytest.raises(TimeoutError):
            engine.expectation(mixture)


def test_a_worker_that_was_stopped_does_not_keep_the_next_pass_from_ending(mixture):
    """What it was told and has not read fills the way to it, after some hundred passes."""
    X = random_rows(np.random.default_rng(2), mixture, 300)
    with LocalEngine([[X]], 2) as engine:
        engine.expectation(mixture)
        (worker,) = pids_of(engine)
        os.kill(worker, signal.SIGSTOP)
        killer = threading.Timer(PATIENCE_S, kill, [[worker]])
        killer.start()
        asked = []

        def end():
            asked.append(time.monotonic())
            if len(asked) > 2 and asked[-1] - asked[-2] > 0.9 * crew_module.WAIT_MS / 1000:
                raise TimeoutError

        engine._check = end
        with pytest.raises(TimeoutError):
            for _ in range(5000):
                engine.expectation(mixture)
        killer.cancel()


SCRIPT = """
import numpy as np
from gmmcli.core.mixture import Mixture
from gmmcli.engine import local
from gmmcli.engine.counter import Counter
local.INLINE_NS = 0.0
X = np.random.default_rng(1).normal(size=(4, 100_000))
engine = local.LocalEngine([[X]], 3)
mixture = Mixture(np.full(2, 0.5), np.zeros((2, 4)), np.ones((2, 4)), "diag")
with local.one_blas_thread():
    engine.expectation(mixture)
    print(*[worker.pid for worker in engine._crew._workers.values()], flush=True)
    while True:
        engine.expectation(mixture)
"""


def test_workers_end_when_the_parent_is_killed(tmp_path):
    """A parent that is killed with -9 leaves no process behind."""
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: all(is_gone(pid) for pid in pids))
