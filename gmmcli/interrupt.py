"""Decides when a signal ends a job: at once, except in a `hold` block, which must not be left half done.

The command line installs `request` as its signal handler, and jobs commit in a `hold` block. A process has
one set of signals, hence one state.
"""

import contextlib
from collections.abc import Iterator
from types import FrameType

from gmmcli.errors import Stopped

_held = 0
_pending: int | None = None
_raised: int | None = None


def request(signum: int, _frame: FrameType | None = None) -> None:
    """Raise `Stopped` now, or at the end of the `hold` block. Further signals have no effect."""
    global _pending, _raised
    if _raised is not None or _pending is not None:
        return
    if _held:
        _pending = signum
    else:
        _raised = signum
        raise Stopped(signum)


def recall() -> None:
    """Raise `Stopped` again if `request` has raised it.

    The interpreter swallows an exception that is raised in a finaliser, or in a function called at a fork.
    """
    if _raised is not None:
        raise Stopped(_raised)


@contextlib.contextmanager
def hold() -> Iterator[None]:
    """Delay the effect of a signal to the end of the block."""
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
