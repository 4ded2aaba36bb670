"""fit: estimate a mixture, or continue one."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from gmmcli.core import acceleration, em, incremental, reseed, stepwise
from gmmcli.core.mixture import Mixture
from gmmcli.engine.local import LocalEngine, blas_kernel
from gmmcli.errors import CovarianceNotPositive, NotConverged, Stopped
from gmmcli.jobs.absorb import absorb
from gmmcli.jobs.degeneracy import singular, tell_of_few_rows, who
from gmmcli.jobs.fit_report import FitReport, Outcome, in_words, make_report, tell_of_ending
from gmmcli.jobs.fit_request import FitRequest
from gmmcli.jobs.journal import Journal, journal_of
from gmmcli.jobs.model import Model, choose_features, open_model
from gmmcli.jobs.notice import Notice, Notify, Progress
from gmmcli.jobs.origin import Origin, begin, continued
from gmmcli.jobs.publisher import Publisher
from gmmcli.jobs.reading import reading
from gmmcli.jobs.run import Cadence, Ending, Moment, Recorder, StopRule, TimeUp, run
from gmmcli.jobs.settings import Settings
from gmmcli.jobs.training_table import TrainingTable, load_training_table
from gmmcli.jobs.validation import DEFAULT_STEPS, Validation
from gmmcli.jobs.versions import versions
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import Stored
from gmmcli.tables.columns import match_features

DEFAULT_MAX_ITER = 1000
DEFAULT_CHECKPOINT_SECONDS = 600.0


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
            features = choose_features(tables, model, request.columns, request.exclude, tell)
            if model.stored is not None and _is_there_already(request, model.stored):
                outcome = Outcome(model.stored, model.stored, model.settings, "steps", passes=0)
            else:
                check = _time_check(request.time_limit_s, started)
                table = load_training_table(
                    tables,
                    features,
                    model.settings,
                    model.units,
                    request.table.n_workers,
                    check,
                    tell,
                    skip_empty_columns=model.features is None,
                )
                validation = _validation(request, model, table, journal, check, tell)
                try:
                    with table.engine:
                        outcome = _run(request, writer, model, table, validation, journal, progress, tell)
                except TimeUp as error:
                    fact = "reached before the start was chosen: nothing written"
                    raise NotConverged(
                        "--time-limit", fact, "--init random, or a longer --time-limit"
                    ) from error
            _finish(writer, outcome, tell)
            seconds = time.monotonic() - started
            report = make_report(str(request.model_dir), outcome, tuple(notices), seconds)
            journal.prepare_end(report)
    return report


def _is_there_already(request: FitRequest, stored: Stored) -> bool:
    """Tell whether a counted run has no step to make."""
    return request.max_steps is not None and stored.checkpoint.global_step >= request.max_steps


def _time_check(limit_s: float | None, started: float) -> Callable[[], None]:
    """Return what raises `TimeUp` once the time limit has passed."""

    def check() -> None:
        if limit_s is not None and time.monotonic() - started >= limit_s:
            raise TimeUp

    return check


def _run(
    request: FitRequest,
    writer: Writer,
    model: Model,
    table: TrainingTable,
    validation: Validation | None,
    journal: Journal,
    progress: Progress,
    tell: Notify,
) -> Outcome:
    """Make steps until the stop rule is met; leave the last pair, or the best one, as a checkpoint."""
    settings, next_step, passes = model.settings, 0, 0
    publisher = Publisher(writer, model.stored, validation)

    def expectation(mixture: Mixture) -> em.Expectation:
        nonlocal passes
        passes += 1
        if request.partial:
            progress(f"pass {passes} of {request.update_steps + 1}")
        return table.engine.expectation(mixture)

    def follow(pair: em.Pair) -> bool:
        nonlocal next_step
        next_step = pair.step + 1
        log_jacobian = table.units.log_jacobian
        journal.follow(pair, log_jacobian)
        progress(_standing(pair, log_jacobian))
        return request.monitor is not None and request.monitor(pair.step, pair.likelihoods[-1] - log_jacobian)

    def publish(moment: Moment) -> None:
        publisher.publish_moment(moment, origin, table, settings)

    ending: Ending = "steps"
    try:
        origin = _origin(model, table, progress, tell, is_partial=request.partial)
        next_step = origin.step
        if request.partial:
            steps, decay = request.update_steps, request.kept_share
            publisher.publish(absorb(model, origin, table, expectation, steps=steps, decay=decay))
        else:
            rule = _stop_rule(request, settings, origin.step, table.engine.n_rows)
            mend = _mend(settings, table, tell)
            pairs = _pairs(request, settings, origin, table.engine, expectation, mend, rule.last_step)
            recorder = Recorder(publish, _cadence(request), None if model.stored is None else origin.step)
            ending = run(pairs, origin.history, rule, recorder, follow, validation)
            if ending != "time_limit":
                publisher.publish_best()
    except CovarianceNotPositive as error:
        kind, is_new = settings.covariance_type, model.stored is None
        raise singular(error, next_step, table, kind, may_exclude=is_new) from error
    if publisher.newest is None:
        raise RuntimeError("a run that ended left no checkpoint")
    found = None if validation is None else validation.report()
    return Outcome(publisher.newest, model.stored, settings, ending, passes, found)


def _validation(
    request: FitRequest,
    model: Model,
    table: TrainingTable,
    journal: Journal,
    check: Callable[[], None],
    tell: Notify,
) -> Validation | None:
    """Read the table that the run is checked by, if there is one."""
    if request.validation is None:
        return None
    with reading(replace(request.table, operands=(request.validation,), stdin=None)) as tables:
        features = match_features(tables, table.features)
        workers, units = request.table.n_workers, table.units
        held_out = load_training_table(
            tables, features, model.settings, units, workers, check, tell, skip_empty_columns=False
        )
    is_known = model.stored is not None and _is_same_table(model.stored.checkpoint, table)
    before = model.stored.checkpoint.run if model.stored is not None and is_known else {}
    every = DEFAULT_STEPS if request.checkpoint_steps is None else request.checkpoint_steps
    return Validation(held_out, every, request.patience, before, journal.check)


def _mend(settings: Settings, table: TrainingTable, tell: Notify) -> em.Mend:
    """Return what mends starved components: nothing where means are the user's, or blocks are frozen."""
    if settings.params != em.PARAMS or settings.has_given_means:
        return em.leave_alone

    def tell_of(components: list[int], step: int) -> None:
        text = f"{who(components)}: hardly any row left, re-seeded at step {step}"
        tell(Notice("reseeded", text, details={"components": components, "step": step}))

    return reseed.Reseeding(table.engine, tell_of)


def _pairs(
    request: FitRequest,
    settings: Settings,
    origin: Origin,
    engine: LocalEngine,
    expectation: em.Expect,
    mend: em.Mend,
    last_step: int | None,
) -> Iterator[em.Pair]:
    """Return the pairs of the run: of batches, or accelerated where it runs to convergence."""
    rules = em.Rules(settings.params, settings.reg_covar, settings.tol)
    is_plain = settings.accelerate == "none" or request.is_counted
    if request.batch_size is not None:
        own = stepwise.remembered(origin.run)
    else:
        own = {} if is_plain else acceleration.remembered(origin.run)
    first = em.begin(
        origin.state,
        expectation,
        step=origin.step,
        likelihoods=origin.likelihoods,
        run=reseed.remembered(origin.run) | own,
    )
    if request.batch_size is not None:
        return stepwise.iterate(first, expectation, rules, engine, request.batch_size, last_step)
    iterate = em.iterate if is_plain else acceleration.iterate
    return iterate(first, expectation, rules, mend)


def _tell_of_signal(stopped: Stopped, newest: Stored | None, tell: Notify) -> None:
    """Say what a signal leaves behind."""
    name = signal.Signals(stopped.signum).name
    if newest is None:
        left = "nothing written"
    else:
        left = f"checkpoint {newest.generation} has {newest.checkpoint.global_step} steps"
    tell(Notice("stopped", f"stopped by {name}: {left}", is_warning=False))


def _standing(pair: em.Pair, log_jacobian: float) -> str:
    """Return where a run stands, in words."""
    gain = pair.remaining_gain
    rest = "" if gain is None else f", about {gain:.1e} to gain"
    return f"step {pair.step}, mean log-likelihood {pair.likelihoods[-1] - log_jacobian:.6g}{rest}"


def _origin(
    model: Model, table: TrainingTable, progress: Progress, tell: Notify, *, is_partial: bool
) -> Origin:
    """Return where the run starts."""
    if model.stored is None:
        tell_of_few_rows(table.engine, model.settings.components, tell)
        return begin(table.engine, table.units, table.features, model.settings, model.init_file, progress)
    checkpoint = model.stored.checkpoint
    before = Settings.from_json(checkpoint.settings, "the model")
    same_table = _is_same_table(checkpoint, table)
    if not same_table and not is_partial:
        text = (
            f"other tables than those of checkpoint {model.stored.generation}: only these count from now on"
        )
        tell(Notice("other_table", text, is_warning=False))
    return continued(checkpoint, same_table=same_table, same_rules=model.settings.learns_like(before))


def _is_same_table(checkpoint: Checkpoint, table: TrainingTable) -> bool:
    """Tell whether likelihoods of a checkpoint may be compared with those of a run over a table."""
    is_same = [o.digest for o in checkpoint.operands] == [o.digest for o in table.operands]
    return is_same and not incremental.is_approximate(checkpoint.run)


def _stop_rule(request: FitRequest, settings: Settings, step: int, n_rows: int) -> StopRule:
    """Return when the run ends by itself."""
    last_step = request.max_steps
    if request.steps is not None:
        last_step = step + request.steps
    max_iter = DEFAULT_MAX_ITER if request.max_iter is None else request.max_iter
    batch_rows = n_rows if request.batch_size is None else request.batch_size
    return StopRule(settings.tol, last_step, step + max_iter * stepwise.n_batches(n_rows, batch_rows))


def _cadence(request: FitRequest) -> Cadence:
    """Return how often the run writes a checkpoint."""
    if request.validation is not None:
        return Cadence(None, np.inf)  # the checks are
    seconds = request.checkpoint_seconds
    return Cadence(request.checkpoint_steps, DEFAULT_CHECKPOINT_SECONDS if seconds is None else seconds)


def _finish(writer: Writer, outcome: Outcome, tell: Notify) -> None:
    """Tell what the run came to, and leave the newest checkpoint newer than the tables."""
    for text in writer.warnings:
        tell(Notice("file_system", text))
    if not outcome.has_published:
        tell(Notice("nothing_to_do", f"nothing to do: {in_words(outcome)}", is_warning=False))
        writer.touch_newest()
    tell_of_ending(outcome, tell)
