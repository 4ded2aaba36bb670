"""Numbers that several processes take, each of them once."""

import contextlib
import fcntl
import os
import weakref
from collections.abc import Iterator

from gmmcli.engine.sweep import shared_array


class Counter:
    """Counts in memory that is shared with processes forked later.

    The lock is one of the system's, which takes it from a process that is killed.

    Attributes
    ----------
    descriptor : int
        Of the file that is locked.

    Raises
    ------
    OSError
        The system gives no memory.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("gmmcli")
        weakref.finalize(self, os.close, self.descriptor)
        self._values = shared_array(3)

    def start(self, of_pass: int, end: int) -> None:
        """Let the numbers below `end` be taken in a pass, and no more in any other."""
        with self._locked():
            self._values[:] = of_pass, 0, end

    def take(self, of_pass: int) -> int | None:
        """Return the next number of a pass; None where none is left."""
        with self._locked():
            current, number, end = map(int, self._values)
            if current != of_pass or number >= end:
                return None
            self._values[1] = number + 1
        return number

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes away."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
