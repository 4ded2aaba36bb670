"""Findings about a model directory: what is damaged, foreign or does not agree. Never changes anything.

Leftover temporaries, files that a rollback has set aside, a stale latest.h5, a torn last line of the log and
names that begin with a dot are not findings.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gmmcli.errors import GmmError, NotFound
from gmmcli.store import agreement, directory, run_log
from gmmcli.store.directory import CHECKPOINTS, EVENTS, LATEST, LOCK, LOG
from gmmcli.store.model_dir import Stored, check_head, load_generation, open_to_read, require_generations

_LATEST_TARGET = re.compile(rf"{CHECKPOINTS}/ckpt-\d{{9}}\.h5", re.ASCII)
_KINDS = {CHECKPOINTS: stat.S_ISDIR, EVENTS: stat.S_ISDIR, LOG: stat.S_ISREG, LOCK: stat.S_ISREG}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Parameters
    ----------
    file : str
        Path below the model directory.
    text : str
        What is so, with numbers.
    """

    file: str
    text: str


def check(path: Path, level: Literal["quick", "full"]) -> list[Finding]:
    """Return everything that is wrong with a model directory; an empty list is a clean bill.

    Parameters
    ----------
    path : Path
    level : {"quick", "full"}
        quick: names, user blocks, sizes, latest.h5, log. full: every checkpoint is also read, compared
        with its parent where that is kept, and its parts with each other.

    Raises
    ------
    NotFound
        The directory is missing or holds no checkpoint.
    PermissionRefused
    ReadWriteFailed
        The directory itself cannot be opened; anything in it is a finding.
    """
    with open_to_read(path) as (root, checkpoints):
        findings = [*_find_strangers(root, checkpoints), *_find_in_latest(root), *_find_in_log(root)]
        logged = run_log.newest_number(root)  # before the listing, lest a writer is between the two
        generations = require_generations(checkpoints, path)
        if directory.newest_number(checkpoints) < logged:
            findings.append(
                Finding(LOG, f"tells of checkpoint {logged}, the newest there is {generations[-1]}")
            )
        find_damage = _find_in_heads if level == "quick" else _find_in_checkpoints
        return [*findings, *find_damage(checkpoints, path, generations)]


def _find_strangers(root: int, checkpoints: int) -> Iterator[Finding]:
    """Find what does not belong, and what belongs but is of another kind than it should be."""
    for name in sorted(os.listdir(root)):
        if name.startswith(".") or name == LATEST:
            continue
        if name not in _KINDS:
            yield Finding(name, "is not part of a model directory")
        elif not _KINDS[name](os.stat(name, dir_fd=root, follow_symlinks=False).st_mode):
            yield Finding(name, "is a link or another kind of file than it should be")
    for name in sorted(os.listdir(checkpoints)):
        known = directory.find_generation(name) or directory.find_set_aside(name)
        if not known and not name.startswith("."):
            yield Finding(f"{CHECKPOINTS}/{name}", "is not the name of a checkpoint")


def _find_in_latest(root: int) -> Iterator[Finding]:
    """Find a latest.h5 that leads elsewhere than to a checkpoint of this directory."""
    try:
        target = os.readlink(LATEST, dir_fd=root)
    except FileNotFoundError:
        return
    except OSError:
        yield Finding(LATEST, "is not a symbolic link")
        return
    if not _LATEST_TARGET.fullmatch(target):
        yield Finding(LATEST, f"points to {target}, not to a checkpoint of this directory")


def _find_in_log(root: int) -> Iterator[Finding]:
    """Find lines that are no events."""
    try:
        unreadable = run_log.read(root, LOG)[1]
    except GmmError as error:
        yield Finding(LOG, error.fact)
        return
    if unreadable:
        yield Finding(LOG, f"{len(unreadable)} lines are not events, the first is line {unreadable[0]}")


def _find_in_heads(checkpoints: int, path: Path, generations: Sequence[int]) -> Iterator[Finding]:
    """Find checkpoints whose user block or size is wrong."""
    for generation in generations:
        try:
            check_head(checkpoints, path, generation)
        except NotFound:
            continue  # retention was faster
        except GmmError as error:
            yield Finding(_file(generation), error.fact)


def _find_in_checkpoints(checkpoints: int, path: Path, generations: Sequence[int]) -> Iterator[Finding]:
    """Find checkpoints that cannot be read, do not follow their parent, or contradict themselves."""
    set_aside = set(map(directory.find_set_aside, os.listdir(checkpoints)))
    previous: Stored | None = None
    for generation in generations:
        try:
            stored = load_generation(checkpoints, path, generation)
        except NotFound:
            continue  # retention was faster
        except GmmError as error:
            yield Finding(_file(generation), error.fact)
            previous = None
            continue
        if previous and _follows(previous.generation, generation, set_aside):
            yield from _find_in_parent(previous, stored)
        for text in agreement.find_contradictions(stored.checkpoint):
            yield Finding(_file(generation), text)
        previous = stored


def _follows(earlier: int, later: int, set_aside: set[int | None]) -> bool:
    """Tell whether nothing but files set aside lies between two generations."""
    return all(between in set_aside for between in range(later - 1, earlier, -1))


def _find_in_parent(parent: Stored, child: Stored) -> Iterator[Finding]:
    """Find a checkpoint that was not made from the one before it."""
    provenance = child.checkpoint.provenance
    if provenance is not None and provenance.parent_sha256 != parent.sha256:
        recorded, found = provenance.parent_sha256[:16] or "none", parent.sha256[:16]
        text = f"its parent should be {recorded}..., but checkpoint {parent.generation} is {found}..."
        yield Finding(_file(child.generation), text)


def _file(generation: int) -> str:
    """Return the path of a checkpoint below the model directory."""
    return f"{CHECKPOINTS}/{directory.checkpoint_name(generation)}"
