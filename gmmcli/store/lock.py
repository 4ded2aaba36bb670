"""The lock of a model directory, a courtesy between writers on one machine.

The lock ends with its holder, so it is never stale. The hard link of a new generation decides between
writers, not the lock. The content of the file is for messages only.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat

from gmmcli.errors import CannotCreate, ModelDirBusy
from gmmcli.store.directory import IRREGULAR, LOCK, Folder, way_out

_MAX_NOTE_BYTES = 4096
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


def take(root: Folder, start: str) -> tuple[int, bool]:
    """Lock a model directory.

    Parameters
    ----------
    root : Folder
        The model directory.
    start : str
        The time now, for the message of another process.

    Returns
    -------
    descriptor : int
        The lock is held until this is closed.
    held : bool
        False if the file system has no locks.

    Raises
    ------
    ModelDirBusy
        Names the process, host and start time of the holder.
    CannotCreate
        `lock` is not a regular file.
    OSError
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    path = root.path / LOCK
    hint = way_out(path, root.path)
    try:
        descriptor = os.open(LOCK, flags, 0o666, dir_fd=root.descriptor)
    except OSError as error:
        if error.errno not in IRREGULAR:
            raise
        raise CannotCreate(str(path), IRREGULAR[error.errno], hint) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CannotCreate(str(path), "is not a regular file", hint)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelDirBusy(str(root.path), f"busy: {_describe_holder(descriptor)}") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return descriptor, False
        _leave_note(descriptor, start)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, True


def _leave_note(descriptor: int, start: str) -> None:
    """Write the holder of the lock to the file, if possible: a full disk is reported later."""
    note = json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "start": start})
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode() + b"\n", 0)


def _describe_holder(descriptor: int) -> str:
    """Return the holder of the lock, as the file records it."""
    try:
        note = json.loads(os.pread(descriptor, _MAX_NOTE_BYTES, 0))
        return f"pid {int(note['pid'])} on {str(note['host'])[:64]} since {str(note['start'])[:64]}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process writes to it"
