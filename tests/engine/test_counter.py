"""Processes take each number of a pass once, and no number of a pass that is over."""

import multiprocessing
import os

import numpy as np

from gmmcli.engine.processes.counter import Counter


def take_all(counter, of_pass, end, writer):
    """Take numbers until none is left, and write them to a pipe; run in a child."""
    try:
        with os.fdopen(writer, "wb") as file:
            file.write(np.array([*iter(lambda: counter.take(of_pass, end), None)]).tobytes())
    finally:
        os._exit(0)


def test_processes_take_every_number_once():
    """Several processes take numbers at a time, none beyond the end."""
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
    """No number is lost, and none counts for a pass that is over."""
    late, others = Counter(), Counter()
    os.dup2(others.descriptor, late.descriptor)  # as after a fork
    others.start(1)
    assert others.take(1, 5) == 0

    others.start(3)

    assert [late.take(of_pass, 5) for of_pass in (1, 2)] == [None, None]
    assert [others.take(3, 5), late.take(3, 5), late.take(3, 5), others.take(3, 5)] == [1, 0, 2, 3]
    assert [late.take(3, 5), others.take(3, 5)] == [4, None]
