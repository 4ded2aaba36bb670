"""The right to write to a model directory. Only this code publishes checkpoints.

To publish a checkpoint, the writer builds the whole file in memory, reads it back, and links it to the next
generation's name. Then it updates latest.h5 and the log, and applies retention last. A crash at any moment
leaves the earlier generations unchanged.
"""

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from gmmcli.errors import CheckpointCorrupt, ModelDirBusy, reporting
from gmmcli.remedies import StartAnew
from gmmcli.store import creation, event_file, lock, retention, run_log
from gmmcli.store.candidates import Candidates
from gmmcli.store.checkpoint import Checkpoint, Provenance, decode, encode
from gmmcli.store.directory import CANDIDATES, CHECKPOINTS, LATEST, Folder, checkpoint_name
from gmmcli.store.event_file import EventFile
from gmmcli.store.generation import after_link, number_after, place, set_aside
from gmmcli.store.model_dir import Stored, find_good, find_known, hash_newest, load_newest, refuse_loss
from gmmcli.store.run_log import GivenUp


class Writer:
    """The right to write to a model directory, from the beginning to the end of a `with` block.

    `with` makes missing folders, takes the lock, and removes the leftovers of a crash.

    Parameters
    ----------
    path : Path
        The directory may be a link. Links inside it are not followed.
    keep : int
        Number of newest checkpoints that stay; 0 keeps all. May be set later.
    keep_every : int, optional
        Generations divisible by it stay. May be set later.
    versions : mapping of str to str
    blas_kernel : str
        With `versions`: the provenance's description of the program.
    source_date_epoch : int, optional
        Seconds since 1970 to record as `created`. Default: the clock.
    has_curves : bool
        Write an event file too, if the extra for it is installed.

    Attributes
    ----------
    best : int or None
        A generation that stays while it is set here.
    warnings : list of str
        Problems that do not endanger a checkpoint.
    given_up : sequence of GivenUp
        The checkpoints that `rollback` gave up.

    Raises
    ------
    CannotCreate
        The directory cannot be made, or holds something that is not gmmcli's.
    ModelDirBusy
        Another process holds the lock.
    PermissionRefused
    ReadWriteFailed
    """

    def __init__(
        self,
        path: Path,
        *,
        keep: int = 5,
        keep_every: int | None = None,
        versions: Mapping[str, str] | None = None,
        blas_kernel: str = "",
        source_date_epoch: int | None = None,
        has_curves: bool = False,
    ) -> None:
        self.path = path
        self.keep = keep
        self.keep_every = keep_every
        self.best: int | None = None
        self.warnings: list[str] = []
        self.given_up: Sequence[GivenUp] = ()
        self._versions = dict(versions or {})
        self._blas_kernel = blas_kernel
        # The time to record, in seconds since 1970.
        self._now: Callable[[], float] = time.time if source_date_epoch is None else lambda: source_date_epoch
        self._has_curves = has_curves and event_file.is_available()
        self._event_file: EventFile | None = None
        self._stack = contextlib.ExitStack()
        self._root = self._checkpoints = Folder(-1, path)
        # The highest number given out, and the number of the newest checkpoint if its file is gone.
        self._number = self._lost = 0
        self._parent: Stored | None = None

    @cached_property
    def candidates(self) -> Candidates:
        """The candidates of a sweep in this directory."""
        return Candidates(self._root, self._provenance)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack, reporting(self.path):
            is_untouched, missing = creation.is_untouched(self.path), creation.missing_folders(self.path)
            can_sync = creation.make(self.path)
            held = self._open(stack)
            if is_untouched:
                stack.callback(self._forget_if_empty, missing)
            if self._has_curves:
                self._event_file = EventFile(self._root)
                stack.callback(self._event_file.close)
            if not can_sync:
                self._warn(f"{self.path}: the file system cannot sync a folder")
            if held:
                self._root.clear_temporaries()
                self._checkpoints.clear_temporaries()
                run_log.mend(self._root)
            else:
                self._warn(f"{self.path}: the file system has no locks")
            self._take_stock()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing was written through these descriptors, so an error of closing them loses nothing.
        with contextlib.suppress(OSError):
            self._stack.close()

    def _open(self, stack: contextlib.ExitStack) -> bool:
        """Open the folders and take the lock; return False if the file system has no locks.

        Raises
        ------
        ModelDirBusy
            Another process holds the lock, or has removed the folders: it made them and published nothing.
        """
        try:
            self._root = stack.enter_context(Folder.opened(self.path))
            self._checkpoints = stack.enter_context(self._root.inner(CHECKPOINTS))
            descriptor, held = lock.take(self._root, run_log.timestamp(time.time()))
            stack.callback(os.close, descriptor)
            found = (self.path.stat(), self._root.stat(CHECKPOINTS))
            held_open = (self._root.descriptor, self._checkpoints.descriptor)
            is_there = all(map(os.path.samestat, found, map(os.fstat, held_open)))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise ModelDirBusy(str(self.path), "another run removed the directory, which was still empty")
        return held

    def _take_stock(self) -> None:
        """Find the highest number given out, and whether the newest checkpoint is gone without a rollback."""
        known = find_known(self._root, self._checkpoints)
        self._number = max(self._checkpoints.newest_number(), known.number)
        self._lost = known.left if max(self._checkpoints.generations(), default=0) < known.left else 0
        if not self._lost:  # otherwise latest.h5 is evidence of the loss
            self._point_latest()

    def _forget_if_empty(self, made: Sequence[Path]) -> None:
        """Remove what a run made that published nothing."""
        if self._parent is None and CANDIDATES not in self._root.names():
            creation.unmake(self._root, made)

    def latest(self) -> Stored | None:
        """Return the newest checkpoint, to be continued; None if there is none yet.

        Raises
        ------
        CheckpointCorrupt
            The newest checkpoint is damaged or gone. The message names the newest good one; the writer never
            falls back to it by itself.
        FormatUnknown
        PermissionRefused
        ReadWriteFailed
        """
        with reporting(self.path):
            newest = load_newest(self._checkpoints)
        if self._lost:
            refuse_loss(self.path, self._lost, newest)
        self._parent = newest
        return newest

    def rollback(self) -> Stored | None:
        """Give up the checkpoints after the newest good one; return the good one, to be continued.

        Damaged files are renamed to `.bad`, and the log records the checkpoints that were given up.

        Raises
        ------
        CheckpointCorrupt
            No checkpoint is good. Nothing has been renamed.
        CannotCreate
            No number is left, or something has the name of a `.bad` file. Nothing has been renamed.
        FormatUnknown
            A newer version wrote the newest checkpoint: it is not damaged.
        PermissionRefused
        ReadWriteFailed
        """
        with reporting(self.path):
            good, damaged = find_good(self._checkpoints)
            if good is None and damaged:
                fact, model_dir = f"none of its {len(damaged)} checkpoints is good", str(self.path)
                raise CheckpointCorrupt(model_dir, fact, StartAnew(model_dir))
            if good is None and self._lost:
                refuse_loss(self.path, self._lost, None)
            if good is not None and (damaged or self._lost):
                number_after(self._checkpoints, self._number)  # before anything is renamed
                self._give_up(damaged, good.generation)
        self._parent, self._lost = good, 0
        return good

    def _give_up(self, damaged: Sequence[int], good: int) -> None:
        """Rename damaged files, and log the checkpoints after the good one as given up."""
        self.given_up = run_log.find_given_up(self._root, damaged, good)
        set_aside(self._checkpoints, damaged)
        lost = [asdict(one) for one in self.given_up]
        self.log({"event": "rollback", "checkpoint": good, "number": self._number, "given_up": lost})
        self._point_latest()

    def publish(self, checkpoint: Checkpoint, *, fresh: bool = False) -> Stored:
        """Publish a checkpoint as the next generation; return it as it was read back.

        Its parent is the checkpoint that `latest` or `rollback` returned, or that was published last.

        Parameters
        ----------
        checkpoint : Checkpoint
            Without provenance, which is filled in here.
        fresh : bool
            Start a new lineage, even if the directory holds checkpoints, damaged or not.

        Raises
        ------
        ModelDirBusy
            Another writer published this generation: nothing was written.
        CannotCreate
            The file system has no hard links.
        ReadWriteFailed
            If the message says "may have been written", the checkpoint has its name already.
        PermissionRefused
        CheckpointCorrupt
            The checkpoint to continue is damaged, or `checkpoint` cannot be read back.
        TableUnusable
            A column's name cannot be stored.
        """
        if self._parent is None and not fresh:
            self.latest()
        number = number_after(self._checkpoints, self._number)
        with reporting(self.path):
            parent = self._parent
            parent_sha256 = hash_newest(self._checkpoints) if parent is None else parent.sha256
            lineage = None if fresh or parent is None else parent.provenance.lineage
            provenance = self._provenance(number, parent_sha256, lineage)
        data = encode(replace(checkpoint, provenance=provenance))
        # Read back before it gets its name: an unreadable checkpoint must never be acknowledged.
        whole = decode(data, str(self._checkpoints.path / checkpoint_name(number)))
        stored = Stored(whole, number, hashlib.sha256(data).hexdigest(), len(data))
        if not place(self._checkpoints, number, data, stored.sha256):
            self._warn(f"{self.path}: the file system cannot sync a folder")
        self._number, self._parent, self._lost = number, stored, 0
        with after_link(self._checkpoints, number):
            self._point_latest()
            os.utime(self._root.descriptor)  # make compares this time, even if latest.h5 cannot be updated
            self.log(_describe(stored))
            for failure in retention.remove_doomed(
                self._checkpoints, keep=self.keep, keep_every=self.keep_every, best=self.best
            ):
                self._warn(failure)
        return stored

    def touch_newest(self) -> None:
        """Set the times of the newest file and of the directory, so that make sees them as up to date.

        Raises
        ------
        PermissionRefused
        ReadWriteFailed
        """
        with reporting(self.path):
            for name in map(checkpoint_name, self._checkpoints.generations()[-1:]):
                os.utime(name, dir_fd=self._checkpoints.descriptor, follow_symlinks=False)
            os.utime(self._root.descriptor)

    def log(self, event: Mapping[str, object]) -> None:
        """Append one line to log.jsonl, with `time` first, and its point to the event file.

        Raises
        ------
        ValueError
            The event holds NaN, an infinity or a value that JSON does not have.
        PermissionRefused
        ReadWriteFailed
        """
        with reporting(self.path):
            now = self._now()
            run_log.append(self._root, {"time": run_log.timestamp(now), **event})
        failure = None if self._event_file is None else self._event_file.add(event, now)
        if failure is not None:
            self._event_file = None
            self._warn(f"no event file: {failure}")

    def _provenance(self, number: int, parent_sha256: str = "", lineage: str | None = None) -> Provenance:
        """Return the provenance of the next checkpoint, in a new lineage unless one is given."""
        return Provenance(
            generation=number,
            parent_sha256=parent_sha256,
            lineage=lineage or uuid.uuid4().hex,
            created=run_log.timestamp(self._now()),
            versions=self._versions,
            blas_kernel=self._blas_kernel,
        )

    def _point_latest(self) -> None:
        """Point latest.h5, which is for people, to the newest checkpoint. gmmcli detects losses by it."""
        try:
            for generation in self._checkpoints.generations()[-1:]:
                self._root.name_latest(generation)
        except OSError as error:
            self._warn(f"{self.path / LATEST}: not brought up to date: {error.strerror}")

    def _warn(self, text: str) -> None:
        """Add a warning, each text once."""
        if text not in self.warnings:
            self.warnings.append(text)


def _describe(stored: Stored) -> dict[str, object]:
    """Return the log's event of a published checkpoint."""
    checkpoint = stored.checkpoint
    return {
        "event": "checkpoint",
        "checkpoint": stored.generation,
        "sha256": stored.sha256,
        "bytes": stored.size_bytes,
        "lineage": stored.provenance.lineage,
        "global_step": checkpoint.global_step,
        "converged": checkpoint.converged,
        "mean_log_likelihood": checkpoint.fitness.mean_log_likelihood,
        "rows": checkpoint.statistics.rows,
        "total_weight": checkpoint.statistics.total_weight,
    }
