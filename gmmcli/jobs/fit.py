"""fit: estimate a mixture, or continue one."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from gmmcli.engine.local import blas_kernel
from gmmcli.errors import NotConverged
from gmmcli.jobs import interrupt
from gmmcli.jobs.fit_report import FitReport, Outcome, in_words, make_report, tell_of_ending
from gmmcli.jobs.fit_request import FitRequest
from gmmcli.jobs.journal import Journal, journal_of
from gmmcli.jobs.learner import Learner, is_same_table
from gmmcli.jobs.model import Model, choose_features, open_model
from gmmcli.jobs.notice import Notice, Notify, Progress, columns_late
from gmmcli.jobs.publisher import Publisher
from gmmcli.jobs.reading import reading
from gmmcli.jobs.run import TimeUp
from gmmcli.jobs.training_table import TrainingTable, load_training_table
from gmmcli.jobs.validation import DEFAULT_STEPS, Validation
from gmmcli.jobs.versions import versions
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import Stored
from gmmcli.tables.columns import match_features
from gmmcli.tables.source import Tables


def fit(request: FitRequest, notify: Notify, progress: Progress) -> FitReport:
    """Estimate a mixture, or continue the one that the directory holds.

    Parameters
    ----------
    request : FitRequest
    notify : callable
        Told of every warning as it arises.
    progress : callable
        Told where the run stands, at every start and every pair.

    Raises
    ------
    GmmError
        Of every kind; the directory holds what it held before, or more.
    Stopped
        A signal came; the last complete pair has been published.
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
        model = open_model(writer, request.settings, fresh=request.fresh, rollback=request.rollback)
        names = [str(operand) for operand in request.table.operands] or ["-"]
        with journal_of(writer, model, names, request.log_every) as journal:
            features = choose_features(tables, model, request, tell)
            if model.stored is not None and _is_there_already(request, model.stored):
                outcome = Outcome(model.stored, model.stored, model.settings, "steps", passes=0)
            else:
                check = _make_check(request.time_limit_s, started)
                outcome = _learn(request, writer, model, tables, features, journal, check, progress, tell)
            _finish(writer, outcome, tell)
            seconds = time.monotonic() - started
            report = make_report(str(request.model_dir), outcome, tuple(notices), seconds)
            journal.prepare_end(report)
    return report


def _learn(
    request: FitRequest,
    writer: Writer,
    model: Model,
    tables: Tables,
    features: tuple[str, ...],
    journal: Journal,
    check: Callable[[], None],
    progress: Progress,
    tell: Notify,
) -> Outcome:
    """Read the tables, and learn from them."""
    try:
        table = load_training_table(
            tables,
            features,
            model.settings,
            model.units,
            request.table.n_workers,
            check,
            tell,
            progress,
            skip_empty_columns=model.features is None,
        )
        if model.features is None and not request.columns:
            _tell_of_late_columns(tables, tell)
        validation = _validation(request, model, table, journal, check, tell, progress)
    except TimeUp as error:
        raise _out_of_time("the tables were read", "a longer --time-limit") from error
    publisher = Publisher(writer, model, table, validation)
    learner = Learner(request, model, table, publisher, validation, journal, progress, tell)
    try:
        with table.engine, nullcontext() if validation is None else validation.engine:
            ending = learner.run()
    except TimeUp as error:
        if request.partial:
            raise _out_of_time("the rows were added", "a longer --time-limit") from error
        if model.stored is None:
            raise _out_of_time("the start was chosen", "--init random, or a longer --time-limit") from error
        raise _out_of_time("the first step was made", "a longer --time-limit") from error
    return publisher.outcome(ending, learner.passes)


def _tell_of_late_columns(tables: Tables, tell: Notify) -> None:
    """Warn of columns of numbers that came too late to be learnt from."""
    if tables.late is not None:
        numeric = [name for name, is_number in tables.late.columns.items() if is_number]
        if numeric:
            tell(columns_late(tables.late, numeric))


def _out_of_time(moment: str, hint: str) -> NotConverged:
    """Return the error of a run whose time was up too early for a checkpoint."""
    return NotConverged("--time-limit", f"reached before {moment}: nothing written", hint)


def _is_there_already(request: FitRequest, stored: Stored) -> bool:
    """Tell whether a counted run has no step to make; with a validation table `Learner` knows more."""
    if request.max_steps is None or request.validation is not None:
        return False
    return stored.checkpoint.global_step >= request.max_steps


def _make_check(limit_s: float | None, started: float) -> Callable[[], None]:
    """Return what raises `TimeUp` once the time limit has passed, and `Stopped` where a signal went by."""

    def check() -> None:
        interrupt.recall()
        if limit_s is not None and time.monotonic() - started >= limit_s:
            raise TimeUp

    return check


def _validation(
    request: FitRequest,
    model: Model,
    table: TrainingTable,
    journal: Journal,
    check: Callable[[], None],
    tell: Notify,
    progress: Progress,
) -> Validation | None:
    """Read the table that the run is checked by, if there is one."""
    if request.validation is None:
        return None
    with reading(replace(request.table, operands=(request.validation,), stdin=None)) as tables:
        features = match_features(tables, table.features, request.model_dir)
        workers, units = request.table.n_workers, table.units
        held_out = load_training_table(
            tables, features, model.settings, units, workers, check, tell, progress, skip_empty_columns=False
        )
    is_known = model.stored is not None and is_same_table(model.stored.checkpoint, table)
    before = model.stored.checkpoint.run if model.stored is not None and is_known else {}
    every = DEFAULT_STEPS if request.checkpoint_steps is None else request.checkpoint_steps
    return Validation(held_out, every, request.patience, before, journal.check)


def _finish(writer: Writer, outcome: Outcome, tell: Notify) -> None:
    """Tell what the run came to, and leave the newest checkpoint newer than the tables."""
    for text in writer.warnings:
        tell(Notice("file_system", text))
    if not outcome.has_published:
        tell(Notice("nothing_to_do", f"nothing to do: {in_words(outcome)}", is_warning=False))
        writer.touch_newest()
    tell_of_ending(outcome, tell)
