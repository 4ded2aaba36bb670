"""The candidates of a sweep: a checkpoint for each type and number of components, in a folder of their own.

The model is one of them, published as a checkpoint of the model directory. The others stay, so that a sweep
that was cut off continues, and another candidate can be chosen later without fitting it again. A candidate
that cannot be read is fitted again.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from gmmcli.atomic import sync
from gmmcli.errors import GmmError, reporting
from gmmcli.store.checkpoint import Checkpoint, Provenance, encode
from gmmcli.store.directory import CANDIDATES, Folder, checkpoint_name
from gmmcli.store.generation import number_after, place
from gmmcli.store.model_dir import Stored, load_generation, open_to_read

# The number of components and the covariance type of a candidate.
Key: TypeAlias = tuple[int, str]


class Candidates:
    """The right to write candidates to a model directory; a `Writer` gives it.

    Parameters
    ----------
    root : Folder
        The model directory, locked.
    describe : callable
        Returns the provenance of the candidate with a number.

    Attributes
    ----------
    path : Path
        Of the model directory.
    best : int or None
        Of no effect: all candidates stay.
    """

    def __init__(self, root: Folder, describe: Callable[[int], Provenance]) -> None:
        self._root, self._describe = root, describe
        self.path = root.path
        self.best: int | None = None

    @cached_property
    def found(self) -> dict[Key, Stored]:
        """The candidates by number of components and type."""
        with reporting(self._root.path):
            return {key_of(one): one for one in read_candidates(self._root)}

    def publish(self, checkpoint: Checkpoint, *, fresh: bool = False) -> Stored:
        """Write a candidate, and remove the one that it replaces; each has a lineage of its own.

        Raises
        ------
        CannotCreate, ModelDirBusy, PermissionRefused, ReadWriteFailed, TableUnusable
            As `Writer.publish`.
        """
        with reporting(self._root.path), contextlib.suppress(FileExistsError):
            os.mkdir(CANDIDATES, dir_fd=self._root.descriptor)
            sync(self._root.descriptor)
        with reporting(self._root.path), self._root.inner(CANDIDATES) as folder:
            number = number_after(folder, folder.newest_number())
            whole = replace(checkpoint, provenance=self._describe(number))
            data = encode(whole)
            stored = Stored(whole, number, hashlib.sha256(data).hexdigest(), len(data))
            self.found[key_of(stored)] = stored
            folder.clear_temporaries()
            place(folder, number, data, stored.sha256)
            # What was replaced is removed, and so is what cannot be read.
            in_use = {one.generation for one in self.found.values()}
            for generation in set(folder.generations()) - in_use:
                folder.discard(checkpoint_name(generation))
        return stored

    def remove(self, key: Key) -> None:
        """Remove a candidate of other tables or settings."""
        stored = self.found.pop(key)
        with reporting(self._root.path), self._root.inner(CANDIDATES) as folder:
            folder.discard(checkpoint_name(stored.generation))


def key_of(stored: Stored) -> Key:
    """Return the number of components and the covariance type of a candidate."""
    mixture = stored.checkpoint.mixture
    return mixture.n_components, mixture.covariance_type


def list_candidates(path: Path) -> list[Stored]:
    """Return the candidates in a model directory that can be read, by number of components and type.

    Raises
    ------
    NotFound, CheckpointCorrupt, PermissionRefused, ReadWriteFailed
        As `open_to_read`.
    """
    with open_to_read(path) as (root, _):
        return read_candidates(root)


def read_candidates(root: Folder) -> list[Stored]:
    """Return the candidates in an open model directory: see `list_candidates`."""
    newest: dict[Key, Stored] = {}
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(root.inner(CANDIDATES))
        except FileNotFoundError:
            return []
        for generation in folder.generations():
            with contextlib.suppress(GmmError):
                stored = load_generation(folder, generation)
                newest[key_of(stored)] = stored
    return [newest[key] for key in sorted(newest)]
