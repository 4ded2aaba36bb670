"""fit: estimate a mixture, or continue one."""

import signal
import time
from collections.abc import Callable
from dataclasses import replace

from gmmcli import interrupt
from gmmcli.engine.blas import blas_kernel
from gmmcli.engine.local import LocalEngine
from gmmcli.errors import CovarianceNotPositive, NotConverged, NumericalFailure, Stopped
from gmmcli.fitting.checkpoints import Checkpoints
from gmmcli.fitting.diagnosis import dependent_columns, reseeded, singular
from gmmcli.fitting.journal import Journal, journal_of, telling
from gmmcli.fitting.plan import Plan, choose_features, make_plan
from gmmcli.fitting.report import FitReport, Outcome, make_report, tell_of_ending, tell_of_rollback
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.rows import TrainingRows, read_rows
from gmmcli.fitting.run import Observer, Stopping, TimeUp, follow, run
from gmmcli.fitting.starts import begin
from gmmcli.fitting.validation import Validation
from gmmcli.jobs.reading import reading
from gmmcli.jobs.versions import versions
from gmmcli.notices import Notice, Notify, Progress
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import Stored
from gmmcli.tables import wording
from gmmcli.tables.columns import columns_late, match_features
from gmmcli.tables.source import Tables


def fit(request: FitRequest, notify: Notify, progress: Progress) -> FitReport:
    """Estimate a mixture, or continue the one in the model directory.

    Parameters
    ----------
    request : FitRequest
    notify : callable
        Called with every warning as it arises.
    progress : callable
        Called with a line of text for every start and every step.

    Raises
    ------
    GmmError
        The directory holds the same checkpoints as before, or more.
    Stopped
        A signal came; the last whole step was published.
    """
    started = time.monotonic()
    request.check()
    notices: list[Notice] = []

    def tell(notice: Notice) -> None:
        notices.append(notice)
        notify(notice)

    def check() -> None:
        """Raise `Stopped` if a signal came, and `TimeUp` if the time limit has passed."""
        interrupt.recall()
        limit_s = request.time_limit_s
        if limit_s is not None and time.monotonic() - started >= limit_s:
            raise TimeUp

    with (
        reading(request.table) as tables,
        Writer(
            request.model_dir,
            versions=versions(),
            blas_kernel=blas_kernel(),
            source_date_epoch=request.source_date_epoch,
            has_curves=request.log_every > 0,
        ) as writer,
    ):
        plan = make_plan(request, writer)
        with journal_of(writer, plan) as journal:
            if request.rollback:
                tell_of_rollback(writer.given_up, plan.stored, tell)
            plan = choose_features(plan, tables, tell)
            if plan.stored is not None and plan.has_all_steps:
                outcome = Outcome(plan, plan.stored, "steps")
            else:
                outcome = _learn(plan, writer, tables, journal, check, tell, progress)
            for text in writer.warnings:
                tell(Notice("file_system", text, "warning"))
            tell_of_ending(outcome, tell)
            if outcome.stored is plan.stored:
                writer.touch_newest()  # for make: the model is newer than its tables
            report = make_report(outcome, notices, time.monotonic() - started)
            journal.prepare_end(report)
    return report


def _learn(
    plan: Plan,
    writer: Writer,
    tables: Tables,
    journal: Journal,
    check: Callable[[], None],
    tell: Notify,
    progress: Progress,
) -> Outcome:
    """Read the tables, and make steps until an observer ends the run."""
    engine = LocalEngine(plan.request.table.n_threads, check)
    rows, held_out = _read(plan, tables, check, tell, progress)
    checkpoints: Checkpoints | None = None
    with engine.attached(rows.table, *([] if held_out is None else [held_out.table])):
        try:
            start = begin(plan, rows, engine, tell, progress)
            stopping = Stopping.of(plan, start.origin, rows.table.n_rows)
            observers: list[Observer] = [telling(plan, rows, journal, progress), stopping]
            validation = ending = None
            if held_out is not None:
                validation = Validation(plan, rows, held_out, engine, journal.check)
                observers.append(validation)
            checkpoints = Checkpoints(writer, plan, rows, start, validation)
            passes_before = engine.n_passes(rows.table)
            if validation is not None:
                ending = validation.ending_of_earlier_runs(start.origin)
            if ending is None:
                steps = run(plan, plan.rules(rows.units), start.origin, engine, rows.table, reseeded(tell))
                ending = follow(steps, observers, checkpoints)
            checkpoints.finish(ending)
            return checkpoints.outcome(ending, engine.n_passes(rows.table) - passes_before)
        except TimeUp as error:
            moment, hint = "the first step was made", "a longer --time-limit"
            if plan.is_new:
                moment, hint = "the start was chosen", f"--init random, or {hint}"
            fact = f"reached before {moment}; no checkpoint was written"
            raise NotConverged("--time-limit", fact, hint) from error
        except Stopped as stopped:
            newest = plan.stored if checkpoints is None else checkpoints.newest
            _tell_of_signal(stopped, plan, newest, tell)
            raise
        except CovarianceNotPositive as error:
            step = 0 if checkpoints is None else checkpoints.next_step
            raise _explained(error, step, plan, rows, engine) from error


def _read(
    plan: Plan, tables: Tables, check: Callable[[], None], tell: Notify, progress: Progress
) -> tuple[TrainingRows, TrainingRows | None]:
    """Read the training tables, and the validation table if there is one."""
    request, is_first = plan.request, plan.given_features is None
    units = None if plan.stored is None else plan.stored.checkpoint.units
    settings = plan.settings
    try:
        rows = read_rows(
            tables, plan.features, settings, units, check, tell, progress, skip_empty_columns=is_first
        )
        if is_first and not request.columns and tables.late is not None:
            numeric = [name for name, is_number in tables.late.columns.items() if is_number]
            if numeric:
                tell(columns_late(tables.late, numeric))
        if request.validation is None:
            return rows, None
        with reading(replace(request.table, operands=(request.validation,), stdin=None)) as others:
            features = match_features(others, rows.features, request.model_dir)
            return rows, read_rows(others, features, settings, rows.units, check, tell, progress)
    except TimeUp as error:
        fact = "reached before the tables were read; no checkpoint was written"
        raise NotConverged("--time-limit", fact, "a longer --time-limit") from error


def _tell_of_signal(stopped: Stopped, plan: Plan, newest: Stored | None, tell: Notify) -> None:
    """Report the newest checkpoint of a run that a signal ended, and how to continue the run."""
    request = plan.request
    name, left = signal.Signals(stopped.signum).name, "no checkpoint was written"
    command = "the same command"
    if newest is not None:
        left = f"checkpoint {newest.generation} has {wording.counted(newest.checkpoint.global_step, 'step')}"
    if newest is not None and newest is not plan.stored:
        done = newest.checkpoint.global_step - plan.steps_before
        if request.fresh:
            command += " without --fresh"
        if request.steps is not None:
            command += f" with --steps {request.steps - done}"
    tell(Notice("stopped", f"stopped by {name}: {left}; run {command} to continue", "information"))


def _explained(
    error: CovarianceNotPositive, step: int, plan: Plan, rows: TrainingRows, engine: LocalEngine
) -> NumericalFailure:
    """Return the error of a singular covariance with its columns, step and cause."""
    try:
        dependent = dependent_columns(engine, rows.table, plan.settings.covariance_type)
    except TimeUp:  # report the error, without its cause
        dependent = []
    return singular(error, step, plan, rows, dependent)
