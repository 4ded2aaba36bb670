"""Make a model directory where there is none, durably, and never in the middle of something else."""

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from gmmcli.errors import CannotCreate
from gmmcli.store import directory
from gmmcli.store.directory import CHECKPOINTS, EVENTS, LOCK, LOG, OWN_NAMES

_ATTEMPTS = 5


def make(path: Path) -> bool:
    """Make what is missing of a model directory; return False where the file system cannot sync a folder.

    An existing empty directory is as good as none. Names that begin with a dot do not count.

    Raises
    ------
    CannotCreate
        A file is in the way, or the directory holds something that is not gmmcli's.
    OSError
    """
    try:
        synced = _make_folders(path)
        with directory.opened(path) as root:
            _check_own(root, path)
            with contextlib.suppress(FileExistsError):
                os.mkdir(CHECKPOINTS, dir_fd=root)
            with directory.opened(CHECKPOINTS, root) as checkpoints:
                # Synced when they are not new either: whoever made them may have died before the sync.
                return all((synced, _sync_parent(root), directory.sync(root), directory.sync(checkpoints)))
    except NotADirectoryError as error:
        raise CannotCreate(str(path), f'"{error.filename}" is not a directory') from error


def missing_folders(path: Path) -> list[Path]:
    """Return what would have to be made of a directory and those above it, itself first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def is_untouched(path: Path) -> bool:
    """Tell whether a directory is missing, or holds nothing but names that begin with a dot."""
    try:
        return all(inside.name.startswith(".") for inside in path.iterdir())
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def unmake(root: int, made: Sequence[Path]) -> None:
    """Remove what was made for a run that published nothing; what is not ours keeps its folder.

    Parameters
    ----------
    root : int
        Descriptor of the model directory.
    made : sequence of Path
        The folders that were missing before, the innermost first.
    """
    with contextlib.suppress(OSError):
        os.rmdir(CHECKPOINTS, dir_fd=root)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(EVENTS, dir_fd=root)
        for name in (LOG, LOCK):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=root)
    for folder in made:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _make_folders(path: Path) -> bool:
    """Make the directory and the missing ones above it, each synced into its parent."""
    for attempt in range(_ATTEMPTS):
        try:
            synced = True
            for folder in reversed(missing_folders(path)):
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                with directory.opened(folder) as descriptor:
                    synced &= _sync_parent(descriptor)
        except FileNotFoundError:  # another run, which published nothing, has removed what it had made
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    return synced


def _sync_parent(descriptor: int) -> bool:
    """Make the name of a folder durable. A parent that may not be read cannot be synced by us."""
    try:
        with directory.opened("..", descriptor) as parent:
            return directory.sync(parent)
    except PermissionError:
        return True


def _check_own(root: int, path: Path) -> None:
    """Refuse a directory that is somebody else's: it has no checkpoint of ours, but other things."""
    inside: list[str] = []
    with contextlib.suppress(FileNotFoundError), directory.opened(CHECKPOINTS, root) as checkpoints:
        if directory.newest_number(checkpoints):
            return
        inside = [f"{CHECKPOINTS}/{name}" for name in _visible(checkpoints)]
    strangers = sorted(_visible(root) - OWN_NAMES) + sorted(inside)
    if strangers:
        raise CannotCreate(str(path), f'not a model directory: it holds "{strangers[0]}"')


def _visible(descriptor: int) -> set[str]:
    """Return the names in a folder that do not begin with a dot."""
    return {name for name in os.listdir(descriptor) if not name.startswith(".")}
