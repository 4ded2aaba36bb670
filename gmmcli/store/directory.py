"""Names and files of a model directory, reached through descriptors that no link can redirect.

Knows names and bytes; not what a checkpoint means, nor who may write.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import CheckpointCorrupt, from_os_error

CHECKPOINTS = "checkpoints"
LATEST = "latest.h5"
LOG = "log.jsonl"
LOCK = "lock"
EVENTS = "events"
OWN_NAMES = frozenset((CHECKPOINTS, LATEST, LOG, LOCK, EVENTS))

MAX_GENERATION = 999_999_999
# A checkpoint is read whole into memory; 4 GiB is about 680 full components of 512 features.
MAX_FILE_BYTES = 1 << 32

_NAME = re.compile(r"ckpt-(\d{9})\.h5(\.bad)?", re.ASCII)
_TEMPORARY = re.compile(r"\.(?:ckpt-\d{9}|latest)\.h5\.[0-9]+-[0-9a-f]{8}\.tmp", re.ASCII)
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_UNSUPPORTED = frozenset((errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))


def checkpoint_name(generation: int) -> str:
    """Return the name of a generation's file."""
    return f"ckpt-{generation:09d}.h5"


def checkpoint_path(model_dir: Path, generation: int) -> str:
    """Return the path of a generation's file, for messages."""
    return str(model_dir / CHECKPOINTS / checkpoint_name(generation))


def find_generation(name: str) -> int | None:
    """Return the generation that a file name stands for, or None."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and not match[2] and int(match[1]) else None


def find_set_aside(name: str) -> int | None:
    """Return the generation of a damaged file that a rollback has renamed, or None."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and match[2] and int(match[1]) else None


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that only an unfinished write leaves behind."""
    return _TEMPORARY.fullmatch(name) is not None


def temporary_name(name: str) -> str:
    """Return a name, not used yet, for what shall become `name`."""
    return f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp"


@contextlib.contextmanager
def opened(path: str | Path, directory: int | None = None) -> Iterator[int]:
    """Open a folder and yield its descriptor; inside another folder, never through a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if directory is not None:
        flags |= os.O_NOFOLLOW
    descriptor = os.open(path, flags, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def list_generations(checkpoints: int) -> list[int]:
    """Return the generations that have a file, ascending, damaged or not."""
    return sorted(filter(None, map(find_generation, os.listdir(checkpoints))))


def newest_number(checkpoints: int) -> int:
    """Return the highest number ever seen, files set aside included; 0 for none."""
    names = os.listdir(checkpoints)
    return max((find_generation(name) or find_set_aside(name) or 0 for name in names), default=0)


def read_file(directory: int, name: str, subject: str) -> bytes:
    """Read a regular file whole, through the descriptor of its folder.

    Raises
    ------
    CheckpointCorrupt
        It is not a regular file, or larger than 4 GiB.
    NotFound
    PermissionRefused
    ReadWriteFailed
    """
    with _opened_file(directory, name, subject) as (stream, size_bytes):
        if size_bytes > MAX_FILE_BYTES:
            raise CheckpointCorrupt(subject, f"{size_bytes} bytes; at most {MAX_FILE_BYTES} are read")
        return stream.read(size_bytes)


def read_head(directory: int, name: str, subject: str, n_bytes: int) -> tuple[bytes, int]:
    """Return the first bytes of a regular file, and its size.

    Raises
    ------
    CheckpointCorrupt
        It is not a regular file.
    NotFound
    PermissionRefused
    ReadWriteFailed
    """
    with _opened_file(directory, name, subject) as (stream, size_bytes):
        return stream.read(n_bytes), size_bytes


@contextlib.contextmanager
def _opened_file(directory: int, name: str, subject: str) -> Iterator[tuple[BinaryIO, int]]:
    """Yield a regular file, opened through no link and without waiting, and its size."""
    try:
        descriptor = os.open(name, _READ, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointCorrupt(subject, "is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                yield stream, status.st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CheckpointCorrupt(subject, "is a symbolic link") from error
        raise from_os_error(subject, error) from error


def sync(descriptor: int) -> bool:
    """Make the names in a folder durable; return False where the file system cannot.

    Raises
    ------
    OSError
        Anything else that fsync reports. It is never tried again: the kernel forgets a failed write.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def discard(directory: int, name: str) -> None:
    """Remove a file if that is possible; what stays is a leftover, not damage."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)


def clear_temporaries(directory: int) -> None:
    """Remove what unfinished writes have left in a folder. Only for a writer that holds the lock."""
    for name in os.listdir(directory):
        if is_temporary(name):
            discard(directory, name)
