"""System calls to fork, place, prepare and end worker processes."""

import contextlib
import os
import signal
import sys
import warnings
from pathlib import Path

# Signals that end a run. Only the parent handles them.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Whether a process with threads may be forked. The system libraries of macOS forbid it.
CAN_FORK = sys.platform.startswith("linux")
_killed: set[int] = set()


def fork() -> int:
    """Fork this process."""
    with warnings.catch_warnings():
        # Python warns of threads that the child does not have. The child uses numpy alone and needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def processor() -> int | None:
    """Return the processor that this thread runs on; None if the system does not report it."""
    with contextlib.suppress(OSError), open("/proc/thread-self/stat") as file:
        # Field 39 of proc(5). Field 2, a name in parentheses, may contain any characters.
        return int(file.read().rpartition(")")[2].split()[36])
    return None


def send_away(pid: int, here: int | None) -> None:
    """Move a process to a processor other than `here`, then allow it all processors again.

    Linux often lets a new process wait some milliseconds for the processor of its parent, although another
    processor is idle.
    """
    with contextlib.suppress(OSError):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(pid, allowed - {here} or allowed)
        os.sched_setaffinity(pid, allowed)


def keep_only(*kept: int) -> None:
    """Ignore the signals that end a run, and close all descriptors except `kept`: files, locks, terminal."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in {0, 1, 2} - set(kept):  # if the parent had these closed, a kept descriptor may be one
        os.dup2(null, standard)
    if null > 2:
        os.close(null)
    # Listed, not tried one by one: the limit may be a million.
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in kept:
            with contextlib.suppress(OSError):  # the descriptor of the listing is closed already
                os.close(descriptor)


def kill(pid: int) -> None:
    """Kill a process without waiting for its end; a later `reap` collects its status."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _killed.add(pid)


def reap() -> None:
    """Collect the status of the killed processes that have ended."""
    for pid in list(_killed):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _killed.discard(pid)
