"""Memory that a process shares with those forked from it."""

import mmap

import numpy as np

from gmmcli.core.mixture import Array


def shared_array(size: int) -> Array:
    """Return an array of zeros that processes forked later write to as well.

    Raises
    ------
    OSError
        The system gives no memory.
    """
    return np.frombuffer(mmap.mmap(-1, 8 * max(size, 1)), dtype=np.float64, count=size)
