"""Finds what is wrong with a model directory: damaged, foreign or contradictory files. Changes nothing.

Not findings: leftover temporaries, `.bad` files of a rollback, a stale latest.h5, an incomplete last line of
the log, and names that begin with a dot.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gmmcli.errors import GmmError, NotFound
from gmmcli.remedies import Hint, Rollback, quoted
from gmmcli.store import directory, run_log
from gmmcli.store.directory import CANDIDATES, CHECKPOINTS, EVENTS, LATEST, LOCK, LOG, Folder, checkpoint_name
from gmmcli.store.model_dir import (
    find_known,
    load_generation,
    open_checkpoint,
    open_to_read,
    require_generations,
    rollback_to,
)

Level = Literal["quick", "full"]
_KINDS = {CHECKPOINTS: stat.S_ISDIR, CANDIDATES: stat.S_ISDIR, EVENTS: stat.S_ISDIR, LOCK: stat.S_ISREG}


@dataclass(frozen=True)
class Finding:
    """A fault of a model directory.

    Parameters
    ----------
    file : str
        Path below the model directory.
    text : str
        The fact, with numbers.
    hint : Remedy or str, optional
        What to type.
    """

    file: str
    text: str
    hint: Hint | None = None


def check(path: Path, level: Level) -> list[Finding]:
    """Return all faults of a model directory.

    Parameters
    ----------
    path : Path
    level : {"quick", "full"}
        quick checks names, user blocks, sizes, latest.h5 and the log. full also reads every checkpoint, which
        compares its parts with each other, and compares it with its parent if that is kept.

    Raises
    ------
    NotFound
        The directory is missing or holds no checkpoint.
    PermissionRefused
    ReadWriteFailed
        The directory itself cannot be opened. An error of a file in it is a finding.
    """
    with open_to_read(path) as (root, checkpoints):
        findings = [*_find_strangers(root, checkpoints), *_find_in_latest(root), *_find_in_log(root)]
        # Read before the listing, since a writer may publish in between.
        records = (
            (LOG, run_log.find_last(root).left),
            (LATEST, root.latest_number()),
            (CHECKPOINTS, find_known(root, checkpoints).left),
        )
        generations = require_generations(root, checkpoints)
        for name, number in [record for record in records if record[1] > generations[-1]][:1]:
            text = f"names checkpoint {number}, the newest is {generations[-1]}"
            hint = Rollback(str(path))
            with contextlib.suppress(GmmError):  # a damaged checkpoint is a finding of its own
                hint = rollback_to(path, load_generation(checkpoints, generations[-1]))
            findings.append(Finding(name, text, hint))
        find_damage = _find_in_heads if level == "quick" else _find_in_checkpoints
        return [*findings, *find_damage(checkpoints, generations), *_find_in_candidates(root)]


def _find_strangers(root: Folder, checkpoints: Folder) -> Iterator[Finding]:
    """Find names that are not gmmcli's, and names of gmmcli's for another kind of file."""
    strangers = root.strangers()
    for name in sorted(root.names()):
        if name in strangers:
            yield Finding(name, "is not part of a model directory")
        elif name in _KINDS and not _KINDS[name](root.stat(name).st_mode):
            yield Finding(name, "is a link, or has the wrong file type")
    for name in sorted(checkpoints.names()):
        known = directory.find_generation(name) or directory.find_set_aside(name)
        if not known and not name.startswith("."):
            yield Finding(f"{CHECKPOINTS}/{name}", "is not the name of a checkpoint")


def _find_in_candidates(root: Folder) -> Iterator[Finding]:
    """Find candidates that cannot be read; without such a file, a fit makes the candidate again."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), root.inner(CANDIDATES) as candidates:
        for generation in candidates.generations():
            try:
                load_generation(candidates, generation)
            except NotFound:
                continue  # a fit removed it meanwhile
            except GmmError as error:
                name = checkpoint_name(generation)
                yield Finding(f"{CANDIDATES}/{name}", error.fact, f"rm {quoted(str(candidates.path / name))}")


def _find_in_latest(root: Folder) -> Iterator[Finding]:
    """Find a latest.h5 that does not point to a checkpoint of this directory."""
    try:
        target = os.readlink(LATEST, dir_fd=root.descriptor)
    except FileNotFoundError:
        return
    except OSError:
        yield Finding(LATEST, "is not a symbolic link")
        return
    if not root.latest_number():
        yield Finding(LATEST, f"points to {target}, not to a checkpoint of this directory")


def _find_in_log(root: Folder) -> Iterator[Finding]:
    """Find a log that is not a regular file, and lines that are not events."""
    n_lines, first = 0, 0
    try:
        for number, event in enumerate(run_log.iter_events(root), start=1):
            if event is None:
                n_lines, first = n_lines + 1, first or number
    except GmmError as error:
        yield Finding(LOG, error.fact, error.hint)
    if n_lines:
        lines = "1 line is not an event" if n_lines == 1 else f"{n_lines} lines are not events"
        way_out = directory.way_out(root.path / LOG, root.path)
        yield Finding(LOG, f"{lines}, the first is line {first}", way_out)


def _find_in_heads(checkpoints: Folder, generations: Sequence[int]) -> Iterator[Finding]:
    """Find checkpoints whose user block or size is wrong."""
    for generation in generations:
        try:
            with open_checkpoint(checkpoints, generation):
                pass
        except NotFound:
            continue  # retention removed it meanwhile
        except GmmError as error:
            yield Finding(f"{CHECKPOINTS}/{checkpoint_name(generation)}", error.fact)


def _find_in_checkpoints(checkpoints: Folder, generations: Sequence[int]) -> Iterator[Finding]:
    """Find checkpoints that cannot be read, or that do not continue the checkpoint before them."""
    set_aside = set(map(directory.find_set_aside, checkpoints.names()))
    parent, parent_sha256 = 0, ""
    for generation in generations:
        file = f"{CHECKPOINTS}/{checkpoint_name(generation)}"
        try:
            stored = load_generation(checkpoints, generation)
        except NotFound:
            continue  # retention removed it meanwhile
        except GmmError as error:
            yield Finding(file, error.fact)
            parent = 0
            continue
        follows = parent and all(between in set_aside for between in range(parent + 1, generation))
        if follows and stored.provenance.parent_sha256 != parent_sha256:
            recorded, found = stored.provenance.parent_sha256[:16] or "none", parent_sha256[:16]
            text = f"records parent SHA-256 {recorded}..., but checkpoint {parent} has {found}..."
            yield Finding(file, text)
        parent, parent_sha256 = generation, stored.sha256
