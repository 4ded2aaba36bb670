"""A file appears whole or not at all.

Knows nothing of what is written. (Checkpoints have a stricter protocol of their own, in store.)
"""

import contextlib
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import CannotCreate, reporting


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing; it takes its name when the block ends without an exception.

    A link's target is replaced, not the link. An existing device or pipe is written through. The mode of
    an existing file is kept; a new one obeys the umask.

    Raises
    ------
    CannotCreate
        The folder does not exist or cannot hold the file.
    PermissionRefused
    ReadWriteFailed
        A write, the sync or the rename failed; nothing of the target has changed.
    """
    try:
        mode: int | None = path.stat().st_mode
    except OSError:
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise CannotCreate(str(path), "is a directory")
    with reporting(path):
        if mode is not None and not stat.S_ISREG(mode):
            with path.open("wb") as stream:
                yield stream
            return
        with _renamed_into(path, Path(os.path.realpath(path)), mode) as stream:
            yield stream


@contextlib.contextmanager
def _renamed_into(path: Path, target: Path, mode: int | None) -> Iterator[BinaryIO]:
    """Write under a temporary name beside `target`, sync, rename."""
    if not target.parent.is_dir():
        raise CannotCreate(str(path), "no such directory", f"mkdir -p {shlex.quote(str(path.parent))}")
    temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        created = create_new(temporary)
    except PermissionError:
        raise
    except OSError as error:
        raise CannotCreate(str(path), f"cannot be created: {error.strerror}".lower()) from error
    try:
        with created as stream:
            yield stream
            stream.flush()
            if mode is not None:
                os.fchmod(stream.fileno(), stat.S_IMODE(mode))
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(target.parent)


def create_new(path: Path) -> BinaryIO:
    """Open a file that must not exist yet, following no link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return os.fdopen(descriptor, "wb")


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable; file systems that cannot are let off."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
