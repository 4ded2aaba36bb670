"""Atomic outputs: a file or a folder appears whole or not at all.

An unfinished file has a hidden name, and the process that writes it locks it. The lock ends with the process,
and the next process that writes to the same place removes the file. Does not know the content. (Checkpoints
have their own, stricter protocol, in store.)
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import CannotCreate, ReadWriteFailed, from_os_error, reporting
from gmmcli.remedies import quoted

# The hidden name repeats this many bytes of a name, so that it is not too long for file systems.
_STEM_BYTES = 200
_ATTEMPTS = 10
_NO_SYNC = frozenset((errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing. The file gets its name when the block ends without an exception.

    The target of a link is replaced, not the link. An existing device or pipe is written to directly. An
    existing file keeps its mode; a new file obeys the umask.

    Raises
    ------
    CannotCreate
        The folder does not exist or cannot hold the file.
    PermissionRefused
    ReadWriteFailed
        A write, the sync or the rename failed. The target is unchanged, unless the message says that it may
        have been written.
    """
    with reporting(path):
        try:
            mode: int | None = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            mode = None
        except OSError as error:
            raise not_created(path, error) from error
        if mode is not None and stat.S_ISDIR(mode):
            raise CannotCreate(str(path), "is a directory")
        if mode is not None and not stat.S_ISREG(mode):
            with path.open("wb") as stream:
                yield stream
            return
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise CannotCreate(str(path), "no such directory", f"mkdir -p {quoted(str(path.parent))}")
        with aside(path, target.parent, target.name, create_new) as (temporary, descriptor):
            with os.fdopen(descriptor, "wb", closefd=False) as stream:
                yield stream
            if mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(mode))
            os.fsync(descriptor)
            temporary.replace(target)
        sync_name(target)


@contextlib.contextmanager
def aside(path: Path, folder: Path, name: str, make: Callable[[Path], int]) -> Iterator[tuple[Path, int]]:
    """Make a hidden file or folder that is to become `name`; yield its path and its descriptor.

    The block must rename it. If the block does not, it is removed. Leftovers of dead processes for the same
    name are removed first.

    Parameters
    ----------
    path : Path
        Name of the output in messages.
    folder : Path
        The folder of the output.
    name : str
    make : callable
        Makes a file or folder of a given path, which must not exist, and returns its descriptor.

    Raises
    ------
    CannotCreate
    OSError
    """
    stem = f".{os.fsencode(name)[:_STEM_BYTES].decode(errors='ignore')}."
    _remove_leftovers(folder, re.compile(re.escape(stem) + r"[0-9a-f]{8}\.gmmcli"))
    for _ in range(_ATTEMPTS):
        temporary = folder / f"{stem}{os.urandom(4).hex()}.gmmcli"
        try:
            descriptor = make(temporary)
        except PermissionError:
            raise
        except OSError as error:
            raise not_created(path, error) from error
        try:
            # Another process may have removed it as a leftover before it was locked.
            if _lock(descriptor, temporary) is not False:
                try:
                    yield temporary, descriptor
                finally:
                    _remove(temporary)
                return
        finally:
            os.close(descriptor)
    raise CannotCreate(str(path), f"another process removed the unfinished file {_ATTEMPTS} times")


def create_new(path: Path) -> int:
    """Make a file that must not exist, without following a link; return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def make_folder(path: Path) -> int:
    """Make a folder that must not exist; return its descriptor."""
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def sync(descriptor: int) -> bool:
    """Make the names in a folder durable; return False if the file system cannot.

    Raises
    ------
    OSError
        Any other error of fsync. It must not be called again: the kernel forgets failed writes.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        return False
    return True


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, if the folder may be read and the file system can.

    Raises
    ------
    OSError
    """
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)


def sync_name(path: Path) -> None:
    """Make the name that an output has just taken durable.

    Raises
    ------
    ReadWriteFailed
        Says that the output may have been written.
    """
    try:
        sync_folder(path.parent)
    except OSError as error:
        fact = f"{from_os_error('', error).fact}; it may have been written"
        raise ReadWriteFailed(str(path), fact) from error


def not_created(path: Path, error: OSError) -> CannotCreate | ReadWriteFailed:
    """Return the error for an output that cannot be created; on a full disk that is a failed write."""
    fact = f"cannot be created: {from_os_error('', error).fact}"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return CannotCreate(str(path), fact)
    with contextlib.suppress(OSError):
        status = os.statvfs(path.parent)
        if status.f_files and not status.f_favail:
            fact += ", no inode is free"
    return ReadWriteFailed(str(path), fact)


def _remove_leftovers(folder: Path, pattern: re.Pattern[str]) -> None:
    """Remove the files and folders that match, except those that are locked or cannot be locked."""
    with contextlib.suppress(OSError):
        for path in [path for path in folder.iterdir() if pattern.fullmatch(path.name)]:
            with contextlib.suppress(OSError):
                mode = path.lstat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    continue
                access = os.O_RDONLY if stat.S_ISDIR(mode) else os.O_RDWR  # NFS locks what may be written
                descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    if _lock(descriptor, path):
                        _remove(path)
                finally:
                    os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool | None:
    """Lock an open file or folder; return whether it is locked now and still has its path.

    None if the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:
        return None


def _remove(path: Path) -> None:
    """Remove a file or a folder, if possible."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(path.lstat().st_mode):
            # Loaded with four compressors, which nothing else here needs.
            import shutil

            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
