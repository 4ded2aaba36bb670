"""Threads that take tasks in order, and whose results are folded in that order."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")


def run_in_order(
    n_tasks: int,
    make_work: Callable[[], Work],
    process: Callable[[int, Work], Result],
    fold: Callable[[Result], None],
    n_threads: int,
) -> None:
    """Process tasks on several threads, fold their results in the order of the tasks.

    Parameters
    ----------
    n_tasks : int
    make_work : callable
        Makes what one thread works in.
    process : callable
        Called with a task's number and the thread's own work.
    fold : callable
        Called with each result in order, by one thread at a time.
    n_threads : int

    Raises
    ------
    BaseException
        The first one that a task raised, or what arrived in this thread meanwhile (a signal's); no task
        goes on behind it.
    """
    n_threads = min(n_threads, n_tasks)
    if n_threads <= 1:
        work = make_work()
        for i in range(n_tasks):
            fold(process(i, work))
        return
    _Team(n_tasks, make_work, process, fold, window=4 * n_threads).run(n_threads)


class _Team(Generic[Work, Result]):
    """Threads that take tasks in order and fold whatever has become next."""

    def __init__(
        self,
        n_tasks: int,
        make_work: Callable[[], Work],
        process: Callable[[int, Work], Result],
        fold: Callable[[Result], None],
        window: int,
    ) -> None:
        self._n_tasks, self._make_work, self._process, self._fold = n_tasks, make_work, process, fold
        # How far a thread may run ahead of the slowest: bounds the results that wait to be folded.
        self._window = window
        self._condition = threading.Condition()
        self._next_task = self._next_fold = self._in_hand = 0
        self._results: dict[int, Result] = {}
        self._error: BaseException | None = None
        self._stopped = False
        # Not Thread.join: an exception that interrupts it can mark a running thread as ended (CPython 3.11).
        self._ended = threading.Event()

    def run(self, n_threads: int) -> None:
        """Do all tasks; an exception in this thread (a signal's) leaves once no task is in hand."""
        try:
            for _ in range(n_threads):
                threading.Thread(target=self._work, daemon=True).start()
            self._ended.wait()
        except BaseException as error:
            self._stop(error)
            self._ended.wait()
            raise
        if self._error is not None:
            raise self._error

    def _stop(self, error: BaseException) -> None:
        """Let every thread end after the task in its hands."""
        with self._condition:
            self._stopped = True
            self._error = self._error or error
            self._tell()

    def _work(self) -> None:
        """Take tasks until there are none."""
        try:
            work = self._make_work()
            while (i := self._take()) is not None:
                try:
                    self._hand_in(i, self._process(i, work))
                finally:
                    self._put_down()
        except BaseException as error:
            self._stop(error)

    def _take(self) -> int | None:
        """Return the next task, once the fold is near enough."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._stopped or self._next_task < self._next_fold + self._window
            )
            if self._stopped or self._next_task == self._n_tasks:
                return None
            self._next_task += 1
            self._in_hand += 1
            return self._next_task - 1

    def _hand_in(self, i: int, result: Result) -> None:
        """Keep a result, fold all that are next."""
        with self._condition:
            self._results[i] = result
            while self._next_fold in self._results:
                self._fold(self._results.pop(self._next_fold))
                self._next_fold += 1

    def _put_down(self) -> None:
        """Have one task less in hand."""
        with self._condition:
            self._in_hand -= 1
            self._tell()

    def _tell(self) -> None:
        """Wake those who wait for a task or for the end; the condition is held."""
        if not self._in_hand and (self._stopped or self._next_fold == self._n_tasks):
            self._ended.set()
        self._condition.notify_all()
