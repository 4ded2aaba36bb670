"""Memory that a process shares with the processes forked from it."""

import mmap
import weakref

import numpy as np

from gmmcli.core.arrays import Array


def shared_array(size: int) -> Array:
    """Return an array of zeros that is shared with processes forked later.

    Raises
    ------
    OSError
        The system refuses memory.
    """
    memory = mmap.mmap(-1, 8 * max(size, 1))
    return np.frombuffer(memory, np.float64, size)


class SharedArrays:
    """A few shared arrays of one size. They are filled, lent, and filled again when they are no longer held.

    With a new array each time, the system would map its pages anew: for a number per row that takes a tenth
    of a pass.

    Parameters
    ----------
    size : int
        Numbers in each array.
    count : int
        Number of arrays. The first one is never lent: if the others all are, its content is copied.

    Notes
    -----
    Memory is allocated when an array is first filled, or for all arrays by `share`.
    """

    def __init__(self, size: int, count: int) -> None:
        self._size = size
        self._memory: list[mmap.mmap | None] = [None] * count
        self._borrowers: list[weakref.ref[Array] | None] = [None] * count

    def share(self) -> None:
        """Allocate all arrays, so that processes forked after this share them.

        Raises
        ------
        OSError
            The system refuses memory. An array that is never filled takes no physical memory.
        """
        for i in range(len(self._memory)):
            self.at(i)

    def find_free(self) -> int:
        """Return the number of an array that is not lent."""
        for i, borrower in enumerate(self._borrowers[1:], start=1):
            if borrower is None or borrower() is None:
                return i
        return 0

    def at(self, i: int) -> Array:
        """Return an array to be filled.

        Raises
        ------
        OSError
            The system refuses memory.
        """
        memory = self._memory[i]
        if memory is None:
            memory = self._memory[i] = mmap.mmap(-1, 8 * max(self._size, 1))
        return np.frombuffer(memory, np.float64, self._size)

    def lend(self, i: int) -> Array:
        """Return an array, read-only. It is not filled again while the result or a view of it exists."""
        if not i:
            return self.at(0).copy()
        # Views of views keep a reference to this array, because its own base is not an array.
        lent = self.at(i)
        lent.setflags(write=False)
        self._borrowers[i] = weakref.ref(lent)
        return lent
