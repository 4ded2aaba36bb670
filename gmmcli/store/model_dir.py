"""Opens, lists and loads model directories. Never writes, and never waits for a writer."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from gmmcli.errors import (
    CheckpointCorrupt,
    FormatUnknown,
    ModelDirBusy,
    NotFound,
    PermissionRefused,
    ReadWriteFailed,
    reporting,
)
from gmmcli.remedies import AnyOf, OrElse, ReadCheckpoint, Rollback, StartAnew, quoted
from gmmcli.store import run_log, user_block
from gmmcli.store.checkpoint import Checkpoint, Provenance, decode
from gmmcli.store.directory import (
    CANDIDATES,
    CHECKPOINTS,
    MAX_GENERATION,
    OTHER_NAME,
    Folder,
    checkpoint_name,
    find_set_aside,
)
from gmmcli.store.layout import Damage
from gmmcli.store.run_log import Last

# A checkpoint is read whole into memory; 4 GiB is about 680 full components of 512 features.
MAX_FILE_BYTES = 1 << 32
# Retention may remove a checkpoint after it was listed, but not this many times in a row.
_ATTEMPTS = 10
_MAX_NAMED = 10


@dataclass(frozen=True)
class Listing:
    """A checkpoint file, listed but not read."""

    generation: int
    size_bytes: int


@dataclass(frozen=True, eq=False)
class Stored:
    """A checkpoint with the file that it was read from.

    Parameters
    ----------
    checkpoint : Checkpoint
    generation : int
    sha256 : str
        Of the whole file.
    size_bytes : int
    identity : tuple of int
        Inode and time of modification. They show whether the file has changed since.
    """

    checkpoint: Checkpoint
    generation: int
    sha256: str
    size_bytes: int
    identity: tuple[int, int] = (0, 0)

    @property
    def provenance(self) -> Provenance:
        """The provenance of the checkpoint: one that was read from a file has it."""
        if self.checkpoint.provenance is None:
            raise RuntimeError("a stored checkpoint has a provenance")
        return self.checkpoint.provenance


@dataclass(frozen=True)
class ModelDir:
    """A model directory to read from.

    Parameters
    ----------
    path : Path
        Opened by each method, not before.
    """

    path: Path

    def list(self) -> Sequence[Listing]:
        """Return every checkpoint file, damaged or not, ascending.

        Raises
        ------
        NotFound
            The directory is missing or never had a checkpoint.
        CheckpointCorrupt
            All of its checkpoints are gone.
        PermissionRefused
        ReadWriteFailed
        """
        with open_to_read(self.path) as (root, checkpoints):
            listings = []
            for generation in require_generations(root, checkpoints):
                with contextlib.suppress(FileNotFoundError):
                    size_bytes = checkpoints.stat(checkpoint_name(generation)).st_size
                    listings.append(Listing(generation, size_bytes))
            return listings

    def load(self, generation: int | None = None, known: Stored | None = None) -> Stored:
        """Return the newest checkpoint, or that of a generation. If its file has not changed, return `known`.

        Raises
        ------
        NotFound
            The directory is missing or has no such checkpoint.
        CheckpointCorrupt
            The checkpoint is damaged or gone. The message names the newest good one and how to use it; this
            function never falls back to it by itself.
        FormatUnknown
            A newer version wrote it.
        PermissionRefused
        ReadWriteFailed
        """
        with open_to_read(self.path) as (root, checkpoints):
            if generation is None:
                number = find_known(root, checkpoints).left  # first, since a writer may publish meanwhile
                newest = load_newest(checkpoints, known)
                left = 0 if newest is None else newest.generation
                if left < number and left < (number := find_known(root, checkpoints).left):
                    refuse_loss(self.path, number, newest)
                if newest is None:
                    raise _not_found(self.path, "holds no checkpoint")
                return newest
            generations = require_generations(root, checkpoints)
            if generation not in generations:
                held = ", ".join(map(str, generations[-_MAX_NAMED:]))
                more = "..., " if len(generations) > _MAX_NAMED else ""
                noun = "checkpoint" if len(generations) == 1 else "checkpoints"
                raise NotFound(str(self.path), f"no checkpoint {generation}; it holds {noun} {more}{held}")
            try:
                return load_generation(checkpoints, generation, known)
            except FormatUnknown:
                raise
            except CheckpointCorrupt as damage:
                raise _with_way_out(checkpoints, damage, generation) from damage

    def iter_log(self) -> Iterator[dict[str, Any]]:
        """Yield the events of log.jsonl, oldest first. Incomplete lines and lines without event are skipped.

        Raises
        ------
        NotFound
            The directory is missing.
        CheckpointCorrupt
            The log is not a regular file.
        PermissionRefused
        ReadWriteFailed
        """
        with open_to_read(self.path) as (root, _):
            yield from filter(None, run_log.iter_events(root))


@contextlib.contextmanager
def open_to_read(path: Path) -> Iterator[tuple[Folder, Folder]]:
    """Open a model directory; yield it and its folder of checkpoints.

    Raises
    ------
    NotFound
        The directory is missing, is not a directory, or never had a folder of checkpoints.
    CheckpointCorrupt
        The folder of checkpoints is gone.
    PermissionRefused
    ReadWriteFailed
    """
    with reporting(path), contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(Folder.opened(path))
            if CHECKPOINTS not in root.names() and (number := find_known(root).left):
                refuse_loss(path, number, None)
            checkpoints = stack.enter_context(root.inner(CHECKPOINTS))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _no_model(path) from error
        yield root, checkpoints


def find_known(root: Folder, checkpoints: Folder | None = None) -> Last:
    """Return the last checkpoint that the log and latest.h5 name, whether its file exists or not.

    A log also says whether a rollback gave a checkpoint up. Without a log, a file that was set aside counts
    as well.
    """
    logged, latest = run_log.find_last(root), root.latest_number()
    aside = () if checkpoints is None or logged.number else map(find_set_aside, checkpoints.names())
    # A recorded number of MAX_GENERATION must be wrong. It is ignored, since it would leave no next one.
    number = max((n for n in (logged.number, latest) if n < MAX_GENERATION), default=0)
    return Last(number, max(logged.left, latest, *filter(None, aside)))


def require_generations(root: Folder, checkpoints: Folder) -> Sequence[int]:
    """Return the generations that have a file, ascending; raise if there is none.

    Raises
    ------
    NotFound
        There never was a checkpoint.
    CheckpointCorrupt
        All checkpoints are gone.
    """
    generations = checkpoints.generations()
    if generations:
        return generations
    if number := find_known(root, checkpoints).left:
        refuse_loss(root.path, number, None)
    raise _not_found(root.path, "holds no checkpoint")


def load_generation(checkpoints: Folder, generation: int, known: Stored | None = None) -> Stored:
    """Read one checkpoint. If its file has not changed, return `known`.

    Raises
    ------
    CheckpointCorrupt
        The file is damaged, too large, or that of another generation.
    FormatUnknown
    NotFound
    PermissionRefused
    ReadWriteFailed
    """
    subject = str(checkpoints.path / checkpoint_name(generation))
    with open_checkpoint(checkpoints, generation) as (file, size_bytes):
        if size_bytes > MAX_FILE_BYTES:
            raise CheckpointCorrupt(subject, f"{size_bytes} bytes; at most {MAX_FILE_BYTES} are read")
        status = os.fstat(file.fileno())
        identity = (status.st_ino, status.st_mtime_ns)
        if known is not None and (known.generation, known.identity) == (generation, identity):
            return known
        file.seek(0)
        data = file.read(size_bytes)
    checkpoint = decode(data, subject)
    if checkpoint.provenance is None or checkpoint.provenance.generation != generation:
        raise CheckpointCorrupt(subject, "holds another checkpoint than its name says")
    return Stored(checkpoint, generation, hashlib.sha256(data).hexdigest(), len(data), identity)


@contextlib.contextmanager
def open_checkpoint(checkpoints: Folder, generation: int) -> Iterator[tuple[BufferedReader, int]]:
    """Open the file of a checkpoint and check its user block; yield the file and its size.

    Raises
    ------
    CheckpointCorrupt
        Magic, zeros or length are wrong. The rest is not read.
    NotFound
    PermissionRefused
    ReadWriteFailed
    """
    name = checkpoint_name(generation)
    with checkpoints.opened_file(name) as (file, size_bytes):
        try:
            user_block.check_head(file.read(user_block.SIZE), size_bytes)
        except Damage as damage:
            raise CheckpointCorrupt(str(checkpoints.path / name), str(damage)) from damage
        yield file, size_bytes


def load_newest(checkpoints: Folder, known: Stored | None = None) -> Stored | None:
    """Read the newest checkpoint; return None if there is none.

    Raises
    ------
    CheckpointCorrupt
        Names the newest good checkpoint.
    FormatUnknown
    ModelDirBusy
        Checkpoints were removed faster than they could be read.
    PermissionRefused
    ReadWriteFailed
    """
    for _ in range(_ATTEMPTS):
        generations = checkpoints.generations()
        if not generations:
            return None
        try:
            return load_generation(checkpoints, generations[-1], known)
        except NotFound:
            continue
        except FormatUnknown:
            raise
        except CheckpointCorrupt as damage:
            raise _with_way_out(checkpoints, damage, generations[-1]) from damage
    fact = f"the newest checkpoint vanished {_ATTEMPTS} times before it could be read"
    raise ModelDirBusy(str(checkpoints.path.parent), fact)


def find_good(checkpoints: Folder) -> tuple[Stored | None, Sequence[int]]:
    """Return the newest good checkpoint, and the damaged generations after it, newest first.

    Raises
    ------
    FormatUnknown
        A newer version wrote one of them.
    """
    damaged: list[int] = []
    for generation in reversed(checkpoints.generations()):
        try:
            return load_generation(checkpoints, generation), damaged
        except FormatUnknown:
            raise
        except (CheckpointCorrupt, ReadWriteFailed):
            damaged.append(generation)
    return None, damaged


def hash_newest(checkpoints: Folder) -> str:
    """Return the SHA-256 of the newest file, damaged or not; "" if there is none or it cannot be read."""
    for name in map(checkpoint_name, checkpoints.generations()[-1:]):
        with (
            contextlib.suppress(CheckpointCorrupt, NotFound, ReadWriteFailed),
            checkpoints.opened_file(name) as (file, _),
        ):
            return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def refuse_loss(path: Path, number: int, left: Stored | None) -> NoReturn:
    """Raise `CheckpointCorrupt`: the newest checkpoint is gone, and `left` is the newest one that remains."""
    if left is None:
        fact = f"newest checkpoint {number} is missing, and no other checkpoint is left"
        raise CheckpointCorrupt(str(path), fact, OrElse("restore a checkpoint", StartAnew(str(path))))
    fact = f"newest checkpoint {number} is missing; the newest one left is {left.generation}"
    ways = AnyOf((rollback_to(path, left), ReadCheckpoint(left.generation)))
    raise CheckpointCorrupt(str(path), fact, OrElse("restore the file", ways))


def rollback_to(path: Path, stored: Stored) -> Rollback:
    """Return the remedy that continues from a checkpoint, with the tables that it was fitted to.

    It names none that a shell cannot open again (stdin, a table of Python), and none after a partial fit:
    the checkpoint knows only the last of its tables.
    """
    checkpoint = stored.checkpoint
    operands = checkpoint.operands
    can_name = not checkpoint.memory.approximate and all(one.size_bytes >= 0 for one in operands)
    return Rollback(str(path), tuple(one.name for one in operands) if can_name else ())


def _not_found(path: Path, fact: str) -> NotFound:
    """Return the error for a directory without a model, with the command that fits one."""
    if (path / CANDIDATES).is_dir():
        return NotFound(str(path), "the model is not chosen yet", "run the same fit again")
    return NotFound(str(path), fact, f"gmmcli fit -m {quoted(str(path))} -k 3 TABLE")


def _with_way_out(checkpoints: Folder, damage: CheckpointCorrupt, generation: int) -> CheckpointCorrupt:
    """Return the error of a damaged checkpoint, with the newest good checkpoint and how to use it."""
    others = [other for other in reversed(checkpoints.generations()) if other != generation]
    model_dir = str(checkpoints.path.parent)
    for good in others:
        with contextlib.suppress(CheckpointCorrupt, NotFound, PermissionRefused, ReadWriteFailed):
            stored = load_generation(checkpoints, good)
            break
    else:
        fact = f"{damage.fact}; no other checkpoint is good"
        return CheckpointCorrupt(damage.subject, fact, StartAnew(model_dir))
    fact = f"{damage.fact}; the newest good one is checkpoint {good}"
    to_read = ReadCheckpoint(good)
    is_newest = generation > others[0]
    hint = AnyOf((rollback_to(checkpoints.path.parent, stored), to_read)) if is_newest else to_read
    return CheckpointCorrupt(damage.subject, fact, hint)


def _no_model(path: Path) -> NotFound:
    """Return the error for a path without a model; the hint is to fit only if a fit could make one there."""
    if path.exists() and not path.is_dir():
        return NotFound(str(path), "not a directory", OTHER_NAME)
    with contextlib.suppress(OSError), Folder.opened(path) as root:
        for stranger in root.strangers()[:1]:
            return NotFound(str(path), f'not a model directory: it holds "{stranger}"', OTHER_NAME)
    return _not_found(path, "holds no model" if path.exists() else "no such model directory")
