"""Signals that end the program. Before a job starts they kill it; a job first completes a write.

The process dies by the signal itself, so that the shell and make see it, and prints nothing.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from gmmcli import interrupt
from gmmcli.errors import Stopped

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def catch() -> None:
    """Pass signals to the job, except signals that the parent ignores (nohup)."""
    sys.unraisablehook = _report_unraisable
    _install(interrupt.request)


def release() -> None:
    """Let signals kill the process again.

    Raises
    ------
    Stopped
        A signal came, and a library caught the exception.
    """
    _install(signal.SIG_DFL)
    interrupt.recall()


def die_by(signum: int) -> NoReturn:
    """End the process by the signal."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    os._exit(128 + signum)


def _report_unraisable(unraisable: "UnraisableHookArgs") -> None:
    """Report what a finaliser raises, except `Stopped`, which `release` raises again."""
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)


def _install(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Set the handler of every signal that ends the program."""
    for signum in ENDING:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, handler)
