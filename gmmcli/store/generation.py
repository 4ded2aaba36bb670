"""Writes one generation's file: under a temporary name, synced, linked to its name, checked.

Every step is relative to the descriptor of the folder, so that no link can redirect it. Knows bytes and
numbers. Does not know what a checkpoint means.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from gmmcli.atomic import sync
from gmmcli.errors import CannotCreate, GmmError, ModelDirBusy, ReadWriteFailed, from_os_error
from gmmcli.remedies import quoted
from gmmcli.store.directory import MAX_GENERATION, Folder, checkpoint_name, temporary_name, way_out
from gmmcli.store.model_dir import load_generation

_DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_NO_ALLOCATION = frozenset((errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS))
_NO_HARD_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK))
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def place(checkpoints: Folder, number: int, data: bytes, sha256: str) -> bool:
    """Write bytes to disk under the name of a generation, whole or not at all.

    Parameters
    ----------
    checkpoints : Folder
        The subject of messages is its parent, the model directory.
    number : int
        The generation; no file may have its name.
    data : bytes
    sha256 : str
        Of `data`.

    Returns
    -------
    bool
        False if the file system cannot sync a folder.

    Raises
    ------
    ModelDirBusy
        Another writer published this generation.
    CannotCreate
        The file system has no hard links.
    ReadWriteFailed
        For a full disk, with the bytes needed and the bytes free.
    PermissionRefused
    """
    temporary = temporary_name(checkpoint_name(number))
    try:
        try:
            _write(checkpoints, temporary, data)
            _link(checkpoints, temporary, number)
        except OSError as error:
            raise _explain(checkpoints, number, len(data), error) from error
        with after_link(checkpoints, number):
            synced = sync(checkpoints.descriptor)
            _check_order(checkpoints, number, sha256)
        return synced
    finally:
        checkpoints.discard(temporary)


def number_after(checkpoints: Folder, number: int) -> int:
    """Return the number of the next checkpoint.

    Raises
    ------
    CannotCreate
        There is none.
    """
    if number < MAX_GENERATION:
        return number + 1
    path, target = checkpoints.path / checkpoint_name(number), f"{checkpoints.path.parent}.{number}.h5"
    fact = f"checkpoint {number} has the largest possible number"
    hint = f"if it is not needed: mv {quoted(str(path))} {quoted(target)}"
    raise CannotCreate(str(checkpoints.path.parent), fact, hint)


def set_aside(checkpoints: Folder, damaged: Sequence[int]) -> None:
    """Rename damaged checkpoints to `.bad`, all or none.

    Raises
    ------
    CannotCreate
        Something has the name already.
    OSError
    """
    pairs = [(checkpoint_name(number), f"{checkpoint_name(number)}.bad") for number in damaged]
    taken = set(checkpoints.names())
    for path in (checkpoints.path / new for _, new in pairs if new in taken):
        fact = "exists, but a damaged checkpoint needs this name"
        raise CannotCreate(str(path), fact, way_out(path, checkpoints.path.parent))
    for old, new in pairs:
        os.rename(old, new, src_dir_fd=checkpoints.descriptor, dst_dir_fd=checkpoints.descriptor)
    sync(checkpoints.descriptor)


@contextlib.contextmanager
def after_link(checkpoints: Folder, number: int) -> Iterator[None]:
    """Report errors in the block, where the checkpoint already has its name.

    Raises
    ------
    ReadWriteFailed
        Says that the checkpoint may have been written.
    ModelDirBusy
        Unchanged.
    """
    try:
        yield
    except ModelDirBusy:
        raise
    except (OSError, GmmError) as error:
        fact = error.fact if isinstance(error, GmmError) else from_os_error("", error).fact
        fact += f"; checkpoint {number} may have been written"
        raise ReadWriteFailed(str(checkpoints.path.parent), fact) from error


def _write(checkpoints: Folder, name: str, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    descriptor = os.open(name, _NEW, 0o666, dir_fd=checkpoints.descriptor)
    try:
        _allocate(descriptor, len(data))
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, n_bytes: int) -> None:
    """Allocate the space, so that a full disk is reported before anything is written."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, n_bytes)
    except OSError as error:
        if error.errno not in _NO_ALLOCATION:
            raise


def _link(checkpoints: Folder, temporary: str, number: int) -> None:
    """Give a written file its name, unless another writer's file has it."""
    name, subject, descriptor = checkpoint_name(number), str(checkpoints.path.parent), checkpoints.descriptor
    try:
        os.link(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor, follow_symlinks=False)
    except FileExistsError as error:
        # NFS may carry out a request, lose its answer, and refuse the repeated request.
        if not os.path.samestat(checkpoints.stat(temporary), checkpoints.stat(name)):
            raise ModelDirBusy(subject, f"another process wrote checkpoint {number}") from error
    except FileNotFoundError as error:
        raise ModelDirBusy(subject, f"another process removed the unfinished checkpoint {number}") from error
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        raise CannotCreate(subject, "the file system has no hard links") from error


def _check_order(checkpoints: Folder, number: int, sha256: str) -> None:
    """Remove the file and raise `ModelDirBusy` if later generations do not continue it.

    The retention of another writer may have freed an old number.
    """
    later = [generation for generation in checkpoints.generations() if generation > number]
    if not later:
        return
    with contextlib.suppress(GmmError):
        if load_generation(checkpoints, later[0]).provenance.parent_sha256 == sha256:
            return
    checkpoints.discard(checkpoint_name(number))
    fact = f"another process has already written checkpoint {later[-1]}"
    raise ModelDirBusy(str(checkpoints.path.parent), fact)


def _explain(checkpoints: Folder, number: int, n_bytes: int, error: OSError) -> GmmError:
    """Return the error to report for an operating system error before the file has its name."""
    subject = str(checkpoints.path.parent)
    if error.errno not in _DISK_FULL:
        return from_os_error(subject, error)
    status = os.fstatvfs(checkpoints.descriptor)
    free = f"{status.f_bavail * status.f_frsize} are free"
    if status.f_files and not status.f_favail:
        free += ", but no inode is"
    reason = os.strerror(error.errno).lower()
    return ReadWriteFailed(subject, f"{reason}: checkpoint {number} needs {n_bytes} bytes, {free}")
