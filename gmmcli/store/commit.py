"""The right to write to a model directory: the only code that publishes checkpoints.

Publishing is: the whole file built in memory, read back, placed under the next number; then latest.h5, the
log, and only then retention. A crash at any moment leaves the generations before it as they were.
"""

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

from gmmcli.errors import (
    CheckpointCorrupt,
    FormatUnknown,
    GmmError,
    ModelDirBusy,
    NotFound,
    ReadWriteFailed,
    reporting,
)
from gmmcli.remedies import StartAnew
from gmmcli.store import creation, event_file, lock, retention, run_log
from gmmcli.store.checkpoint import Checkpoint, Provenance, decode, encode
from gmmcli.store.directory import CHECKPOINTS, LATEST, MAX_GENERATION, Folder, checkpoint_name
from gmmcli.store.event_file import EventFile
from gmmcli.store.generation import after_link, number_after, place, set_aside
from gmmcli.store.model_dir import Stored, load_generation, load_newest, lost, open_checkpoint, refuse_loss
from gmmcli.store.run_log import GivenUp


class Writer:
    """The right to write to a model directory, held from `with` to the end of the block.

    Entering makes what is missing, takes the lock, and clears what a crash left behind.

    Parameters
    ----------
    path : Path
        The directory itself may be a link; nothing inside it is followed.
    keep : int
        How many of the newest checkpoints stay; 0 keeps all. May be set later.
    keep_every : int, optional
        Generations divisible by it stay for ever. May be set later.
    versions : mapping of str to str
    blas_kernel : str
        What the provenance says of the program that computed.
    source_date_epoch : int, optional
        Seconds since 1970 to record as `created`; the clock without it.
    has_curves : bool
        Write an event file as well, where the extra that does so is installed.

    Attributes
    ----------
    best : int or None
        A generation that stays as long as this says so.
    warnings : list of str
        What did not work and does not endanger a checkpoint.
    given_up : sequence of GivenUp
        What `rollback` gave up.

    Raises
    ------
    CannotCreate
        The directory cannot be made, or holds something else already.
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
        self._source_date_epoch = source_date_epoch
        self._has_curves = has_curves and event_file.is_available()
        self._event_file: EventFile | None = None
        self._stack = contextlib.ExitStack()
        self._root = self._checkpoints = Folder(-1, path)
        self._number = self._lost = 0  # highest given out; that of the newest checkpoint where that is gone
        self._parent: Stored | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack, reporting(self.path):
            is_untouched, missing = creation.is_untouched(self.path), creation.missing_folders(self.path)
            can_sync = creation.make(self.path)
            held = self._open(stack)
            if is_untouched:
                stack.callback(self._forget_if_empty, missing)
            if self._has_curves:
                self._event_file = EventFile(self._root)
                stack.callback(self._close_event_file)
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
        # Nothing was written through these descriptors: an error of closing them loses nothing.
        with contextlib.suppress(OSError):
            self._stack.close()

    def _open(self, stack: contextlib.ExitStack) -> bool:
        """Open and lock the folders; return False where the file system has no locks.

        Raises
        ------
        ModelDirBusy
            Taken; or removed meanwhile by another run, which had made them and published nothing.
        """
        try:
            self._root = stack.enter_context(Folder.opened(self.path))
            self._checkpoints = stack.enter_context(self._root.inner(CHECKPOINTS))
            descriptor, held = lock.take(self._root, _timestamp(time.time()))
            stack.callback(os.close, descriptor)
            found = (self.path.stat(), self._root.stat(CHECKPOINTS))
            held_open = (self._root.descriptor, self._checkpoints.descriptor)
            is_there = all(map(os.path.samestat, found, map(os.fstat, held_open)))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise ModelDirBusy(str(self.path), "removed by another run, which published nothing", "try again")
        return held

    def _take_stock(self) -> None:
        """Find the highest number given out, and whether the newest checkpoint is gone without a rollback."""
        logged, latest = run_log.find_last(self._root), self._root.latest_number()
        there, self._lost = self._checkpoints.newest_number(), lost(self._root, self._checkpoints)
        # A number that leaves none to give out is wrong, which need not be the end of the directory.
        self._number = max(there, *(n for n in (logged.number, latest) if n < MAX_GENERATION))
        if not self._lost:  # or latest.h5 is a witness
            self._point_latest()

    def _forget_if_empty(self, made: Sequence[Path]) -> None:
        """Leave nothing of what was made for a run that published nothing."""
        if self._parent is None:
            creation.unmake(self._root, made)

    def latest(self) -> Stored | None:
        """Return the newest checkpoint, to be continued; None where there is none yet.

        Raises
        ------
        CheckpointCorrupt
            It is damaged, or gone; names the newest good one. Never falls back by itself.
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
        """Give up the checkpoints after the newest good one; return that, to be continued.

        Damaged files are set aside as `.bad`; the log says what was given up.

        Raises
        ------
        CheckpointCorrupt
            None is good, and nothing has been renamed.
        CannotCreate
            No number is left, or something is in the way of a `.bad`; nothing has been renamed.
        FormatUnknown
            The newest was written by a newer version: it is not damaged.
        PermissionRefused
        ReadWriteFailed
        """
        with reporting(self.path):
            good, damaged = self._find_good()
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
        """Set damaged checkpoints aside, and log all that is given up after a good one."""
        self.given_up = run_log.find_given_up(self._root, damaged, good)
        set_aside(self._checkpoints, damaged)
        lost = [asdict(one) for one in self.given_up]
        self.log({"event": "rollback", "checkpoint": good, "number": self._number, "given_up": lost})
        self._point_latest()

    def publish(self, checkpoint: Checkpoint, *, fresh: bool = False) -> Stored:
        """Make a checkpoint the next generation; return it as it is on disk.

        It continues what `latest` or `rollback` returned, or what was published before.

        Parameters
        ----------
        checkpoint : Checkpoint
            Its provenance is filled in here.
        fresh : bool
            Start a new lineage, whatever the directory holds, damaged or not.

        Raises
        ------
        ModelDirBusy
            Another writer was first: nothing was written.
        CannotCreate
            The file system has no hard links.
        ReadWriteFailed
            Where it says "may have been written", the checkpoint has its name already.
        PermissionRefused
        CheckpointCorrupt
            What is to be continued is damaged, or `checkpoint` does not read back.
        TableUnusable
            A column's name cannot be stored.
        """
        if self._parent is None and not fresh:
            self.latest()
        number = number_after(self._checkpoints, self._number)
        with reporting(self.path):
            provenance = self._provenance(number, fresh)
        data = encode(replace(checkpoint, provenance=provenance))
        # Read back before it takes its name: what cannot be read must not be acknowledged.
        whole = decode(data, str(self._checkpoints.path / checkpoint_name(number)))
        stored = Stored(whole, number, hashlib.sha256(data).hexdigest(), len(data))
        if not place(self._checkpoints, number, data, stored.sha256):
            self._warn(f"{self.path}: the file system cannot sync a folder")
        self._number, self._parent, self._lost = number, stored, 0
        with after_link(self._checkpoints, number):
            self._point_latest()
            os.utime(self._root.descriptor)  # for make, also where latest.h5 cannot be brought up to date
            self.log(_describe(stored))
            self._remove_doomed()
        return stored

    def touch_newest(self) -> None:
        """Set the times of the newest file and of the directory: make sees that there was nothing to do.

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
        """Append one line to log.jsonl, `time` first.

        Raises
        ------
        ValueError
            The event holds NaN, an infinity or what JSON cannot say.
        PermissionRefused
        ReadWriteFailed
        """
        with reporting(self.path):
            now = self._now()
            run_log.append(self._root, {"time": _timestamp(now), **event})
        if self._event_file is not None:
            try:
                self._event_file.add(event, now)
            # Of the library, or of the system: neither has a bearing on the model.
            except (Exception, SystemExit) as error:
                self._close_event_file()
                self._warn(f"no event file: {[*str(error).splitlines(), type(error).__name__][0]}")

    def _close_event_file(self) -> None:
        """Close it; nothing that counts is lost with what could not be written."""
        event_file, self._event_file = self._event_file, None
        if event_file is not None:
            with contextlib.suppress(Exception):
                event_file.close()

    def _find_good(self) -> tuple[Stored | None, list[int]]:
        """Return the newest good checkpoint, and the damaged generations after it."""
        damaged: list[int] = []
        for generation in reversed(self._checkpoints.generations()):
            try:
                return load_generation(self._checkpoints, generation), damaged
            except FormatUnknown:
                raise
            except (CheckpointCorrupt, ReadWriteFailed):
                damaged.append(generation)
        return None, damaged

    def _provenance(self, number: int, fresh: bool) -> Provenance:
        """Return where the next checkpoint comes from."""
        continued = None if self._parent is None else self._parent.checkpoint.provenance
        return Provenance(
            generation=number,
            parent_sha256=self._parent.sha256 if self._parent else self._unread_sha256(),
            lineage=uuid.uuid4().hex if fresh or continued is None else continued.lineage,
            created=_timestamp(self._now()),
            versions=self._versions,
            blas_kernel=self._blas_kernel,
        )

    def _unread_sha256(self) -> str:
        """Return the digest of the newest file, good or damaged; empty where there is none to read."""
        for name in map(checkpoint_name, self._checkpoints.generations()[-1:]):
            with (
                contextlib.suppress(CheckpointCorrupt, NotFound, ReadWriteFailed),
                self._checkpoints.opened_file(name) as (file, _),
            ):
                return hashlib.file_digest(file, "sha256").hexdigest()
        return ""

    def _point_latest(self) -> None:
        """Make latest.h5 name the newest checkpoint. People need it; gmmcli reads it as a witness only."""
        try:
            for generation in self._checkpoints.generations()[-1:]:
                self._root.name_latest(generation)
        except OSError as error:
            self._warn(f"{self.path / LATEST}: not brought up to date: {error.strerror}")

    def _remove_doomed(self) -> None:
        """Remove what retention does not keep."""
        generations = self._checkpoints.generations()
        damaged = set(generations)
        for generation in generations:  # by user block and size: reading all at every publish costs
            with contextlib.suppress(GmmError), open_checkpoint(self._checkpoints, generation):
                damaged.remove(generation)
        doomed = retention.choose_doomed(
            generations, damaged, keep=self.keep, keep_every=self.keep_every, best=self.best
        )
        for name in map(checkpoint_name, doomed):
            try:
                os.unlink(name, dir_fd=self._checkpoints.descriptor)
            except OSError as error:
                self._warn(f"{self._checkpoints.path / name}: not removed: {error.strerror}")

    def _now(self) -> float:
        """Return the time to record, in seconds since 1970."""
        return time.time() if self._source_date_epoch is None else self._source_date_epoch

    def _warn(self, text: str) -> None:
        """Note once what did not work."""
        if text not in self.warnings:
            self.warnings.append(text)


def _timestamp(seconds: float) -> str:
    """Return a time as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _describe(stored: Stored) -> dict[str, object]:
    """Return the log's line about a published checkpoint."""
    checkpoint = stored.checkpoint
    return {
        "event": "checkpoint",
        "checkpoint": stored.generation,
        "sha256": stored.sha256,
        "bytes": stored.size_bytes,
        "lineage": checkpoint.provenance.lineage if checkpoint.provenance else "",
        "global_step": checkpoint.global_step,
        "converged": checkpoint.converged,
        "mean_log_likelihood": checkpoint.mean_log_likelihood,
        "rows": checkpoint.statistics.rows,
        "total_weight": checkpoint.statistics.total_weight,
    }
