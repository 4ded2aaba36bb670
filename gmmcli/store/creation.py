"""Make a model directory where there is none, durably, and never in the middle of something else."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from gmmcli.errors import CannotCreate
from gmmcli.store.directory import CHECKPOINTS, EVENTS, LOCK, LOG, OWN_NAMES, Folder

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
        with Folder.opened(path) as root:
            _check_own(root)
            with contextlib.suppress(FileExistsError):
                os.mkdir(CHECKPOINTS, dir_fd=root.descriptor)
            with root.inner(CHECKPOINTS) as checkpoints:
                # Synced when they are not new either: who made them may have died before the sync.
                return all((synced, _sync_parent(root), root.sync(), checkpoints.sync()))
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


def unmake(root: Folder, made: Sequence[Path]) -> None:
    """Remove what was made for a run that published nothing; what is not ours keeps its folder.

    Parameters
    ----------
    root : Folder
    made : sequence of Path
        The folders that were missing before, the innermost first.
    """
    with contextlib.suppress(OSError):
        os.rmdir(CHECKPOINTS, dir_fd=root.descriptor)
        with contextlib.suppress(FileNotFoundError):
            import shutil

            shutil.rmtree(EVENTS, dir_fd=root.descriptor)
        for name in (LOG, LOCK):
            root.discard(name)
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
                with Folder.opened(folder) as made:
                    synced &= _sync_parent(made)
        except FileNotFoundError:  # another run, which published nothing, has removed what it had made
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    return synced


def _sync_parent(folder: Folder) -> bool:
    """Make the name of a folder durable. A parent that may not be read cannot be synced."""
    try:
        with folder.inner("..") as parent:
            return parent.sync()
    except PermissionError:
        return True


def _check_own(root: Folder) -> None:
    """Refuse a directory that is somebody else's: it has no checkpoint of gmmcli, but other things."""
    inside: list[str] = []
    with contextlib.suppress(FileNotFoundError), root.inner(CHECKPOINTS) as checkpoints:
        if checkpoints.newest_number():
            return
        inside = [f"{CHECKPOINTS}/{name}" for name in checkpoints.names() if not name.startswith(".")]
    strangers = sorted(name for name in root.names() if not name.startswith(".") and name not in OWN_NAMES)
    if strangers or inside:
        stranger = [*strangers, *sorted(inside)][0]
        raise CannotCreate(str(root.path), f'not a model directory: it holds "{stranger}"')
