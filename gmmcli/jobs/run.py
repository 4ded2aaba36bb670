"""The run itself: pairs from the core, checkpoints to the store, and when to stop."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from gmmcli.core import em
from gmmcli.errors import OutOfMemory, Stopped
from gmmcli.jobs import interrupt

HISTORY = 1000
# In the state of a run to convergence that has not come to its end: the step that it began with.
BEGAN = "began"
# In that of a best checkpoint, whose run has converged since: the tolerance, and the rows of a batch or 0.
CONVERGED = "converged"
Ending = Literal["converged", "steps", "max_iter", "time_limit", "patience", "monitor"]


class TimeUp(Exception):
    """The time limit has passed."""


@dataclass(frozen=True)
class StopRule:
    """When a run ends by itself.

    Parameters
    ----------
    tol : float
        A run to convergence ends where what is expected to remain, and the last gain, are below it.
    last_step : int or None
        A counted run ends at this step, and only there.
    cap : int
        A run to convergence ends at this step at the latest.
    """

    tol: float
    last_step: int | None
    cap: int

    def ending(self, pair: em.Pair) -> Ending | None:
        """Return why the run ends with this pair, or None."""
        if self.last_step is not None:
            return "steps" if pair.step >= self.last_step else None
        if pair.has_converged(self.tol):
            return "converged"
        return "max_iter" if pair.step >= self.cap else None


@dataclass(frozen=True)
class Cadence:
    """How often a running fit writes a checkpoint: every so many steps, or seconds."""

    steps: int | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Moment:
    """A complete pair, the log-likelihoods up to it, and whether the run ends there unless it is stopped."""

    pair: em.Pair
    history: tuple[float, ...]
    is_last: bool = False


class Checks(Protocol):
    """What follows a run and may end it."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the run ends."""

    def follow(self, pair: em.Pair, *, is_last: bool) -> bool:
        """Check a pair if that is due; tell whether it was."""


class Recorder:
    """Publishes moments of a run, each at most once.

    Parameters
    ----------
    publish : callable
    cadence : Cadence
    published_step : int or None
        Step of the newest checkpoint; None where there is none of this lineage.
    pass_over : callable, optional
        Told of a moment to be recorded whose step has been published.
    """

    def __init__(
        self,
        publish: Callable[[Moment], None],
        cadence: Cadence,
        published_step: int | None,
        pass_over: Callable[[Moment], None] = lambda moment: None,
    ) -> None:
        self._publish, self._cadence, self._published_step = publish, cadence, published_step
        self._pass_over = pass_over
        self._published_time = time.monotonic()

    def record(self, moment: Moment) -> None:
        """Publish, unless that step has been."""
        if self._published_step is not None and moment.pair.step <= self._published_step:
            self._pass_over(moment)
            return
        with interrupt.hold():
            self._publish(moment)
            self._published_step, self._published_time = moment.pair.step, time.monotonic()

    def record_if_due(self, moment: Moment) -> None:
        """Publish where the cadence says so."""
        if self._cadence.steps is not None:
            due = moment.pair.step - (self._published_step or 0) >= self._cadence.steps
        else:
            due = time.monotonic() - self._published_time >= self._cadence.seconds
        if due:
            self.record(moment)


def run(
    pairs: Iterator[em.Pair],
    history: tuple[float, ...],
    rule: StopRule,
    recorder: Recorder,
    progress: Callable[[em.Pair], bool | None],
    check: Checks | None = None,
) -> Ending:
    """Follow the pairs to the end of the run and record the last complete one; return what ended it.

    Parameters
    ----------
    pairs : iterator of Pair
    history : tuple of float
        Log-likelihoods before the first pair's.
    rule : StopRule
    recorder : Recorder
    progress : callable
        Told of every pair; True ends the run.
    check : Checks, optional
        Pairs that it has checked are recorded.

    Raises
    ------
    TimeUp
        Before the first pair.
    Stopped, KeyboardInterrupt, OutOfMemory
        After the last complete pair has been recorded; so does what `progress` raises.
    """
    moment: Moment | None = None
    if check is not None and check.is_exhausted:
        return "patience"
    try:
        while True:
            pair = next(pairs)
            history = (*history, pair.expectation.statistics.log_likelihood)[-HISTORY:]
            moment = Moment(pair, history)
            is_asked_to_end = _told(progress, moment, recorder)
            ending = "monitor" if is_asked_to_end else rule.ending(pair)
            is_checked = check is not None and check.follow(pair, is_last=ending is not None)
            if ending is None and check is not None and check.is_exhausted:
                ending = "patience"
            if ending is not None:
                recorder.record(replace(moment, is_last=True))
                return ending
            if is_checked:
                recorder.record(moment)
            else:
                recorder.record_if_due(moment)
    except TimeUp:
        if moment is None:
            raise
        recorder.record(moment)
        return "time_limit"
    except (Stopped, KeyboardInterrupt, OutOfMemory):
        if moment is not None:
            recorder.record(moment)
        raise


def _told(progress: Callable[[em.Pair], bool | None], moment: Moment, recorder: Recorder) -> bool:
    """Tell of a pair; return whether the run is asked to end. What is raised there loses no pair."""
    try:
        return bool(progress(moment.pair))
    except Exception:
        recorder.record(moment)
        raise
