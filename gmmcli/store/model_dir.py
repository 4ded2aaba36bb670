"""Open, list and load a model directory. Never writes, never waits for a writer."""

import contextlib
import hashlib
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from gmmcli.store import directory, run_log, user_block
from gmmcli.store.checkpoint import Checkpoint, decode
from gmmcli.store.layout import Damage

# Retention may remove what was just listed; that often in a row it does not.
_ATTEMPTS = 10
_MAX_NAMED = 10


@dataclass(frozen=True)
class Listing:
    """One checkpoint file as its folder shows it, unread."""

    generation: int
    name: str
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
    """

    checkpoint: Checkpoint
    generation: int
    sha256: str
    size_bytes: int


class ModelDir:
    """A model directory to read from.

    Parameters
    ----------
    path : Path
        Nothing is opened until it is needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self) -> Sequence[Listing]:
        """Return every checkpoint file, damaged or not, ascending.

        Raises
        ------
        NotFound
            The directory is missing or holds no checkpoint.
        PermissionRefused
        ReadWriteFailed
        """
        with open_to_read(self.path) as (_, checkpoints):
            listings = []
            for generation in require_generations(checkpoints, self.path):
                name = directory.checkpoint_name(generation)
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=checkpoints, follow_symlinks=False)
                    listings.append(Listing(generation, name, status.st_size))
            return listings

    def load(self, generation: int | None = None) -> Stored:
        """Return the newest checkpoint, or the one asked for.

        Raises
        ------
        NotFound
            The directory is missing or has no such checkpoint.
        CheckpointCorrupt
            It is damaged; names the newest good one and how to use it. Never falls back by itself.
        FormatUnknown
            Written by a newer version.
        PermissionRefused
        ReadWriteFailed
        """
        with open_to_read(self.path) as (_, checkpoints):
            generations = require_generations(checkpoints, self.path)
            if generation is None:
                return load_newest(checkpoints, self.path) or _refuse_empty(self.path)
            if generation not in generations:
                held = ", ".join(map(str, generations[-_MAX_NAMED:]))
                more = "..., " if len(generations) > _MAX_NAMED else ""
                raise NotFound(str(self.path), f"no checkpoint {generation}; it holds {more}{held}")
            try:
                return load_generation(checkpoints, self.path, generation)
            except FormatUnknown:
                raise
            except CheckpointCorrupt as damage:
                raise _with_way_out(checkpoints, self.path, damage, generation) from damage

    def read_log(self) -> Sequence[dict[str, Any]]:
        """Return the events of log.jsonl, oldest first; lines that are torn or no events are left out.

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
            return run_log.read(root, str(self.path / directory.LOG))[0]


@contextlib.contextmanager
def open_to_read(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the descriptors of a model directory and of its checkpoints.

    Raises
    ------
    NotFound
        It is missing, is no directory, or has no `checkpoints` of its own.
    PermissionRefused
    ReadWriteFailed
    """
    with reporting(path), contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(directory.opened(path))
            checkpoints = stack.enter_context(directory.opened(directory.CHECKPOINTS, root))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(str(path), "no such model directory", _fit_hint(path)) from error
        yield root, checkpoints


def require_generations(checkpoints: int, path: Path) -> Sequence[int]:
    """Return the generations that have a file, ascending, of which there must be one.

    Raises
    ------
    NotFound
    """
    return directory.list_generations(checkpoints) or _refuse_empty(path)


def load_generation(checkpoints: int, path: Path, generation: int) -> Stored:
    """Read one checkpoint, through the descriptor of its folder.

    Raises
    ------
    CheckpointCorrupt
        It is damaged, or another generation's file under this name.
    FormatUnknown
    NotFound
    PermissionRefused
    ReadWriteFailed
    """
    subject = directory.checkpoint_path(path, generation)
    data = directory.read_file(checkpoints, directory.checkpoint_name(generation), subject)
    checkpoint = decode(data, subject)
    if checkpoint.provenance is None or checkpoint.provenance.generation != generation:
        raise CheckpointCorrupt(subject, "says that it is another checkpoint than its name does")
    return Stored(checkpoint, generation, hashlib.sha256(data).hexdigest(), len(data))


def check_head(checkpoints: int, path: Path, generation: int) -> None:
    """Check the user block of one checkpoint and its file's size: what can be seen without reading it.

    Raises
    ------
    CheckpointCorrupt
    NotFound
    PermissionRefused
    ReadWriteFailed
    """
    subject, name = directory.checkpoint_path(path, generation), directory.checkpoint_name(generation)
    head, size_bytes = directory.read_head(checkpoints, name, subject, user_block.SIZE)
    try:
        user_block.check_head(head, size_bytes)
    except Damage as damage:
        raise CheckpointCorrupt(subject, str(damage)) from damage


def load_newest(checkpoints: int, path: Path) -> Stored | None:
    """Read the newest checkpoint; None where there is none.

    Raises
    ------
    CheckpointCorrupt
        Naming the newest good one.
    FormatUnknown
    ModelDirBusy
        Checkpoints were removed faster than they could be read.
    PermissionRefused
    ReadWriteFailed
    """
    for _ in range(_ATTEMPTS):
        generations = directory.list_generations(checkpoints)
        if not generations:
            return None
        try:
            return load_generation(checkpoints, path, generations[-1])
        except NotFound:
            continue
        except FormatUnknown:
            raise
        except CheckpointCorrupt as damage:
            raise _with_way_out(checkpoints, path, damage, generations[-1]) from damage
    raise ModelDirBusy(str(path), f"the newest checkpoint vanished {_ATTEMPTS} times before it could be read")


def find_newest_good(checkpoints: int, path: Path, generations: Sequence[int]) -> Stored | None:
    """Return the newest of some generations that can be read, or None."""
    for generation in sorted(generations, reverse=True):
        with contextlib.suppress(CheckpointCorrupt, NotFound, PermissionRefused, ReadWriteFailed):
            return load_generation(checkpoints, path, generation)
    return None


def refuse_loss(path: Path, number: int, left: Stored | None) -> NoReturn:
    """Report a directory whose last checkpoint is gone, with the newest that is left."""
    model_dir = shlex.quote(str(path))
    if left is None:
        fact = f"checkpoint {number} was its last, and none is left"
        raise CheckpointCorrupt(str(path), fact, f"restore one, or: gmmcli fit -m {model_dir} --fresh")
    fact = f"checkpoint {number} was its last, and is gone; the newest left is checkpoint {left.generation}"
    raise CheckpointCorrupt(str(path), fact, f"restore it, or: gmmcli fit -m {model_dir} --rollback")


def _refuse_empty(path: Path) -> NoReturn:
    """Report a directory without a checkpoint."""
    with directory.opened(path) as root:
        number = run_log.newest_number(root)
    if number:
        refuse_loss(path, number, None)
    raise NotFound(str(path), "holds no checkpoint", _fit_hint(path))


def _with_way_out(
    checkpoints: int, path: Path, damage: CheckpointCorrupt, generation: int
) -> CheckpointCorrupt:
    """Return the damage of a checkpoint together with what can be used instead."""
    generations = directory.list_generations(checkpoints)
    is_newest = generation == max(generations, default=generation)
    good = find_newest_good(checkpoints, path, [other for other in generations if other != generation])
    model_dir = shlex.quote(str(path))
    if good is None:
        fact = f"{damage.fact}; no other checkpoint is good"
        return CheckpointCorrupt(damage.subject, fact, f"gmmcli fit -m {model_dir} --fresh")
    fact = f"{damage.fact}; the newest good one is checkpoint {good.generation}"
    to_read = f"--checkpoint {good.generation} to read that one"
    hint = f"gmmcli fit -m {model_dir} --rollback, or {to_read}" if is_newest else to_read
    return CheckpointCorrupt(damage.subject, fact, hint)


def _fit_hint(path: Path) -> str:
    """Return how a model directory comes into being."""
    return f"gmmcli fit -m {shlex.quote(str(path))} -k 3 TABLE"
