"""One model: from its start to the end of its run, observed by what logs, validates and publishes."""

import signal
from collections.abc import Callable

from gmmcli.engine.local import LocalEngine
from gmmcli.errors import CovarianceNotPositive, NotConverged, NumericalFailure, Stopped
from gmmcli.fitting.checkpoints import Checkpoints, Publisher
from gmmcli.fitting.diagnosis import dependent_columns, reseeded, singular
from gmmcli.fitting.journal import Journal, telling
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.report import Outcome
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Observer, Stopping, TimeUp, follow, run
from gmmcli.fitting.starts import Start
from gmmcli.fitting.validation import Validation
from gmmcli.notices import Notice, Notify, Progress
from gmmcli.store.model_dir import Stored
from gmmcli.tables import wording


def learn(
    plan: Plan,
    rows: TrainingRows,
    make_start: Callable[[], Start],
    engine: LocalEngine,
    publisher: Publisher,
    journal: Journal,
    tell: Notify,
    progress: Progress,
    held_out: TrainingRows | None = None,
) -> Outcome:
    """Make steps until an observer ends the run.

    Parameters
    ----------
    plan : Plan
    rows : TrainingRows
        Attached to the engine.
    make_start : callable
        Returns the start; called once.
    engine : LocalEngine
    publisher : Publisher
    journal : Journal
    tell, progress : callable
    held_out : TrainingRows, optional
        The rows of --validation, attached to the engine.

    Raises
    ------
    NotConverged
        The time limit passed before the first step was made.
    NumericalFailure
        A covariance is not positive definite.
    Stopped
        The last whole step was published.
    """
    checkpoints: Checkpoints | None = None
    try:
        start = make_start()
        stopping = Stopping.of(plan, start.origin, rows.table.n_rows)
        observers: list[Observer] = [telling(plan, rows, journal, progress), stopping]
        validation = ending = None
        if held_out is not None:
            validation = Validation(plan, rows, held_out, engine, journal.check)
            observers.append(validation)
        checkpoints = Checkpoints(publisher, plan, rows, start, validation)
        passes_before = engine.n_passes(rows.table)
        if validation is not None:
            ending = validation.ending_of_earlier_runs(start.origin)
        if ending is None:
            rules = plan.settings.rules(rows.units)
            steps = run(plan, rules, start.origin, engine, rows.table, reseeded(tell))
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
