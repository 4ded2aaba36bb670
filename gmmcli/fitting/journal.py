"""What log.jsonl says of a run: how it starts, where it stands every so many steps, how it ends."""

import contextlib
import signal
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gmmcli.core.em.loop import Step
from gmmcli.errors import GmmError, Stopped
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.report import FitReport
from gmmcli.store.commit import Writer


class Journal:
    """The events of one run.

    Parameters
    ----------
    writer : Writer
    step : int or None
        Of the newest checkpoint, which has been told of; None for a new model.
    every : int
        Steps that are multiples of it are logged; 0: none are.
    """

    def __init__(self, writer: Writer, step: int | None, every: int) -> None:
        self._writer, self._run = writer, uuid.uuid4().hex[:8]
        self._last_step, self._every = step, every
        self._ending: dict[str, Any] = {"ending": "failed"}

    def start(self, tables: Sequence[str], settings: dict[str, Any]) -> None:
        """Say that the run starts."""
        self._log("start", tables=list(tables), settings=settings)

    def follow(self, step: Step, mean_log_likelihood: float) -> None:
        """Log a step that is due, with its mean log-likelihood in the table's units."""
        is_old = self._last_step is not None and step.number <= self._last_step
        if self._every and not is_old and step.number % self._every == 0:
            self._last_step = step.number
            self._log("step", global_step=step.number, mean_log_likelihood=mean_log_likelihood)

    def check(self, step: int, mean_log_likelihood: float) -> None:
        """Say how well the validation table is explained."""
        self._log("validation", global_step=step, mean_log_likelihood=mean_log_likelihood)

    def prepare_end(self, report: FitReport) -> None:
        """Note what the run came to."""
        self._ending = {
            "ending": report.ending,
            "checkpoint": report.checkpoint,
            "global_step": report.global_step,
            "passes": report.passes,
            "mean_log_likelihood": report.mean_log_likelihood,
            "seconds": report.seconds,
            "warnings": [notice.as_json() for notice in report.warnings],
        }

    def prepare_failure(self, error: BaseException) -> None:
        """Note what ended the run."""
        if isinstance(error, Stopped):
            self._ending["ending"] = signal.Signals(error.signum).name
        else:
            self._ending["error"] = str(error) or type(error).__name__

    def end(self) -> None:
        """Say how the run ended."""
        self._log("end", **self._ending)

    def _log(self, event: str, **more: Any) -> None:
        """Append an event."""
        self._writer.log({"event": event, "run": self._run, **more})


@contextlib.contextmanager
def journal_of(writer: Writer, plan: Plan) -> Iterator[Journal]:
    """Yield the journal of a run; say that it starts, and how it ends.

    Raises
    ------
    PermissionRefused, ReadWriteFailed
    """
    stored, request = plan.stored, plan.request
    journal = Journal(writer, None if stored is None else stored.checkpoint.global_step, request.log_every)
    journal.start([str(operand) for operand in request.table.operands] or ["-"], asdict(plan.settings))
    try:
        yield journal
    except BaseException as error:
        journal.prepare_failure(error)
        with contextlib.suppress(GmmError):  # what ended the run is what has to be told
            journal.end()
        raise
    journal.end()
