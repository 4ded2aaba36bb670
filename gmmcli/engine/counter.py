"""Numbers that several processes take, each of them once."""

import os
import weakref

# Numbers of one pass.
_PER_PASS = 2**32


class Counter:
    """The numbers of a pass: the offset of a file without content, which processes forked later share.

    One call of the system tells the offset and moves it. No process ever waits for another, whichever is
    stopped or killed.

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
        created = os.memfd_create("gmmcli")
        try:
            # Opened by a path as any file is: only then Linux moves its offset for one process at a time.
            self.descriptor = os.open(f"/proc/self/fd/{created}", os.O_RDWR | os.O_CLOEXEC)
        finally:
            os.close(created)
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

        A process that is late takes a number of that later pass: it keeps it until it asks for one of those.
        """
        if self._kept is None or self._kept < of_pass * _PER_PASS:
            self._kept = os.lseek(self.descriptor, 1, os.SEEK_CUR) - 1
        its_pass, number = divmod(self._kept, _PER_PASS)
        if its_pass != of_pass:
            return None
        self._kept = None
        return number if number < end else None
