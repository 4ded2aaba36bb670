"""Tests' view of processes from outside, and waiting for them."""

import os
import signal
import time
from pathlib import Path

from gmmcli.engine.processes.memory import shared_array

PATIENCE_S = 120.0


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
        """Set the flag for all processes."""
        self._memory[0] = 1.0

    def wait(self):
        """Wait until the flag is set."""
        wait_until(lambda: self._memory[0])


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go between open and read
        return True


def files_of(pid):
    return list(Path(f"/proc/{pid}/fd").iterdir())


def pids_of(engine):
    """Return the ids of the workers, once they have closed the parent's descriptors."""
    pids = [worker.pid for worker in engine.attached._crew._workers.values()]
    wait_until(lambda: all(is_gone(pid) or len(files_of(pid)) == 5 for pid in pids))
    return pids


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
