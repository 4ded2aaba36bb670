"""Aligned memory in large pages for the arrays of a kernel."""

import contextlib
import math
import mmap
from collections.abc import Iterator

import numpy as np

from gmmcli.core.arrays import Array

# Bytes of a cache line and of a large page. On machines with other sizes these do no harm.
LINE, LARGE_PAGE = 64, 2**21


def adjoining(*shapes: tuple[int, ...]) -> Iterator[Array]:
    """Yield arrays of zeros in one piece of memory, each aligned to a cache line: an `Allocate`.

    The memory is new and in large pages where the system has them: there are few page faults, and none copies
    a page that is shared with a forked process.

    Raises
    ------
    MemoryError
    """
    sizes = [-(-8 * math.prod(shape) // LINE) * LINE for shape in shapes]
    try:
        memory = mmap.mmap(-1, sum(sizes) + LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system may be built without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    begin = -np.frombuffer(memory, dtype=np.uint8).__array_interface__["data"][0] % LARGE_PAGE
    for shape, size in zip(shapes, sizes, strict=True):
        flat = np.frombuffer(memory, dtype=np.float64, count=math.prod(shape), offset=begin)
        yield flat.reshape(shape)
        begin += size
