"""One generation's file comes into being: written aside, synced, linked to its name, checked.

Every step is relative to the descriptor of the folder, so that no link can redirect it. Knows bytes and
numbers; not what a checkpoint means.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from gmmcli.errors import CannotCreate, GmmError, ModelDirBusy, ReadWriteFailed, from_os_error
from gmmcli.store import directory
from gmmcli.store.model_dir import load_generation

_DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_NO_ALLOCATION = frozenset((errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS))
_NO_HARD_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK))
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def place(checkpoints: int, model_dir: Path, number: int, data: bytes, sha256: str) -> bool:
    """Bring bytes to disk under the name of a generation, or not at all.

    Parameters
    ----------
    checkpoints : int
        Descriptor of the folder.
    model_dir : Path
        What messages call it.
    number : int
        The generation; its name must be free.
    data : bytes
    sha256 : str
        Of `data`.

    Returns
    -------
    bool
        False where the file system cannot sync a folder.

    Raises
    ------
    ModelDirBusy
        Another writer was first.
    CannotCreate
        The file system has no hard links.
    ReadWriteFailed
        On a full disk with the bytes needed and free.
    PermissionRefused
    """
    temporary = directory.temporary_name(directory.checkpoint_name(number))
    try:
        try:
            _write(checkpoints, temporary, data)
            _link(checkpoints, model_dir, temporary, number)
        except OSError as error:
            raise _explain(checkpoints, model_dir, number, len(data), error) from error
        with after_link(model_dir, number):
            synced = directory.sync(checkpoints)
            _check_order(checkpoints, model_dir, number, sha256)
        return synced
    finally:
        directory.discard(checkpoints, temporary)


@contextlib.contextmanager
def after_link(model_dir: Path, number: int) -> Iterator[None]:
    """Report what goes wrong once a checkpoint has its name.

    Raises
    ------
    ReadWriteFailed
        Saying that the checkpoint may have been written.
    ModelDirBusy
        As it was raised.
    """
    try:
        yield
    except ModelDirBusy:
        raise
    except (OSError, GmmError) as error:
        known = error if isinstance(error, GmmError) else from_os_error(str(model_dir), error)
        fact = f"{known.fact}; checkpoint {number} may have been written"
        raise ReadWriteFailed(str(model_dir), fact) from error


def _write(checkpoints: int, name: str, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    descriptor = os.open(name, _NEW, 0o666, dir_fd=checkpoints)
    try:
        _allocate(descriptor, len(data))
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, n_bytes: int) -> None:
    """Claim the space, so that a full disk shows before anything is written."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, n_bytes)
    except OSError as error:
        if error.errno not in _NO_ALLOCATION:
            raise


def _link(checkpoints: int, model_dir: Path, temporary: str, number: int) -> None:
    """Give a written file its name, unless somebody else has it."""
    name = directory.checkpoint_name(number)
    try:
        os.link(temporary, name, src_dir_fd=checkpoints, dst_dir_fd=checkpoints, follow_symlinks=False)
    except FileExistsError as error:
        # NFS may refuse the second copy of a request whose first copy it has obeyed.
        if not _is_same_file(checkpoints, temporary, name):
            raise ModelDirBusy(str(model_dir), f"another writer published checkpoint {number}") from error
    except FileNotFoundError as error:
        raise ModelDirBusy(
            str(model_dir), f"another writer removed unfinished checkpoint {number}"
        ) from error
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        raise CannotCreate(str(model_dir), "the file system has no hard links") from error


def _is_same_file(checkpoints: int, first: str, second: str) -> bool:
    """Tell whether two names are one file."""
    return os.path.samestat(
        os.stat(first, dir_fd=checkpoints, follow_symlinks=False),
        os.stat(second, dir_fd=checkpoints, follow_symlinks=False),
    )


def _check_order(checkpoints: int, model_dir: Path, number: int, sha256: str) -> None:
    """Take the file back if others have gone on without it: its number was one that they had freed."""
    later = [generation for generation in directory.list_generations(checkpoints) if generation > number]
    if not later:
        return
    with contextlib.suppress(GmmError):
        following = load_generation(checkpoints, model_dir, later[0]).checkpoint.provenance
        if following is not None and following.parent_sha256 == sha256:
            return
    directory.discard(checkpoints, directory.checkpoint_name(number))
    raise ModelDirBusy(str(model_dir), f"another writer has come to checkpoint {later[-1]} already")


def _explain(checkpoints: int, model_dir: Path, number: int, n_bytes: int, error: OSError) -> GmmError:
    """Return what an operating system error means before the file has its name."""
    if error.errno not in _DISK_FULL:
        return from_os_error(str(model_dir), error)
    status = os.fstatvfs(checkpoints)
    free = status.f_bavail * status.f_frsize
    reason = os.strerror(error.errno).lower()
    fact = f"{reason}: checkpoint {number} needs {n_bytes} bytes, {free} are free"
    return ReadWriteFailed(str(model_dir), fact)
