"""The events of a run in log.jsonl, and the observer that reports each step."""

import contextlib
import signal
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gmmcli.core.em.loop import Step
from gmmcli.errors import GmmError, Stopped
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.report import FitReport
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Ending, Observer
from gmmcli.notices import Progress
from gmmcli.store.commit import Writer


class Journal:
    """The log of one run: its start, every Nth step, checks of a validation table, its end.

    Parameters
    ----------
    writer : Writer
    last_step : int or None
        The step of the newest checkpoint, which is in the log already; None for a new model.
    every : int
        Steps whose number is a multiple of it are logged; 0 logs none.
    """

    def __init__(self, writer: Writer, last_step: int | None, every: int) -> None:
        self._writer, self._run = writer, uuid.uuid4().hex[:8]
        self._last_step, self._every = last_step, every
        self._ending: dict[str, Any] = {"ending": "failed"}

    def log(self, event: str, **details: Any) -> None:
        """Append an event to the log."""
        self._writer.log({"event": event, "run": self._run, **details})

    def follow(self, step: Step, mean_log_likelihood: float) -> None:
        """Log a step if it is due, with its mean log-likelihood in the table's units."""
        is_old = self._last_step is not None and step.number <= self._last_step
        if self._every and not is_old and step.number % self._every == 0:
            self._last_step = step.number
            self.log("step", global_step=step.number, mean_log_likelihood=mean_log_likelihood)

    def check(self, step: int, mean_log_likelihood: float) -> None:
        """Log a check of the validation table."""
        self.log("validation", global_step=step, mean_log_likelihood=mean_log_likelihood)

    def prepare_end(self, report: FitReport) -> None:
        """Set what the last event says of a run that succeeded."""
        self._ending = {
            "ending": report.ending,
            "checkpoint": report.checkpoint,
            "global_step": report.global_step,
            "passes": report.passes,
            "mean_log_likelihood": report.mean_log_likelihood,
            "seconds": report.seconds,
            "warnings": [notice.as_json() for notice in report.warnings],
        }

    def end(self, error: BaseException | None = None) -> None:
        """Log the end of the run, or the error that ended it."""
        if isinstance(error, Stopped):
            self._ending["ending"] = signal.Signals(error.signum).name
        elif error is not None:
            self._ending["error"] = str(error) or type(error).__name__
        self.log("end", **self._ending)


@contextlib.contextmanager
def journal_of(writer: Writer, plan: Plan) -> Iterator[Journal]:
    """Yield the journal of a run; log its start and its end.

    Raises
    ------
    PermissionRefused, ReadWriteFailed
    """
    stored, request = plan.stored, plan.request
    journal = Journal(writer, None if stored is None else stored.checkpoint.global_step, request.log_every)
    tables = [str(operand) for operand in request.table.operands] or ["-"]
    journal.log("start", tables=tables, settings=asdict(plan.settings))
    try:
        yield journal
    except BaseException as error:
        with contextlib.suppress(GmmError):  # the error that ended the run matters more
            journal.end(error)
        raise
    journal.end()


def telling(plan: Plan, rows: TrainingRows, journal: Journal, progress: Progress) -> Observer:
    """Return the observer that reports each step to the journal, to people and to a Python caller."""
    log_jacobian, monitor = rows.units.log_jacobian, plan.request.monitor
    first = 0 if plan.stored is None else plan.stored.checkpoint.global_step

    def look(step: Step, ending: Ending | None) -> Ending | None:
        mean_log_likelihood = step.likelihoods[-1] - log_jacobian
        if plan.request.partial:
            progress(f"pass {step.number - first + 1} of {plan.request.update_steps + 1}")
        else:
            journal.follow(step, mean_log_likelihood)
            gain = step.remaining_gain
            rest = "" if gain is None else f", about {gain:.1e} to gain"
            progress(f"step {step.number}, mean log-likelihood {mean_log_likelihood:.6g}{rest}")
        if monitor is not None and monitor(step.number, mean_log_likelihood):
            return "monitor"
        return ending

    return look
