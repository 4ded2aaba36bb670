"""What a run leaves in the model directory: its checkpoints, and the best of them once more."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gmmcli.core import quantiles
from gmmcli.core.mixture import Array
from gmmcli.errors import CheckpointCorrupt, NotFound
from gmmcli.jobs import interrupt
from gmmcli.jobs.fit_report import Outcome
from gmmcli.jobs.model import Model
from gmmcli.jobs.origin import Origin
from gmmcli.jobs.run import BEGAN, CONVERGED, Ending, Moment
from gmmcli.jobs.snapshot import checkpoint_of
from gmmcli.jobs.training_table import TrainingTable
from gmmcli.jobs.validation import Validation
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import ModelDir, Stored


class Publisher:
    """The checkpoints of a run.

    Parameters
    ----------
    writer : Writer
    model : Model
        What the run continues.
    table : TrainingTable
    validation : Validation or None
        Without the best checkpoint of the runs before, it forgets what they have found.

    Attributes
    ----------
    newest : Stored or None
    """

    def __init__(
        self, writer: Writer, model: Model, table: TrainingTable, validation: Validation | None
    ) -> None:
        self._writer, self._model, self._table, self._validation = writer, model, table, validation
        self.newest, self._best = model.stored, None
        if validation is not None and model.stored is not None:
            self._best = _find(model.stored, writer.path, validation.standing.best_step)
            if self._best is None:
                validation.forget()
            else:
                writer.best = self._best.generation

    def publish_moment(self, moment: Moment, origin: Origin) -> None:
        """Publish a moment of a run."""
        pair, summary = moment.pair, quantiles.summarise(moment.pair.expectation.log_densities)
        # Where a better one has to be republished, the run is not over before that is.
        if moment.is_last and self._is_best(pair.step):
            pair = replace(pair, run=_ended(pair.run))
        if self._validation is not None:
            pair = replace(pair, run=self._validation.kept_in(pair.run))
        settings = self._model.settings
        checkpoint = checkpoint_of(pair, moment.history, summary, origin, self._table, settings)
        newest = self.publish(checkpoint)
        if self._validation is not None and self._is_best(pair.step):
            self._best, self._writer.best = newest, newest.generation

    def pass_over(self, moment: Moment) -> None:
        """Take note of a moment that a signal has made the newest checkpoint, unchecked or not as the end."""
        newest = self.newest
        if newest is None or newest.checkpoint.global_step != moment.pair.step:
            return
        if not self._is_best(moment.pair.step):
            return
        if self._validation is not None:
            self._best, self._writer.best = newest, newest.generation
        if moment.is_last and BEGAN in newest.checkpoint.run:
            self._best = self._publish_again(newest)

    def _is_best(self, step: int) -> bool:
        """Tell whether a step is the best so far: without a validation table the newest always is."""
        return self._validation is None or self._validation.standing.best_step == step

    def _publish_again(self, stored: Stored, found: Mapping[str, Array] | None = None) -> Stored:
        """Publish a checkpoint once more as the newest, as the end of the run, with what that has found."""
        run = _ended(stored.checkpoint.run) | dict(found or {})
        if self._validation is not None:
            run = self._validation.kept_in(run)
        return self.publish(replace(stored.checkpoint, run=run, provenance=None))

    def publish_best(self, found: Mapping[str, Array]) -> None:
        """Make the best checkpoint the newest, with all that was found after it, if it is not."""
        if self._best is not None and self._best is not self.newest:
            self._best = self._publish_again(self._best, found)

    def publish(self, checkpoint: Checkpoint) -> Stored:
        """Publish a checkpoint; return it as it is on disk. A signal waits meanwhile."""
        with interrupt.hold():
            self.newest = self._writer.publish(checkpoint, fresh=self.newest is None)
        return self.newest

    def outcome(self, ending: Ending, passes: int) -> Outcome:
        """Return how the run ended, given why and after how many passes."""
        if self.newest is None:
            raise RuntimeError("a run that ended left no checkpoint")
        found = None if self._validation is None else self._validation.report()
        return Outcome(self.newest, self._model.stored, self._model.settings, ending, passes, found)


def _ended(run: Mapping[str, Array]) -> dict[str, Array]:
    """Return the state of a run that has come to its end."""
    return {name: array for name, array in run.items() if name not in (BEGAN, CONVERGED)}


def _find(newest: Stored, path: Path, step: float) -> Stored | None:
    """Return the newest checkpoint of the newest one's lineage with a step; None where it is gone."""
    if newest.checkpoint.global_step == step:
        return newest
    if step < 0:
        return None
    directory = ModelDir(path)
    for listing in reversed(directory.list()):
        try:
            stored = directory.load(listing.generation)
        except (NotFound, CheckpointCorrupt):
            continue
        if stored.checkpoint.global_step == step and _lineage(stored) == _lineage(newest):
            return stored
    return None


def _lineage(stored: Stored) -> str:
    """Return which model a checkpoint is of."""
    provenance = stored.checkpoint.provenance
    return "" if provenance is None else provenance.lineage
