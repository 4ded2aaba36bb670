"""BLAS kept to one thread, and the CPUs of this process."""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from threadpoolctl import ThreadpoolController


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread: the workers are ours, and sums must not depend on its own splitting.

    The limit is the process's: where several threads ask for it, the first sets it and the last lifts it.
    """
    _BLAS_LIMIT.take()
    try:
        yield
    finally:
        _BLAS_LIMIT.give_back()


class _BlasLimit:
    """The limit, and how many have asked for it.

    A thread of its own sets and lifts it: of several threads only the one that set it may lift it. Where BLAS
    has one thread anyway, as in the command, there is nothing to set, and no thread is made.
    """

    def __init__(self) -> None:
        self._lock, self._n_takers = threading.Lock(), 0
        self._unused = threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self) -> None:
        """Set the limit, if it is not set."""
        with self._lock:
            if self._keeper is None and _blas_has_threads():
                is_set, self._unused = threading.Event(), threading.Event()
                keeper = threading.Thread(target=_keep_limit, args=(is_set, self._unused), daemon=True)
                keeper.start()
                is_set.wait()
                self._keeper = keeper  # not before: the system may have no thread to give
            self._n_takers += 1

    def give_back(self) -> None:
        """Lift the limit, if it was set here and nobody needs it any more."""
        with self._lock:
            self._n_takers -= 1
            if self._keeper is not None and not self._n_takers:
                self._unused.set()
                self._keeper.join()
                self._keeper = None


def _keep_limit(is_set: threading.Event, unused: threading.Event) -> None:
    """Keep BLAS to one thread until that is of no use any more."""
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            is_set.set()
            unused.wait()
    finally:
        is_set.set()


_BLAS_LIMIT = _BlasLimit()


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the libraries with threads of their own that were loaded when first asked for.

    Looking for them takes as long as a short pass. Later ones are not limited: workers use numpy alone.
    """
    return ThreadpoolController()


def _blas_has_threads() -> bool:
    """Tell whether a BLAS would use more than one thread."""
    return any(library["num_threads"] != 1 for library in _blas())


def blas_kernel() -> str:
    """Return the name of numpy's BLAS and the kernel it runs, for the checkpoint."""
    for library in _blas():
        return f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
    return "unknown"


def _blas() -> list[dict[str, Any]]:
    """Return what is known of every BLAS."""
    return [library for library in _libraries().info() if library["user_api"] == "blas"]
