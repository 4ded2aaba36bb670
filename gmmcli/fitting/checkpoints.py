"""The checkpoints of a run: when one is due, what it holds, and how the best one becomes the newest."""

import contextlib
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from gmmcli import interrupt
from gmmcli.core import quantiles
from gmmcli.core.arrays import Array
from gmmcli.core.em.loop import Step
from gmmcli.core.em.memory import Converged, Memory, Standing
from gmmcli.errors import CheckpointCorrupt, NotFound
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.report import Outcome
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Ending
from gmmcli.fitting.starts import Start
from gmmcli.fitting.validation import Validation
from gmmcli.store.checkpoint import MAX_HISTORY, Checkpoint
from gmmcli.store.model_dir import ModelDir, Stored

DEFAULT_SECONDS = 600.0


class Publisher(Protocol):
    """What publishes the checkpoints of a run: the model directory, a sweep, or nobody."""

    path: Path
    best: int | None

    def publish(self, checkpoint: Checkpoint, *, fresh: bool = False) -> Stored:
        """Publish a checkpoint; return it as it was stored."""


class Checkpoints:
    """The keeper that publishes steps as checkpoints, each at most once.

    Parameters
    ----------
    publisher : Publisher
    plan : Plan
    rows : TrainingRows
    start : Start
    validation : Validation or None
        Its count is reset if the best checkpoint of earlier runs has been removed.

    Attributes
    ----------
    newest : Stored or None
        The newest checkpoint of the model.
    next_step : int
        The number of the step that the run is computing.
    """

    def __init__(
        self,
        publisher: Publisher,
        plan: Plan,
        rows: TrainingRows,
        start: Start,
        validation: Validation | None,
    ) -> None:
        self.newest, self.next_step = plan.stored, start.origin.number
        self._publisher, self._plan, self._rows, self._start = publisher, plan, rows, start
        self._validation, self._history = validation, start.history
        # A partial fit publishes its only step, even if a checkpoint has this number already.
        is_published = plan.stored is not None and not plan.request.partial
        self._published_step = start.origin.number if is_published else None
        self._published_time = time.monotonic()
        self._best: Stored | None = None
        if validation is not None and plan.stored is not None:
            best = _find(plan.stored, publisher.path, validation.standing.best_step)
            if best is not None:
                self._mark_best(best)
            else:
                validation.standing = Standing(table=validation.standing.table)

    def look(self, step: Step, ending: Ending | None) -> None:
        """Publish a step that is due or ends the run."""
        self.next_step = step.number + 1
        self._history = (*self._history, step.expectation.statistics.log_likelihood)[-MAX_HISTORY:]
        if ending is not None or self._is_due(step):
            self.keep(step, is_last=ending is not None)

    def keep(self, step: Step, *, is_last: bool = False) -> None:
        """Publish a step, unless it was published before; publish a partial fit only if it is complete."""
        if self._plan.request.partial and not is_last:
            return
        # Without a validation table, the newest step counts as the best.
        is_best = self._validation is None or self._validation.standing.best_step == step.number
        if self._published_step is not None and step.number <= self._published_step:
            if is_best:
                self._complete_published(step, is_last=is_last)
            return
        with interrupt.hold():
            # If the best step is another one, the run ends when `finish` has published that.
            newest = self._publish(self._checkpoint_of(step), step.memory, is_end=is_last and is_best)
            if self._validation is not None and is_best:
                self._mark_best(newest)
            self._published_step, self._published_time = step.number, time.monotonic()

    def _complete_published(self, step: Step, *, is_last: bool) -> None:
        """Mark a step that a signal published before its check as the best, or as the end of the run."""
        newest = self.newest
        if newest is None or newest.checkpoint.global_step != step.number:
            return
        if self._validation is not None:
            self._mark_best(newest)
        if is_last and newest.checkpoint.memory.began is not None:
            self._best = self._publish(newest.checkpoint, newest.checkpoint.memory, is_end=True)

    def finish(self, ending: Ending) -> None:
        """Publish the best checkpoint again, unless it is the newest or the run was cut off."""
        if ending == "time_limit" or self._best is None or self._best is self.newest:
            return
        found = None
        if ending == "converged":
            found = Converged(self._plan.settings.tol, self._plan.request.batch_size or 0)
        checkpoint = self._best.checkpoint
        self._best = self._publish(checkpoint, checkpoint.memory, is_end=True, converged=found)

    def outcome(self, ending: Ending, passes: int) -> Outcome:
        """Return the outcome of the run, given its ending and the number of its passes."""
        if self.newest is None:
            raise RuntimeError("a run that ended left no checkpoint")
        found = None if self._validation is None else self._validation.report()
        return Outcome(self._plan, self.newest, ending, self._rows, passes, found, self._start.choice)

    def _is_due(self, step: Step) -> bool:
        """Tell whether to publish a step within the run."""
        request = self._plan.request
        if self._validation is not None:
            return self._validation.has_checked
        if request.partial:
            return False
        if request.checkpoint_steps is not None:
            return step.number - (self._published_step or 0) >= request.checkpoint_steps
        seconds = DEFAULT_SECONDS if request.checkpoint_seconds is None else request.checkpoint_seconds
        return time.monotonic() - self._published_time >= seconds

    def _checkpoint_of(self, step: Step) -> Checkpoint:
        """Return the checkpoint of a step."""
        settings, rows = self._plan.settings, self._rows
        return Checkpoint(
            state=step.mixture,
            mixture=self._start.in_table_units(step.mixture, step.number, settings.params),
            units=self._start.units,
            statistics=step.expectation.statistics,
            features=rows.features,
            weights_column=None,
            global_step=step.number,
            converged=step.has_converged(settings.tol),
            settings=asdict(settings),
            log_likelihoods=np.array(self._history),
            stopping=np.array(step.likelihoods),
            operands=rows.operands,
            quantiles=self._quantiles_of(step),
        )

    def _quantiles_of(self, step: Step) -> Array:
        """Return the quantiles of log densities; a partial fit merges them with those of earlier rows."""
        new = quantiles.summarise(step.expectation.log_densities, self._rows.table.sampled_weights())
        if not self._plan.request.partial:
            return new
        parts = [(new, self._rows.table.total_weight)]
        if self._plan.stored is not None:
            before = self._plan.stored.checkpoint
            parts.insert(
                0, (before.quantiles, before.statistics.total_weight * self._plan.request.kept_share)
            )
        return quantiles.merge(parts)

    def _publish(
        self, checkpoint: Checkpoint, memory: Memory, *, is_end: bool, converged: Converged | None = None
    ) -> Stored:
        """Publish a checkpoint, and return it as it is on disk; hold signals meanwhile."""
        if is_end:
            memory = replace(memory, began=None, converged=converged)
        if self._validation is not None:
            memory = replace(memory, validation=self._validation.standing)
        with interrupt.hold():
            whole = replace(checkpoint, memory=memory, provenance=None)
            self.newest = self._publisher.publish(whole, fresh=self.newest is None)
        return self.newest

    def _mark_best(self, stored: Stored) -> None:
        """Remember the best checkpoint, and protect it from retention."""
        self._best, self._publisher.best = stored, stored.generation


def _find(newest: Stored, path: Path, step: int) -> Stored | None:
    """Return the newest checkpoint of a step that belongs to the same lineage, or None."""
    if newest.checkpoint.global_step == step:
        return newest
    if step < 0:
        return None
    directory = ModelDir(path)
    for listing in reversed(directory.list()):
        with contextlib.suppress(NotFound, CheckpointCorrupt):
            stored = directory.load(listing.generation)
            is_of_model = stored.provenance.lineage == newest.provenance.lineage
            if stored.checkpoint.global_step == step and is_of_model:
                return stored
    return None
