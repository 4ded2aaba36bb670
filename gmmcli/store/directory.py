"""Names and files of a model directory, reached through descriptors that no link can redirect.

Knows names and bytes; not what a checkpoint means, nor who may write.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Self

from gmmcli import atomic
from gmmcli.errors import CheckpointCorrupt, NotFound, from_os_error
from gmmcli.remedies import quoted

CHECKPOINTS = "checkpoints"
LATEST = "latest.h5"
LOG = "log.jsonl"
LOCK = "lock"
EVENTS = "events"
OWN_NAMES = frozenset((CHECKPOINTS, LATEST, LOG, LOCK, EVENTS))

MAX_GENERATION = 999_999_999

_NAME = re.compile(r"ckpt-(\d{9})\.h5(\.bad)?", re.ASCII)
_LATEST_TARGET = re.compile(rf"{CHECKPOINTS}/ckpt-(\d{{9}})\.h5", re.ASCII)
_TEMPORARY = re.compile(r"\.(?:ckpt-\d{9}|latest)\.h5\.[0-9]+-[0-9a-f]{8}\.tmp", re.ASCII)
# A pipe is not waited for, and no link is followed.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# What opening says of a name that is no regular file.
IRREGULAR = {
    errno.ELOOP: "is a symbolic link",
    errno.EISDIR: "is not a regular file",
    errno.ENXIO: "is not a regular file",
}


@dataclass(frozen=True)
class Folder:
    """An open folder of a model directory.

    Parameters
    ----------
    descriptor : int
    path : Path
        What messages call it; nothing is opened by it again.
    """

    descriptor: int
    path: Path

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Yield a folder by its path; the path itself may be a link."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield cls(descriptor, path)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def inner(self, name: str) -> Iterator[Self]:
        """Yield a folder in this one.

        Raises
        ------
        NotFound
            It is a link, which is not followed.
        OSError
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(name, flags, dir_fd=self.descriptor)
        except NotADirectoryError as error:
            if not stat.S_ISLNK(self.stat(name).st_mode):
                raise
            path = str(self.path / name)
            hint = f"rm {quoted(path)} && mv {quoted(os.path.realpath(path))} {quoted(path)}"
            raise NotFound(path, "is a symbolic link", hint) from error
        try:
            yield type(self)(descriptor, self.path / name)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def opened_file(self, name: str, flags: int = os.O_RDONLY) -> Iterator[tuple[BufferedReader, int]]:
        """Yield a regular file, opened through no link and without waiting, and its size.

        Raises
        ------
        CheckpointCorrupt
            It is not a regular file.
        NotFound
        PermissionRefused
        ReadWriteFailed
            Opening it failed, or what is done with it in the block.
        """
        subject = str(self.path / name)
        try:
            descriptor = os.open(name, flags | _SAFELY, dir_fd=self.descriptor)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise CheckpointCorrupt(subject, "is not a regular file")
                with os.fdopen(descriptor, "rb", closefd=False) as stream:
                    yield stream, status.st_size
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in IRREGULAR:
                raise CheckpointCorrupt(subject, IRREGULAR[error.errno]) from error
            raise from_os_error(subject, error) from error

    def names(self) -> list[str]:
        """Return the names in the folder, in no order."""
        return os.listdir(self.descriptor)  # noqa: PTH208 (a descriptor is no path)

    def stat(self, name: str) -> os.stat_result:
        """Return the status of a name; that of a link itself."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def generations(self) -> list[int]:
        """Return the generations that have a file here, ascending, damaged or not."""
        return sorted(filter(None, map(find_generation, self.names())))

    def newest_number(self) -> int:
        """Return the highest number that a file here has, files set aside included; 0 for none."""
        return max((find_generation(name) or find_set_aside(name) or 0 for name in self.names()), default=0)

    def newest_set_aside(self) -> int:
        """Return the highest number of a file that was set aside here; 0 for none."""
        return max((find_set_aside(name) or 0 for name in self.names()), default=0)

    def latest_number(self) -> int:
        """Return the number of the checkpoint that latest.h5 names, there or not; 0 for none."""
        try:
            match = _LATEST_TARGET.fullmatch(os.readlink(LATEST, dir_fd=self.descriptor))
        except OSError:
            return 0
        return int(match[1]) if match else 0

    def name_latest(self, generation: int) -> None:
        """Make latest.h5 name a checkpoint.

        Raises
        ------
        OSError
        """
        target, temporary = f"{CHECKPOINTS}/{checkpoint_name(generation)}", temporary_name(LATEST)
        with contextlib.suppress(OSError):
            if os.readlink(LATEST, dir_fd=self.descriptor) == target:
                return
        try:
            os.symlink(target, temporary, dir_fd=self.descriptor)
            os.replace(temporary, LATEST, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except OSError:
            self.discard(temporary)
            raise

    def sync(self) -> bool:
        """Make the names in the folder durable; return False where the file system cannot."""
        return atomic.sync(self.descriptor)

    def discard(self, name: str) -> None:
        """Remove a file if that is possible; what stays is a leftover, not damage."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.descriptor)

    def clear_temporaries(self) -> None:
        """Remove what unfinished writes have left. Only for a writer that holds the lock."""
        for name in filter(_TEMPORARY.fullmatch, self.names()):
            self.discard(name)


def checkpoint_name(generation: int) -> str:
    """Return the name of a generation's file."""
    return f"ckpt-{generation:09d}.h5"


def find_generation(name: str) -> int | None:
    """Return the generation that a file name stands for, or None."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and not match[2] and int(match[1]) else None


def find_set_aside(name: str) -> int | None:
    """Return the generation of a damaged file that a rollback has renamed, or None."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and match[2] and int(match[1]) else None


def temporary_name(name: str) -> str:
    """Return a name, not used yet, for what shall become `name`."""
    return f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
