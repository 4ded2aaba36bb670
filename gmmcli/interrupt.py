"""When a signal may end a job: at once, except while something half done would be left behind.

The command line installs `request` as its signal handler; jobs hold it off around a commit. One process
has one set of signals, hence one state.
"""

import contextlib
from collections.abc import Iterator
from types import FrameType

from gmmcli.errors import Stopped

_held = 0
_pending: int | None = None
_raised: int | None = None


def request(signum: int, _frame: FrameType | None = None) -> None:
    """Ask the job to end: raise `Stopped` now, or when the hold is over. Further signals change nothing."""
    global _pending, _raised
    if _raised is not None or _pending is not None:
        return
    if _held:
        _pending = signum
    else:
        _raised = signum
        raise Stopped(signum)


def recall() -> None:
    """Raise `Stopped` once more where a signal came and the job still goes on.

    The interpreter does not pass on what is raised in a finaliser, or in a function called at a fork.
    """
    if _raised is not None:
        raise Stopped(_raised)


@contextlib.contextmanager
def hold() -> Iterator[None]:
    """Let what is in the block finish before a signal is acted upon."""
    global _held, _pending, _raised
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if not _held and _pending is not None:
            signum, _pending = _pending, None
            _raised = signum
            raise Stopped(signum)
