"""Worker processes leave nothing behind, and keep nothing of the parent's."""

import dataclasses
import fcntl
import itertools
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from engine.watching import files_of, is_gone, pids_of, wait_until
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.engine.processes import preparation, process
from gmmcli.engine.processes.crew import Crew
from gmmcli.errors import CovarianceNotPositive

pytestmark = [
    pytest.mark.skipif(not process.CAN_FORK, reason="no workers without fork"),
    pytest.mark.usefixtures("every_pass_is_handed_out"),
]


def test_workers_stay_between_passes_and_end_with_the_engine(engine, mixture):
    """The second pass is made by the processes of the first; closing ends them."""
    engine.expectation(mixture)
    first = pids_of(engine)
    engine.expectation(mixture, hard=True)

    assert pids_of(engine) == first
    engine.close()
    wait_until(lambda: all(is_gone(pid) for pid in first))


def test_workers_that_have_ended_are_reaped_when_the_next_ones_are_made(engine, mixture):
    """The parent does not wait for their end, but collects their status later."""
    engine.expectation(mixture)
    first = pids_of(engine)
    engine.close()
    wait_until(lambda: all(is_gone(pid) for pid in first))

    engine.expectation(mixture)

    assert not any(Path(f"/proc/{pid}").exists() for pid in first)


def test_an_engine_that_is_forgotten_takes_its_workers_along(mixture):
    """Without a call of close: they end when the object is freed."""
    X = random_rows(np.random.default_rng(2), mixture, 50_000)
    engine = OneTable([[X]], 2)
    engine.expectation(mixture)
    pids = pids_of(engine)

    del engine

    wait_until(lambda: all(is_gone(pid) for pid in pids))


def test_a_mixture_with_more_components_gets_new_workers_with_room_for_its_sums(engine, mixture):
    """The memory for sums is allocated before the fork."""
    engine.expectation(mixture)
    before = pids_of(engine)
    larger = random_mixture(np.random.default_rng(3), "full", 9, 4)

    found = engine.expectation(larger)

    assert pids_of(engine) != before
    assert found.statistics.counts.sum() == pytest.approx(100_000, rel=1e-12)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_workers_leave_signals_to_the_parent(engine, mixture, signum):
    """Ctrl-C reaches all processes of the group; only the parent handles it."""
    expected = engine.expectation(mixture).statistics
    for pid in pids_of(engine):
        os.kill(pid, signum)

    found = engine.expectation(mixture).statistics

    assert found.squares.tobytes() == expected.squares.tobytes()


def test_a_system_without_processes_to_give_is_served_by_this_one(engine, mixture, monkeypatch):
    """If fork fails, this process makes the pass, with the same bytes."""
    expected = engine.expectation(mixture).statistics
    engine.close()

    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)

    assert engine.expectation(mixture).statistics.squares.tobytes() == expected.squares.tobytes()


def interrupt_at(moment):
    """Raise at one moment where Python may call a signal handler while a worker is started."""
    parent, code, passed = os.getpid(), Crew._start.__code__, 0

    def look(frame, event, _):
        nonlocal passed
        if event == "c_call" or code not in (frame.f_code, frame.f_back and frame.f_back.f_code):
            return
        passed += os.getpid() == parent
        if passed == moment:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(look)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets that nobody had yet
def test_a_signal_at_any_moment_of_the_fork_leaves_no_worker_and_none_blocked(engine, mixture, monkeypatch):
    """Ctrl-C in a program that continues, while a thread lets in signals that this thread blocks."""
    before, pids, fork = signal.pthread_sigmask(signal.SIG_BLOCK, ()), [], os.fork

    def fork_and_note():
        pids.append(fork())
        return pids[-1]

    monkeypatch.setattr(os, "fork", fork_and_note)
    for moment in itertools.count(1):
        interrupt_at(moment)
        try:
            engine.expectation(mixture)
        except KeyboardInterrupt:
            continue
        else:
            break
        finally:
            sys.setprofile(None)
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
            engine.close()

    assert moment > 40
    wait_until(lambda: all(is_gone(pid) for pid in pids))


def test_workers_hold_none_of_the_parents_locks_and_files(engine, mixture, tmp_path):
    """A lock taken before the fork is free as soon as the parent releases it."""
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        engine.expectation(mixture)
        open_files = [files_of(pid) for pid in pids_of(engine)]

    with (tmp_path / "lock").open("w") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert all(len(files) == 5 for files in open_files)  # standard streams, the socket, the counter's file


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_covariance_that_is_none_leaves_the_workers_where_they_are(engine, mixture, k):
    """Any process may find it; the parent reports it, and all wait for the next mixture."""
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
    """Workers with all slots full lose no sums."""
    expected = engine.expectation(mixture).statistics
    sum_block = engine.attached.sums.sum_block

    def sum_slowly(i):
        time.sleep(0.02)
        return sum_block(i)

    monkeypatch.setattr(engine.attached.sums, "sum_block", sum_slowly)  # the workers have been forked before

    for _ in range(3):
        assert engine.expectation(mixture).statistics.squares.tobytes() == expected.squares.tobytes()


def test_wide_mixtures_give_the_same_bytes_for_any_number_of_processes():
    """Their constants are computed in as many parts as there are processes."""
    mixture = random_mixture(np.random.default_rng(1), "full", 9, 110)
    X = random_rows(np.random.default_rng(2), mixture, 3_000)
    assert preparation.is_worth_sharing(mixture)

    found = set()
    for n_processes in (1, 2, 3, 10):
        with OneTable([[X]], n_processes) as engine:
            passes = [engine.expectation(mixture).statistics for _ in range(2)]
            found |= {(one.squares.tobytes(), one.log_likelihood) for one in passes}

    assert len(found) == 1


def test_workers_may_run_wherever_the_parent_may(engine, mixture):
    """They start on another processor, but are not bound to it."""
    engine.expectation(mixture)

    assert {frozenset(os.sched_getaffinity(pid)) for pid in pids_of(engine)} == {
        frozenset(os.sched_getaffinity(0))
    }


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one processor")
def test_workers_are_sent_to_another_processor_at_first(engine, mixture, monkeypatch):
    """Not to the processor that the parent runs on."""
    allowed, masks = os.sched_getaffinity(0), []
    monkeypatch.setattr(process, "processor", lambda: min(allowed))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, mask: masks.append((pid, mask)))

    engine.expectation(mixture)

    assert masks == [(pid, mask) for pid in pids_of(engine) for mask in (allowed - {min(allowed)}, allowed)]


def test_the_processor_is_one_of_those_that_may_be_used():
    assert process.processor() in os.sched_getaffinity(0)


def test_a_process_that_the_user_forks_does_not_end_the_workers(engine, mixture):
    """Its end closes only its own copies of their sockets."""
    engine.expectation(mixture)
    child = os.fork()
    if child == 0:
        engine.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert not any(is_gone(pid) for pid in pids_of(engine))
    engine.expectation(mixture)
