"""The limit of one thread for BLAS, and the CPUs of this process."""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread in the block, since the number of its threads would change sums.

    The limit applies to the process. If several threads ask for it, the first one sets it and the last one
    lifts it.
    """
    _BLAS_LIMIT.take()
    try:
        yield
    finally:
        _BLAS_LIMIT.give_back()


class _BlasLimit:
    """The limit, and the number of its takers.

    The thread that set the limit must lift it, so a separate thread does both. If BLAS has only one thread,
    as in the command, there is no limit to set and no such thread.
    """

    def __init__(self) -> None:
        self._lock, self._n_takers = threading.Lock(), 0
        self._unused = threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self) -> None:
        """Set the limit, unless it is set."""
        with self._lock:
            if self._keeper is None and any(library["num_threads"] != 1 for library in _blas().info()):
                is_set, self._unused = threading.Event(), threading.Event()
                keeper = threading.Thread(target=_keep_limit, args=(is_set, self._unused), daemon=True)
                keeper.start()
                is_set.wait()
                self._keeper = keeper  # only now: the system may refuse a thread
            self._n_takers += 1

    def give_back(self) -> None:
        """Lift the limit if it was set here and this was the last taker."""
        with self._lock:
            self._n_takers -= 1
            if self._keeper is not None and not self._n_takers:
                self._unused.set()
                self._keeper.join()
                self._keeper = None


def _keep_limit(is_set: threading.Event, unused: threading.Event) -> None:
    """Limit BLAS to one thread until `unused` is set."""
    try:
        with _blas().limit(limits=1, user_api="blas"):
            is_set.set()
            unused.wait()
    finally:
        is_set.set()


_BLAS_LIMIT = _BlasLimit()


@functools.cache
def _blas() -> ThreadpoolController:
    """Return the BLAS libraries that are loaded when this is first called.

    The search takes as long as a short pass. Libraries loaded later need no limit: workers use numpy alone.
    """
    return ThreadpoolController().select(user_api="blas")


def blas_kernel() -> str:
    """Return the name of numpy's BLAS and of its kernel, for the checkpoint."""
    for library in _blas().info():
        return f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
    return "unknown"
