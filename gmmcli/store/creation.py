"""Makes model directories, durably, but never in a directory that holds other files."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from gmmcli.atomic import sync
from gmmcli.errors import CannotCreate
from gmmcli.store.directory import CHECKPOINTS, EVENTS, LOCK, LOG, OTHER_NAME, Folder

_ATTEMPTS = 5


def make(path: Path) -> bool:
    """Make the missing folders of a model directory; return False if the file system cannot sync a folder.

    The directory may exist if it is empty. Names that begin with a dot do not count.

    Raises
    ------
    CannotCreate
        A file has the name of a folder, or the directory holds something that is not gmmcli's.
    OSError
    """
    try:
        synced = _make_folders(path)
        with Folder.opened(path) as root:
            _check_own(root)
            with contextlib.suppress(FileExistsError):
                os.mkdir(CHECKPOINTS, dir_fd=root.descriptor)
            with root.inner(CHECKPOINTS) as checkpoints:
                # Also synced if they exist: the process that made them may have died before the sync.
                descriptors = (root.descriptor, checkpoints.descriptor)
                return all((synced, _sync_parent(root), *map(sync, descriptors)))
    except NotADirectoryError as error:
        raise CannotCreate(str(path), f'"{error.filename}" is not a directory') from error


def missing_folders(path: Path) -> list[Path]:
    """Return the directory and its parents, innermost first, as far as they do not exist."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def is_untouched(path: Path) -> bool:
    """Return whether a directory is missing, or holds only names that begin with a dot."""
    try:
        return all(inside.name.startswith(".") for inside in path.iterdir())
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def unmake(root: Folder, made: Sequence[Path]) -> None:
    """Remove what was made for a run that published nothing. A folder that holds other files stays.

    Parameters
    ----------
    root : Folder
    made : sequence of Path
        The folders that did not exist before, innermost first.
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
    """Make the directory and its missing parents, and sync each one's parent."""
    for attempt in range(_ATTEMPTS):
        try:
            synced = True
            for folder in reversed(missing_folders(path)):
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                with Folder.opened(folder) as made:
                    synced &= _sync_parent(made)
        except FileNotFoundError:  # another run that published nothing has removed its folders meanwhile
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    return synced


def _sync_parent(folder: Folder) -> bool:
    """Make the name of a folder durable, if its parent can be read; return False if it cannot be synced."""
    try:
        with folder.inner("..") as parent:
            return sync(parent.descriptor)
    except PermissionError:
        return True


def _check_own(root: Folder) -> None:
    """Raise `CannotCreate` for a directory without checkpoints that holds other names than gmmcli's."""
    inside: list[str] = []
    with contextlib.suppress(FileNotFoundError), root.inner(CHECKPOINTS) as checkpoints:
        if checkpoints.newest_number():
            return
        inside = [f"{CHECKPOINTS}/{name}" for name in checkpoints.names() if not name.startswith(".")]
    for stranger in [*root.strangers(), *sorted(inside)][:1]:
        fact = f'not a model directory: it holds "{stranger}"'
        raise CannotCreate(str(root.path), fact, OTHER_NAME)
