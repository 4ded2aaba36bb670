"""A counter from which several processes take numbers; each number is taken once."""

import os
import weakref

# The count of numbers that a pass may use.
_PER_PASS = 2**32


class Counter:
    """The numbers of a pass: the offset of an empty file, which processes forked later share.

    One system call reads the offset and moves it. There is no lock that a stopped or killed process could
    hold.

    Attributes
    ----------
    descriptor : int
        Of the file.

    Raises
    ------
    OSError
        The system refuses a file.
    """

    def __init__(self) -> None:
        # Opened by a path, unlike a memfd: only then does Linux move the offset atomically.
        self.descriptor = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)  # noqa: S108
        weakref.finalize(self, os.close, self.descriptor)
        self._kept: int | None = None

    def start(self, of_pass: int) -> None:
        """Start a pass: from now on its numbers can be taken, and those of earlier passes cannot."""
        os.lseek(self.descriptor, of_pass * _PER_PASS, os.SEEK_SET)

    def is_at(self, of_pass: int) -> bool:
        """Return whether this is the pass that was started last."""
        return os.lseek(self.descriptor, 0, os.SEEK_CUR) // _PER_PASS == of_pass

    def take(self, of_pass: int, end: int) -> int | None:
        """Return the next number of a pass; None if all below `end` are taken, or the pass is over.

        A late process may take a number of a later pass. It keeps the number until it takes part in it.
        """
        if self._kept is None or self._kept < of_pass * _PER_PASS:
            self._kept = os.lseek(self.descriptor, 1, os.SEEK_CUR) - 1
        its_pass, number = divmod(self._kept, _PER_PASS)
        if its_pass != of_pass:
            return None
        self._kept = None
        return number if number < end else None
