"""Numbers that several processes take, each of them once."""

import contextlib
import fcntl
import os
import weakref
from collections.abc import Iterator

from gmmcli.engine.memory import shared_array


class Counter:
    """The numbers of a pass, in memory that is shared with processes forked later.

    The lock is one of the system's, which takes it from a process that is killed. It belongs to the whole of
    a process, and does not nest.

    Attributes
    ----------
    descriptor : int
        Of the file that is locked.

    Raises
    ------
    OSError
        The system gives no memory, or no file to lock.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("gmmcli")
        weakref.finalize(self, os.close, self.descriptor)
        self._values = shared_array(3)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes away."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def start(self, of_pass: int, end: int) -> None:
        """Let the numbers below `end` be taken in a pass, and none in any other; the caller has locked."""
        self._values[:] = of_pass, 0, end

    def is_at(self, of_pass: int) -> bool:
        """Tell whether a pass is the last one that was started; the caller has locked."""
        return bool(self._values[0] == of_pass)

    def take(self, of_pass: int) -> int | None:
        """Return the next number of a pass; None where none is left."""
        with self.locked():
            _, number, end = map(int, self._values)
            if not self.is_at(of_pass) or number >= end:
                return None
            self._values[1] = number + 1
        return number
