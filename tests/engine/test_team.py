"""Threads that work through tasks in order, and how they end when something goes wrong."""

import os
import signal
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmcli.engine.threads import run_in_order

PATIENCE_S = 20.0


class Interruption(BaseException):
    """What a signal handler raises: not an Exception."""


class Counter:
    """Tasks under way, counted by the tasks themselves."""

    def __init__(self):
        self.lock = threading.Lock()
        self.started = self.under_way = 0

    def __enter__(self):
        with self.lock:
            self.started += 1
            self.under_way += 1

    def __exit__(self, *_):
        with self.lock:
            self.under_way -= 1


def nothing():
    return None


def forget(_):
    return None


@given(n_tasks=st.integers(0, 60), n_threads=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_results_are_folded_once_each_in_the_order_of_the_tasks(n_tasks, n_threads):
    """Whatever the number of tasks and threads."""
    folded = []

    run_in_order(n_tasks, nothing, lambda i, _: i * i, folded.append, n_threads)

    assert folded == [i * i for i in range(n_tasks)]


def test_the_order_holds_where_the_first_task_ends_last():
    """Task 0 waits until another one has been handed in; still it is folded first."""
    folded, second_done = [], threading.Event()

    def process(i, _):
        if i == 0:
            assert second_done.wait(PATIENCE_S)
        if i == 2:
            second_done.set()
        return i

    run_in_order(20, nothing, process, folded.append, 2)

    assert folded == list(range(20))


def test_no_thread_runs_far_ahead_of_the_slowest():
    """While task 0 is under way, at most four tasks per thread are taken: their results wait in memory."""
    taken, release = [], threading.Event()

    def process(i, _):
        taken.append(i)
        if len(taken) == 8:
            threading.Timer(0.05, release.set).start()  # time for a ninth, were it allowed
        if i == 0:
            assert release.wait(PATIENCE_S)
        if i == 8:
            assert release.is_set()

    run_in_order(50, nothing, process, forget, 2)

    assert len(taken) == 50


def test_every_thread_has_work_of_its_own():
    """What make_work returns is never shared between threads."""
    owners, both = {}, threading.Barrier(2, timeout=PATIENCE_S)

    def process(i, work):
        owners.setdefault(id(work), set()).add(threading.get_ident())
        if i < 2:
            both.wait()
        return work

    run_in_order(40, lambda: [None], process, forget, 2)

    assert len(owners) == 2
    assert all(len(threads) == 1 for threads in owners.values())


@pytest.mark.parametrize("kind", [ValueError, MemoryError, Interruption, KeyboardInterrupt])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("place", ["process", "fold", "make_work"])
def test_whatever_is_raised_in_a_thread_surfaces_when_all_have_ended(place, n_threads, kind):
    """In a task, a fold or the making of work; an Exception or not."""
    counter, folded = Counter(), []

    def make_work():
        if place == "make_work":
            raise kind

    def process(i, _):
        with counter:
            if place == "process" and i == 5:
                raise kind
        return i

    def fold(i):
        if place == "fold" and i == 5:
            raise kind
        folded.append(i)

    with pytest.raises(kind):
        run_in_order(1000, make_work, process, fold, n_threads)

    assert counter.under_way == 0
    assert folded == list(range(len(folded)))
    assert len(folded) <= 5


def test_an_error_waits_for_the_task_that_another_thread_has_in_hand():
    """Task 0 outlasts the thread that failed on task 1; it is finished, and no further one begins."""
    failing, finished, ready = [], [], threading.Event()

    def process(i, _):
        if i == 0:
            assert ready.wait(PATIENCE_S)
            failing[0].join(PATIENCE_S)
        if i == 1:
            failing.append(threading.current_thread())
            ready.set()
            raise ValueError("task 1")
        finished.append(i)

    with pytest.raises(ValueError, match="task 1"):
        run_in_order(1000, nothing, process, forget, 2)

    assert finished == [0]


@pytest.fixture
def interrupted_by_sigusr1():
    """Let SIGUSR1 raise in the main thread, as the command line lets SIGTERM."""

    def handler(*_):
        raise Interruption

    previous = signal.signal(signal.SIGUSR1, handler)
    yield
    signal.signal(signal.SIGUSR1, previous)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_signal_ends_the_team_and_no_task_goes_on_behind_it(interrupted_by_sigusr1, n_threads):
    """What the handler raises leaves after the tasks in hand, not after all thousand."""
    counter = Counter()

    def process(i, _):
        with counter:
            if i == 4:
                os.kill(os.getpid(), signal.SIGUSR1)
            threading.Event().wait(0.02)

    with pytest.raises(Interruption):
        run_in_order(1000, nothing, process, forget, n_threads)

    under_way, started = counter.under_way, counter.started
    threading.Event().wait(0.05)  # time for a thread that was left behind to take another task
    assert under_way == 0
    assert counter.started == started < 500
