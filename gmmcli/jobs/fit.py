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
from gmmcli.fitting.journal import Journal, journal_of
from gmmcli.fitting.plan import Plan, choose_features, make_plan
from gmmcli.fitting.progress import telling
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
from gmmcli.tables.columns import columns_late, match_features
from gmmcli.tables.source import Tables


def fit(request: FitRequest, notify: Notify, progress: Progress) -> FitReport:
    """Estimate a mixture, or continue the one that the directory holds.

    Parameters
    ----------
    request : FitRequest
    notify : callable
        Called with every warning as it arises.
    progress : callable
        Called with every start and every step, in words.

    Raises
    ------
    GmmError
        Of every kind; the directory holds what it held before, or more.
    Stopped
        A signal came; the last whole step was published.
    """
    started = time.monotonic()
    request.check()
    notices: list[Notice] = []

    def tell(notice: Notice) -> None:
        notices.append(notice)
        notify(notice)

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
            tell_of_rollback(writer.given_up, plan.stored, tell)
            plan = choose_features(plan, tables, tell)
            if plan.stored is not None and plan.has_all_steps:
                outcome = Outcome(plan.stored, plan.stored, plan.settings, "steps", passes=0)
            else:
                check = _make_check(request.time_limit_s, started)
                outcome = _learn(plan, writer, tables, journal, check, tell, progress)
            _finish(writer, outcome, tell)
            seconds = time.monotonic() - started
            report = make_report(str(request.model_dir), outcome, tuple(notices), seconds)
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
    """Read the tables, and learn from them."""
    engine = LocalEngine(plan.request.table.n_threads, check)
    try:
        rows = _read(plan, tables, check, tell, progress)
        held_out = _read_validation(plan, rows, check, tell, progress)
    except TimeUp as error:
        raise _out_of_time("the tables were read", "a longer --time-limit") from error
    checkpoints: Checkpoints | None = None
    with engine.attached(rows.table, *([] if held_out is None else [held_out.table])):
        try:
            start = begin(plan, rows, engine, tell, progress)
            validation = None
            if held_out is not None:
                validation = Validation(plan, rows, held_out, engine, journal.check)
            checkpoints = Checkpoints(writer, plan, rows, start, validation)
            stopping = Stopping.of(plan, start.origin, rows.table.n_rows)
            observers: list[Observer] = [telling(plan, rows, journal, progress), stopping]
            observers += [] if validation is None else [validation]
            passes_before = engine.n_passes(rows.table)
            ending = None if validation is None else validation.ending_of_earlier_runs(start.origin)
            if ending is None:
                steps = run(plan, start.origin, engine, rows.table, reseeded(tell))
                ending = follow(steps, observers, checkpoints)
            checkpoints.finish(ending)
            return checkpoints.outcome(ending, engine.n_passes(rows.table) - passes_before)
        except TimeUp as error:
            raise _too_early(plan) from error
        except Stopped as stopped:
            _tell_of_signal(stopped, plan.stored if checkpoints is None else checkpoints.newest, tell)
            raise
        except CovarianceNotPositive as error:
            step = 0 if checkpoints is None else checkpoints.next_step
            raise _explained(error, step, plan, rows, engine) from error


def _read(
    plan: Plan, tables: Tables, check: Callable[[], None], tell: Notify, progress: Progress
) -> TrainingRows:
    """Read the tables to learn from; warn of columns of numbers that came too late to be learnt from."""
    is_first = plan.given_features is None
    rows = read_rows(
        tables, plan.features, plan.settings, plan.units, check, tell, progress, skip_empty_columns=is_first
    )
    if is_first and not plan.request.columns and tables.late is not None:
        numeric = [name for name, is_number in tables.late.columns.items() if is_number]
        if numeric:
            tell(columns_late(tables.late, numeric))
    return rows


def _read_validation(
    plan: Plan, rows: TrainingRows, check: Callable[[], None], tell: Notify, progress: Progress
) -> TrainingRows | None:
    """Read the table that the run is checked by, if there is one."""
    request = plan.request
    if request.validation is None:
        return None
    with reading(replace(request.table, operands=(request.validation,), stdin=None)) as tables:
        features = match_features(tables, rows.features, request.model_dir)
        return read_rows(tables, features, plan.settings, rows.units, check, tell, progress)


def _make_check(limit_s: float | None, started: float) -> Callable[[], None]:
    """Return what raises `TimeUp` once the time limit has passed, and `Stopped` where a signal went by."""

    def check() -> None:
        interrupt.recall()
        if limit_s is not None and time.monotonic() - started >= limit_s:
            raise TimeUp

    return check


def _too_early(plan: Plan) -> NotConverged:
    """Return the error of a run whose time was up before its first step."""
    if plan.request.partial:
        return _out_of_time("the rows were added", "a longer --time-limit")
    if plan.is_new:
        return _out_of_time("the start was chosen", "--init random, or a longer --time-limit")
    return _out_of_time("the first step was made", "a longer --time-limit")


def _out_of_time(moment: str, hint: str) -> NotConverged:
    """Return the error of a run whose time was up too early for a checkpoint."""
    return NotConverged("--time-limit", f"reached before {moment}: nothing written", hint)


def _tell_of_signal(stopped: Stopped, newest: Stored | None, tell: Notify) -> None:
    """Say what a signal leaves behind."""
    name, left = signal.Signals(stopped.signum).name, "nothing written"
    if newest is not None:
        left = f"checkpoint {newest.generation} has {newest.checkpoint.global_step} steps"
    tell(Notice("stopped", f"stopped by {name}: {left}", "information"))


def _explained(
    error: CovarianceNotPositive, step: int, plan: Plan, rows: TrainingRows, engine: LocalEngine
) -> NumericalFailure:
    """Return the error of a singular covariance with its columns, step and cause."""
    try:
        dependent = dependent_columns(engine, rows.table, plan.settings.covariance_type)
    except TimeUp:  # the error that ended the run is reported all the same
        dependent = []
    return singular(error, step, plan, rows, dependent)


def _finish(writer: Writer, outcome: Outcome, tell: Notify) -> None:
    """Report how the run ended, and leave the newest checkpoint newer than the tables."""
    for text in writer.warnings:
        tell(Notice("file_system", text, "warning"))
    if not outcome.has_published:
        tell(Notice("nothing_to_do", f"nothing to do: {outcome.steps_in_words}", "information"))
        writer.touch_newest()
    tell_of_ending(outcome, tell)
