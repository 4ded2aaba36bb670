"""Numbers that several processes take, each of them once."""

import os
import weakref

# Numbers of one pass.
_PER_PASS = 2**32


class Counter:
    """The numbers of a pass: the offset of a file without content, which processes forked later share.

    One call of the system tells the offset and moves it: there is nothing that a process which is stopped or
    killed could keep from the others.

    Attributes
    ----------
    descriptor : int
        Of the file.

    Raises
    ------
    OSError
        The system gives no file.
    """

    def __init__(self) -> None:
        # Opened by a path, as memfd is not: only then Linux moves the offset for one process at a time.
        self.descriptor = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)  # noqa: S108
        weakref.finalize(self, os.close, self.descriptor)
        self._kept: int | None = None

    def start(self, of_pass: int) -> None:
        """Let the numbers of a pass be taken, from 0 on, and those of earlier passes no more."""
        os.lseek(self.descriptor, of_pass * _PER_PASS, os.SEEK_SET)

    def is_at(self, of_pass: int) -> bool:
        """Tell whether no pass has been started after this one."""
        return os.lseek(self.descriptor, 0, os.SEEK_CUR) // _PER_PASS == of_pass

    def take(self, of_pass: int, end: int) -> int | None:
        """Return the next number of a pass; None where all below `end` are taken, or it is over.

        A process that is late may take a number of a later pass; it keeps it until it asks for one of those.
        """
        if self._kept is None or self._kept < of_pass * _PER_PASS:
            self._kept = os.lseek(self.descriptor, 1, os.SEEK_CUR) - 1
        its_pass, number = divmod(self._kept, _PER_PASS)
        if its_pass != of_pass:
            return None
        self._kept = None
        return number if number < end else None
