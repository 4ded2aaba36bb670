"""Memory that a process shares with those forked from it."""

import mmap
import weakref

import numpy as np

from gmmcli.core.mixture import Array


def shared_array(size: int) -> Array:
    """Return an array of zeros that processes forked later write to as well.

    Raises
    ------
    OSError
        The system gives no memory.
    """
    return _array(_shared_memory(size), size)


class SharedArrays:
    """A few shared arrays of one size: filled, lent, and filled again when nobody holds them any more.

    What is filled anew in memory of its own has to be found by the system page by page, each time: for an
    array of a number per row that takes as long as a tenth of a pass.

    Parameters
    ----------
    size : int
        Numbers in each.
    count : int
        One of them is never lent: where the others are, its content is copied.

    Notes
    -----
    The system is asked for each when it is first filled, or for all by `share`: a few rows need but one.
    """

    def __init__(self, size: int, count: int) -> None:
        self._size = size
        self._memory: list[mmap.mmap | None] = [None] * count
        self._borrowers: list[weakref.ref[Array] | None] = [None] * count

    def share(self) -> None:
        """Make all of them ready to be seen by processes that are forked after this.

        Raises
        ------
        OSError
            The system gives no memory. What is never filled takes none.
        """
        for i in range(len(self._memory)):
            self.at(i)

    def find_free(self) -> int:
        """Return which array may be filled next."""
        for i, borrower in enumerate(self._borrowers[1:], start=1):
            if borrower is None or borrower() is None:
                return i
        return 0

    def at(self, i: int) -> Array:
        """Return an array to be filled.

        Raises
        ------
        OSError
            The system gives no memory.
        """
        memory = self._memory[i]
        if memory is None:
            memory = self._memory[i] = _shared_memory(self._size)
        return _array(memory, self._size)

    def lend(self, i: int) -> Array:
        """Return the content of an array, read-only; it stays as it is while anybody holds a part of it."""
        if not i:
            return self.at(0).copy()
        # Memory that is no array stays the base of every view, so that none outlives what is lent.
        lent = self.at(i)
        lent.setflags(write=False)
        self._borrowers[i] = weakref.ref(lent)
        return lent


def _shared_memory(size: int) -> mmap.mmap:
    """Return memory for some numbers."""
    return mmap.mmap(-1, 8 * max(size, 1))


def _array(memory: mmap.mmap, size: int) -> Array:
    """Return memory as an array."""
    return np.frombuffer(memory, dtype=np.float64, count=size)
