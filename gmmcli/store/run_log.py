"""log.jsonl: what every run did, one JSON object per line, only ever appended to.

A line that a crash tore off at the end is not damage: readers leave it out, the next writer removes it.
"""

import json
import os
import stat
from collections.abc import Mapping
from typing import Any

from gmmcli.errors import CheckpointCorrupt, NotFound
from gmmcli.store.directory import LOG, read_file

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TAIL_BYTES = 1 << 16


def append(root: int, event: Mapping[str, object]) -> None:
    """Append one line by a single write.

    Raises
    ------
    ValueError
        The event holds NaN, an infinity or what JSON cannot say.
    OSError
        The write failed or was short.
    """
    line = json.dumps(dict(event), allow_nan=False).encode() + b"\n"
    descriptor = os.open(LOG, _FLAGS | os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666, dir_fd=root)
    try:
        written = os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if written < len(line):
        raise OSError(f"only {written} of {len(line)} bytes were written to {LOG}")


def mend(root: int, subject: str) -> None:
    """Cut off a torn last line. Only for a writer that holds the lock.

    Raises
    ------
    CheckpointCorrupt
        The log is not a regular file.
    OSError
    """
    try:
        descriptor = os.open(LOG, _FLAGS | os.O_RDWR, dir_fd=root)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointCorrupt(subject, "is not a regular file")
        end = _end_of_last_line(descriptor, status.st_size)
        if end < status.st_size:
            os.ftruncate(descriptor, end)
    finally:
        os.close(descriptor)


def read(root: int, subject: str) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the events, and the numbers of whole lines that are no events.

    Raises
    ------
    CheckpointCorrupt
        The log is not a regular file, or too large.
    PermissionRefused
    ReadWriteFailed
    """
    try:
        lines = read_file(root, LOG, subject).split(b"\n")[:-1]
    except NotFound:
        lines = []
    events: list[dict[str, Any]] = []
    unreadable: list[int] = []
    for number, line in enumerate(lines, start=1):
        event = _parse(line)
        if event is None:
            unreadable.append(number)
        else:
            events.append(event)
    return events, unreadable


def newest_number(root: int) -> int:
    """Return the number of the last checkpoint that the log tells of. Numbers only grow.

    0 for none, or where the log cannot be read.
    """
    try:
        descriptor = os.open(LOG, _FLAGS | os.O_RDONLY, dir_fd=root)
    except OSError:
        return 0
    try:
        status = os.fstat(descriptor)
        end = status.st_size if stat.S_ISREG(status.st_mode) else 0
        for n_bytes in (_TAIL_BYTES, end):  # it is nearly always among the last lines
            start = max(0, end - n_bytes)
            lines = os.pread(descriptor, end - start, start).split(b"\n")
            for event in map(_parse, reversed(lines)):
                if event is not None and event["event"] == "checkpoint":
                    return event.get("checkpoint") or 0
    finally:
        os.close(descriptor)
    return 0


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the event on a line, None where there is none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if _is_event(event) else None


def _is_event(value: object) -> bool:
    """Tell whether a line is one of ours: an object with a time and an event, the rest of their types."""
    if not isinstance(value, dict):
        return False
    texts = (value.get("time"), value.get("event"), value.get("run", ""))
    checkpoint = value.get("checkpoint")
    return all(isinstance(text, str) for text in texts) and isinstance(checkpoint, int | None)


def _end_of_last_line(descriptor: int, size_bytes: int) -> int:
    """Return the offset behind the last newline; 0 without one."""
    end = size_bytes
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
