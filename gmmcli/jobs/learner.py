"""The run of a fit: where it starts, the steps it makes, and what ends it."""

import signal
from collections.abc import Iterator

import numpy as np

from gmmcli.core import acceleration, em, incremental, reseed, stepwise
from gmmcli.core.mixture import Mixture
from gmmcli.errors import CovarianceNotPositive, Stopped
from gmmcli.jobs.absorb import absorb
from gmmcli.jobs.degeneracy import components_in_words, singular, tell_of_few_rows
from gmmcli.jobs.fit_request import FitRequest
from gmmcli.jobs.journal import Journal
from gmmcli.jobs.model import Model
from gmmcli.jobs.notice import Notice, Notify, Progress
from gmmcli.jobs.origin import Origin, begin, continued
from gmmcli.jobs.publisher import Publisher
from gmmcli.jobs.run import BEGAN, CONVERGED, Cadence, Ending, Recorder, StopRule, run
from gmmcli.jobs.settings import Settings
from gmmcli.jobs.training_table import TrainingTable
from gmmcli.jobs.validation import Validation
from gmmcli.store.checkpoint import Checkpoint

DEFAULT_MAX_ITER = 1000
DEFAULT_CHECKPOINT_SECONDS = 600.0


class Learner:
    """A model, the table it learns from, and everybody who is told how that goes.

    Parameters
    ----------
    request : FitRequest
    model : Model
    table : TrainingTable
    publisher : Publisher
    validation : Validation or None
    journal : Journal
    progress, tell : callable

    Attributes
    ----------
    passes : int
        Full E-steps made; batches are not counted.
    """

    def __init__(
        self,
        request: FitRequest,
        model: Model,
        table: TrainingTable,
        publisher: Publisher,
        validation: Validation | None,
        journal: Journal,
        progress: Progress,
        tell: Notify,
    ) -> None:
        self.passes = 0
        self._request, self._model, self._settings = request, model, model.settings
        self._table, self._publisher, self._validation = table, publisher, validation
        self._journal, self._progress, self._tell = journal, progress, tell
        self._next_step = 0

    def run(self) -> Ending:
        """Learn; leave the last pair, or the best one, as a checkpoint; return what ended the run.

        Raises
        ------
        NumericalFailure
            A covariance is singular: named with its component and columns.
        TimeUp
            Before the first pair.
        Stopped
        """
        try:
            origin = self._origin()
            self._next_step = origin.step
            return self._add(origin) if self._request.partial else self._learn(origin)
        except Stopped as stopped:
            self._tell_of_signal(stopped)
            raise
        except CovarianceNotPositive as error:
            kind, is_new = self._settings.covariance_type, self._model.stored is None
            raise singular(error, self._next_step, self._table, kind, may_exclude=is_new) from error

    def _learn(self, origin: Origin) -> Ending:
        """Make steps until the stop rule is met."""
        began = self._began(origin)
        rule = self._stop_rule(origin, began)
        if self._is_checked_to(rule.last_step):
            self._publisher.publish_best({})
            return "steps"
        if self._has_converged_since(origin):
            return "converged"
        recorder = Recorder(
            lambda moment: self._publisher.publish_moment(moment, origin),
            _cadence(self._request),
            None if self._model.stored is None else origin.step,
            self._publisher.pass_over,
        )
        pairs = self._pairs(origin, began, rule)
        ending = run(pairs, origin.history, rule, recorder, self._follow, self._validation)
        if ending != "time_limit":
            found = np.array([self._settings.tol, self._request.batch_size or 0], dtype=np.float64)
            self._publisher.publish_best({CONVERGED: found} if ending == "converged" else {})
        return ending

    def _has_converged_since(self, origin: Origin) -> bool:
        """Tell whether a run like this one has gone on from the best checkpoint to its end, for nothing."""
        if self._validation is None or self._request.is_counted or CONVERGED not in origin.run:
            return False
        tol, batch_rows = origin.run[CONVERGED]
        is_known = self._validation.standing.best_step == origin.step
        return is_known and self._settings.tol >= tol and batch_rows == (self._request.batch_size or 0)

    def _is_checked_to(self, last_step: int | None) -> bool:
        """Tell whether an earlier run has made and checked all steps up to an absolute one."""
        if self._validation is None or self._request.max_steps is None or last_step is None:
            return False
        return self._validation.standing.checked_step >= last_step

    def _stop_rule(self, origin: Origin, began: int) -> StopRule:
        """Return when the run ends by itself, given the step that it began with."""
        last_step = self._request.max_steps
        if self._request.steps is not None:
            last_step = origin.step + self._request.steps
        return StopRule(self._settings.tol, last_step, began + self._most_steps())

    def _began(self, origin: Origin) -> int:
        """Return the step that the run began with, in an earlier process if that did not end it."""
        began = int(origin.run.get(BEGAN, [origin.step])[0])
        return began if began <= origin.step <= began + self._most_steps() else origin.step

    def _most_steps(self) -> int:
        """Return the cap of a run to convergence, in steps."""
        request, n_rows = self._request, self._table.engine.n_rows
        max_iter = DEFAULT_MAX_ITER if request.max_iter is None else request.max_iter
        return max_iter * stepwise.n_batches(n_rows, request.batch_size or n_rows)

    def _add(self, origin: Origin) -> Ending:
        """Add the table to what the model knows."""
        request = self._request
        checkpoint = absorb(
            self._model,
            origin,
            self._table,
            self._expectation,
            steps=request.update_steps,
            decay=request.kept_share,
        )
        self._publisher.publish(checkpoint)
        return "steps"

    def _expectation(self, mixture: Mixture) -> em.Expectation:
        """Make one E over the table."""
        self.passes += 1
        if self._request.partial:
            self._progress(f"pass {self.passes} of {self._request.update_steps + 1}")
        return self._table.engine.expectation(mixture)

    def _follow(self, pair: em.Pair) -> bool:
        """Tell of a pair; return whether the caller's monitor asks for the end."""
        self._next_step = pair.step + 1
        log_jacobian = self._table.units.log_jacobian
        self._journal.follow(pair, log_jacobian)
        self._progress(_standing(pair, log_jacobian))
        monitor = self._request.monitor
        return monitor is not None and monitor(pair.step, pair.likelihoods[-1] - log_jacobian)

    def _pairs(self, origin: Origin, began: int, rule: StopRule) -> Iterator[em.Pair]:
        """Return the pairs of the run: of batches, or accelerated where it runs to convergence."""
        request, settings = self._request, self._settings
        is_plain = settings.accelerate == "none" or request.is_counted
        remembered = reseed.remembered(origin.run)
        if request.batch_size is not None:
            remembered |= stepwise.remembered(origin.run)
        elif not is_plain:
            remembered |= acceleration.remembered(origin.run)
        if not request.is_counted:
            remembered[BEGAN] = np.array([began], dtype=np.float64)
        first = em.begin(
            origin.state,
            self._expectation,
            step=origin.step,
            likelihoods=origin.likelihoods,
            run=remembered,
        )
        rules = em.Rules(settings.params, settings.reg_covar, settings.tol)
        if request.batch_size is not None:
            engine, batch_rows = self._table.engine, request.batch_size
            return stepwise.iterate(first, self._expectation, rules, engine, batch_rows, rule.last_step)
        if is_plain:
            return em.iterate(first, self._expectation, rules, self._mend())
        return acceleration.iterate(first, self._expectation, rules, self._mend(), rule.cap)

    def _mend(self) -> em.Mend:
        """Return what mends starved components: nothing where means are the user's, or blocks are frozen."""
        if self._settings.params != em.PARAMS or self._settings.has_given_means:
            return em.leave_alone

        def tell_of(components: list[int], step: int) -> None:
            text = f"{components_in_words(components)}: hardly any row left, re-seeded at step {step}"
            self._tell(Notice("reseeded", text, details={"components": components, "step": step}))

        return reseed.Reseeding(self._table.engine, tell_of)

    def _origin(self) -> Origin:
        """Return where the run starts."""
        model, table, settings = self._model, self._table, self._settings
        if model.stored is None:
            tell_of_few_rows(table.engine, settings.components, self._tell)
            return begin(table.engine, table.units, table.features, settings, model.init_file, self._progress)
        checkpoint = model.stored.checkpoint
        before = Settings.from_json(checkpoint.settings, "the model")
        same_table = is_same_table(checkpoint, table)
        if not same_table and not self._request.partial:
            count = f"other tables than those of checkpoint {model.stored.generation}"
            self._tell(Notice("other_table", f"{count}: only these count from now on", is_warning=False))
        return continued(checkpoint, same_table=same_table, same_rules=settings.learns_like(before))

    def _tell_of_signal(self, stopped: Stopped) -> None:
        """Say what a signal leaves behind."""
        name, newest = signal.Signals(stopped.signum).name, self._publisher.newest
        if newest is None:
            left = "nothing written"
        else:
            left = f"checkpoint {newest.generation} has {newest.checkpoint.global_step} steps"
        self._tell(Notice("stopped", f"stopped by {name}: {left}", is_warning=False))


def is_same_table(checkpoint: Checkpoint, table: TrainingTable) -> bool:
    """Tell whether likelihoods of a checkpoint may be compared with those of a run over a table."""
    is_same = [o.digest for o in checkpoint.operands] == [o.digest for o in table.operands]
    return is_same and not incremental.is_approximate(checkpoint.run)


def _standing(pair: em.Pair, log_jacobian: float) -> str:
    """Return where a run stands, in words."""
    gain = pair.remaining_gain
    rest = "" if gain is None else f", about {gain:.1e} to gain"
    return f"step {pair.step}, mean log-likelihood {pair.likelihoods[-1] - log_jacobian:.6g}{rest}"


def _cadence(request: FitRequest) -> Cadence:
    """Return how often the run writes a checkpoint."""
    if request.validation is not None:
        return Cadence(None, np.inf)  # the checks are
    seconds = request.checkpoint_seconds
    return Cadence(request.checkpoint_steps, DEFAULT_CHECKPOINT_SECONDS if seconds is None else seconds)
