"""The names and files of a model directory, reached through descriptors that no link can redirect.

Knows names and bytes. Does not know what a checkpoint means, or who may write.
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

from gmmcli.errors import CheckpointCorrupt, NotFound, from_os_error
from gmmcli.remedies import quoted

CHECKPOINTS = "checkpoints"
CANDIDATES = "candidates"
LATEST = "latest.h5"
LOG = "log.jsonl"
LOCK = "lock"
EVENTS = "events"
OWN_NAMES = frozenset((CHECKPOINTS, CANDIDATES, LATEST, LOG, LOCK, EVENTS))
# The hint for a directory that is something else.
OTHER_NAME = "choose another name for -m"

MAX_GENERATION = 999_999_999

_NAME = re.compile(r"ckpt-(\d{9})\.h5(\.bad)?", re.ASCII)
_LATEST_TARGET = re.compile(rf"{CHECKPOINTS}/ckpt-(\d{{9}})\.h5", re.ASCII)
_TEMPORARY = re.compile(r"\.(?:ckpt-\d{9}|latest)\.h5\.[0-9]+-[0-9a-f]{8}\.tmp", re.ASCII)
# Follow no link, and do not wait for the other end of a pipe.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# Errors of opening a name that is not a regular file.
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
        For messages only: nothing is opened by this path.
    """

    descriptor: int
    path: Path

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Open a folder by its path, which may be a link."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield cls(descriptor, path)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def inner(self, name: str) -> Iterator[Self]:
        """Open a folder in this folder.

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
        """Open a regular file, without following a link and without waiting; yield it and its size.

        Raises
        ------
        CheckpointCorrupt
            It is not a regular file.
        NotFound
        PermissionRefused
        ReadWriteFailed
            An operating system error on opening it, or in the block.
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
        """Return the names in the folder, in any order."""
        return os.listdir(self.descriptor)  # noqa: PTH208 (a descriptor is not a path)

    def strangers(self) -> list[str]:
        """Return the names here that no model directory has, ascending. A leading dot hides a name."""
        return sorted(name for name in self.names() if not name.startswith(".") and name not in OWN_NAMES)

    def stat(self, name: str) -> os.stat_result:
        """Return the status of a name, without following a link."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def generations(self) -> list[int]:
        """Return the generations that have a file here, damaged or not, ascending."""
        return sorted(filter(None, map(find_generation, self.names())))

    def newest_number(self) -> int:
        """Return the highest number of a file here, including `.bad` files; 0 if there is none."""
        return max((find_generation(name) or find_set_aside(name) or 0 for name in self.names()), default=0)

    def latest_number(self) -> int:
        """Return the number that latest.h5 points to, even if that file is gone; 0 if it points to none."""
        try:
            match = _LATEST_TARGET.fullmatch(os.readlink(LATEST, dir_fd=self.descriptor))
        except OSError:
            return 0
        return int(match[1]) if match else 0

    def name_latest(self, generation: int) -> None:
        """Point latest.h5 to a checkpoint.

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

    def discard(self, name: str) -> None:
        """Remove a file if possible. A file that stays is a leftover, not damage."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.descriptor)

    def clear_temporaries(self) -> None:
        """Remove the files of unfinished writes. The caller must hold the lock."""
        for name in filter(_TEMPORARY.fullmatch, self.names()):
            self.discard(name)


def way_out(path: Path, model_dir: Path) -> str:
    """Return the command that moves a file out of a model directory, next to it."""
    return f"mv {quoted(str(path))} {quoted(f'{model_dir}.{path.name}')}"


def checkpoint_name(generation: int) -> str:
    """Return the name of a generation's file."""
    return f"ckpt-{generation:09d}.h5"


def find_generation(name: str) -> int | None:
    """Return the generation in the name of a checkpoint, or None for another name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and not match[2] and int(match[1]) else None


def find_set_aside(name: str) -> int | None:
    """Return the generation in the name of a file that a rollback renamed, or None for another name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and match[2] and int(match[1]) else None


def temporary_name(name: str) -> str:
    """Return a new hidden name for a file that is to become `name`."""
    return f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
