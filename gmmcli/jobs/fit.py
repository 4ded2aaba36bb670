"""fit: estimate a mixture, or continue one."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gmmcli import interrupt
from gmmcli.engine.blas import blas_kernel
from gmmcli.engine.local import LocalEngine
from gmmcli.errors import NotConverged, Usage
from gmmcli.fitting.journal import journal_of
from gmmcli.fitting.learn import learn
from gmmcli.fitting.plan import Plan, choose_features, make_plan
from gmmcli.fitting.report import FitReport, Outcome, make_report, tell_of_ending, tell_of_rollback
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.rows import TrainingRows, read_rows
from gmmcli.fitting.run import TimeUp
from gmmcli.fitting.selection import pick
from gmmcli.fitting.settings import Settings
from gmmcli.fitting.starts import begin
from gmmcli.fitting.sweep import Sweep
from gmmcli.jobs.reading import reading
from gmmcli.jobs.versions import versions
from gmmcli.notices import Notice, Notify, Progress
from gmmcli.store.commit import Writer
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

    with reading(request.table) as tables, _writer(request) as writer:
        plan = make_plan(request, writer)
        with journal_of(writer, plan) as journal:
            if request.rollback:
                tell_of_rollback(writer.given_up, plan.stored, tell)
            plan = choose_features(plan, tables, tell)
            if plan.stored is not None and plan.has_all_steps:
                outcome = Outcome(plan, plan.stored, "steps")
            else:
                engine = LocalEngine(request.table.n_threads, check)
                rows, held_out = _read(plan, tables, check, tell, progress)
                with engine.attached(rows.table, *([] if held_out is None else [held_out.table])):
                    if plan.grid is not None:
                        outcome = Sweep(plan, rows, engine, writer, tell, progress).run()
                    else:
                        start = partial(begin, plan, rows, engine, tell, progress)
                        outcome = learn(plan, rows, start, engine, writer, journal, tell, progress, held_out)
            for text in writer.warnings:
                tell(Notice("file_system", text, "warning"))
            tell_of_ending(outcome, tell)
            if outcome.stored is outcome.plan.stored:
                writer.touch_newest()  # for make: the model is newer than its tables
            report = make_report(outcome, notices, time.monotonic() - started)
            journal.prepare_end(report)
    return report


def choose(request: FitRequest, notify: Notify) -> FitReport:
    """Make another model of an earlier choice the newest checkpoint, without fitting.

    Raises
    ------
    Usage
        The request names no such model, or more than this needs.
    GmmError
        The directory cannot be read or written.
    """
    started = time.monotonic()
    request.check()
    if request.table.operands:
        raise Usage("--choose", "fits nothing, so it needs no table", "omit the tables")
    notices: list[Notice] = []
    with _writer(request) as writer:
        newest = writer.latest()
        found = pick(request, list(writer.candidates.found.values()), newest)
        settings = Settings.from_json(found.checkpoint.settings, str(request.model_dir))
        writer.keep, writer.keep_every = settings.keep, settings.keep_every
        plan = Plan(request, None, settings, None, found.checkpoint.features)
        with journal_of(writer, plan) as journal:
            stored = writer.publish(replace(found.checkpoint, provenance=None), fresh=newest is None)
            outcome = Outcome(plan, stored, "converged" if found.checkpoint.converged else "max_iter")
            for text in writer.warnings:
                notices.append(Notice("file_system", text, "warning"))
                notify(notices[-1])
            report = make_report(outcome, notices, time.monotonic() - started)
            journal.prepare_end(report)
    return report


def _writer(request: FitRequest) -> Writer:
    """Return the writer of the model directory of a request."""
    return Writer(
        request.model_dir,
        versions=versions(),
        blas_kernel=blas_kernel(),
        source_date_epoch=request.source_date_epoch,
        has_curves=request.log_every > 0,
    )


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
