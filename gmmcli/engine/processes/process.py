"""What a process that is forked to work for this one, and never returns, needs of the system."""

import contextlib
import os
import signal
import sys
import warnings
from pathlib import Path

# What a user or a system ends a run by. The parent alone decides what they mean.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_killed: set[int] = set()


def can_fork() -> bool:
    """Tell whether a process of many threads may be forked: on macOS the system's libraries forbid it."""
    return sys.platform.startswith("linux")


def fork() -> int:
    """Fork this process."""
    with warnings.catch_warnings():
        # That threads of other libraries are not in the child is as it should be: it uses numpy alone.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def processor() -> int | None:
    """Return the processor that this thread runs on; None where the system does not say."""
    with contextlib.suppress(OSError), open("/proc/thread-self/stat") as file:
        # Field 39 of proc(5); the second one, a name, may hold anything.
        return int(file.read().rpartition(")")[2].split()[36])
    return None


def send_away(pid: int, here: int | None) -> None:
    """Move a process to another processor than this one's; where it runs after that is the system's choice.

    Linux often leaves a new process waiting for the processor of its parent for some milliseconds, although
    another one is idle.
    """
    with contextlib.suppress(OSError):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(pid, allowed - {here} or allowed)
        os.sched_setaffinity(pid, allowed)


def keep_only(*kept: int) -> None:
    """Let go of what belongs to the parent: its files and locks, its terminal, its signals."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in {0, 1, 2} - set(kept):  # a parent without them may have these
        os.dup2(null, standard)
    if null > 2:
        os.close(null)
    # Their numbers may go to a million, and not every Python closes a range at once.
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in kept:
            with contextlib.suppress(OSError):  # that of the listing is closed already
                os.close(descriptor)


def kill(pid: int) -> None:
    """Kill a process. It is reaped when the next one is made or ended: its end takes a while."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _killed.add(pid)


def reap() -> None:
    """Let the system forget those of the killed processes that have ended."""
    for pid in list(_killed):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _killed.discard(pid)
