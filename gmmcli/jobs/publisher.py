"""What a run leaves in the model directory: its checkpoints, and the best of them once more."""

from dataclasses import replace
from pathlib import Path

from gmmcli.core import quantiles
from gmmcli.errors import CheckpointCorrupt, NotFound
from gmmcli.jobs import interrupt
from gmmcli.jobs.origin import Origin
from gmmcli.jobs.run import Moment
from gmmcli.jobs.settings import Settings
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
    newest : Stored or None
        What the run continues.
    validation : Validation or None
        Without the best checkpoint of the runs before, it forgets what they have found.

    Attributes
    ----------
    newest : Stored or None
    """

    def __init__(self, writer: Writer, newest: Stored | None, validation: Validation | None) -> None:
        self._writer, self.newest, self._validation = writer, newest, validation
        self._best: Stored | None = None
        if validation is not None and newest is not None:
            self._best = _find(newest, writer.path, validation.standing.best_step)
            if self._best is None:
                validation.forget()
            else:
                writer.best = self._best.generation

    def publish_moment(
        self, moment: Moment, origin: Origin, table: TrainingTable, settings: Settings
    ) -> None:
        """Publish a moment of a run."""
        pair, summary = moment.pair, quantiles.summarise(moment.pair.expectation.log_densities)
        if self._validation is not None:
            pair = replace(pair, run=self._validation.kept_in(pair.run))
        newest = self.publish(checkpoint_of(pair, moment.history, summary, origin, table, settings))
        if self._validation is not None and pair.step == self._validation.standing.best_step:
            self._best, self._writer.best = newest, newest.generation

    def publish_best(self) -> None:
        """Make the best checkpoint the newest, with all that was found after it, if it is not."""
        if self._best is not None and self._best is not self.newest and self._validation is not None:
            best = self._best.checkpoint
            self.publish(replace(best, run=self._validation.kept_in(best.run), provenance=None))

    def publish(self, checkpoint: Checkpoint) -> Stored:
        """Publish a checkpoint; return it as it is on disk. A signal waits meanwhile."""
        with interrupt.hold():
            self.newest = self._writer.publish(checkpoint, fresh=self.newest is None)
        return self.newest


def _find(newest: Stored, path: Path, step: float) -> Stored | None:
    """Return the newest checkpoint of the newest one's lineage with a step; None where it is gone."""
    if newest.checkpoint.global_step == step:
        return newest
    directory = ModelDir(path)
    for listing in reversed(directory.list()) if step >= 0 else ():
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
