"""log.jsonl: the events of all runs, one JSON object per line, append-only.

An incomplete last line after a crash is not damage: readers skip it, and the next writer removes it. The log
is read line by line, or in pieces from its end, so that its size does not matter.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, NamedTuple

from gmmcli.errors import CheckpointCorrupt, NotFound, PermissionRefused
from gmmcli.store.directory import LOG, MAX_GENERATION, Folder, way_out

# A longer line is not an event: the event of a run over a thousand tables has about 100 kB.
MAX_LINE_BYTES = 1 << 20
# The last checkpoint is searched in this part of the log, from its end, piece by piece.
MAX_TAIL_BYTES = 1 << 24
_PIECE_BYTES = 1 << 16


class Last(NamedTuple):
    """The last checkpoint that the log records.

    Parameters
    ----------
    number : int
        The highest number given out: the next checkpoint has a greater one. 0 if there is none.
    left : int
        The newest checkpoint that should exist. It differs from `number` if a rollback gave up checkpoints.
    """

    number: int
    left: int


@dataclass(frozen=True)
class GivenUp:
    """A checkpoint that a rollback gave up, with its run and the run's tables, if the log records them."""

    checkpoint: int
    run: str | None
    tables: tuple[str, ...]


def append(root: Folder, event: Mapping[str, object]) -> None:
    """Append one line in a single write.

    Raises
    ------
    ValueError
        The event holds NaN, an infinity or a value that JSON does not have.
    OSError
        The write failed or was short.
    """
    line = json.dumps(dict(event), allow_nan=False).encode() + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(LOG, flags, 0o666, dir_fd=root.descriptor)
    try:
        written = os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if written < len(line):
        raise OSError(f"only {written} of {len(line)} bytes were written to {LOG}")


def mend(root: Folder) -> None:
    """Cut off an incomplete last line. The caller must hold the lock.

    Raises
    ------
    CheckpointCorrupt
        The log is not a regular file.
    PermissionRefused
    ReadWriteFailed
    """
    try:
        with _opened(root, os.O_RDWR) as (log, size_bytes):
            end = _end_of_last_line(log.fileno(), size_bytes)
            if end < size_bytes:
                os.ftruncate(log.fileno(), end)
    except NotFound:
        return


def timestamp(seconds: float) -> str:
    """Return a time, given since 1970, as ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@contextlib.contextmanager
def _opened(root: Folder, flags: int = os.O_RDONLY) -> Iterator[tuple[BufferedReader, int]]:
    """Open the log; yield it and its size."""
    try:
        with root.opened_file(LOG, flags) as opened:
            yield opened
    except CheckpointCorrupt as error:
        raise CheckpointCorrupt(error.subject, error.fact, way_out(root.path / LOG, root.path)) from error


def iter_events(root: Folder) -> Iterator[dict[str, Any] | None]:
    """Yield the event of every whole line, oldest first; None for a line that is not an event.

    Raises
    ------
    CheckpointCorrupt
        The log is not a regular file.
    PermissionRefused
    ReadWriteFailed
    """
    try:
        with _opened(root) as (log, _):
            while line := log.readline(MAX_LINE_BYTES):
                whole = line
                while whole and not whole.endswith(b"\n"):
                    whole = log.readline(MAX_LINE_BYTES)
                if whole:
                    yield _parse(line)
    except NotFound:
        return


def find_last(root: Folder) -> Last:
    """Return the last checkpoint that the last 16 MiB of the log record.

    Returns Last(0, 0) if there is no log, or it is not readable as a log: `verify` reports that.

    Raises
    ------
    ReadWriteFailed
    """
    try:
        with _opened(root) as (log, size_bytes):
            rest = b""
            for end in range(size_bytes, max(size_bytes - MAX_TAIL_BYTES, 0), -_PIECE_BYTES):
                start = max(0, end - _PIECE_BYTES)
                first, *lines = (os.pread(log.fileno(), end - start, start) + rest).split(b"\n")
                # The first line begins in the piece before; a line that is too long is not an event.
                rest = first if len(first) < MAX_LINE_BYTES else b""
                for line in reversed(lines if start else [first, *lines]):
                    event = _parse(line)
                    if event is not None and event["event"] in ("checkpoint", "rollback"):
                        left = event["checkpoint"]
                        return Last(event.get("number", left), left)
    except (CheckpointCorrupt, NotFound, PermissionRefused):
        pass
    return Last(0, 0)


def find_given_up(root: Folder, damaged: Sequence[int], good: int) -> list[GivenUp]:
    """Return the damaged checkpoints, and those that the log records after the good one, ascending.

    Raises
    ------
    CheckpointCorrupt, PermissionRefused, ReadWriteFailed
    """
    found: dict[int, dict[str, Any]] = {number: {} for number in damaged}
    start: dict[str, Any] = {}
    for event in filter(None, iter_events(root)):
        if event["event"] == "start":
            start = event
        elif event["event"] == "checkpoint" and event["checkpoint"] > good:
            found[event["checkpoint"]] = start
        elif event["event"] == "rollback":  # it gave up the earlier ones, except files that are damaged now
            found = {number: run for number, run in found.items() if number in damaged}
    return [
        GivenUp(number, run.get("run"), tuple(map(str, run.get("tables", ()))))
        for number, run in sorted(found.items())
    ]


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the event on a line; None if the line is not an event."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if _is_event(event) else None


def _is_event(value: object) -> bool:
    """Return whether a value is an event: an object with a time and an event, of the right types."""
    if not isinstance(value, dict):
        return False
    texts = (value.get("time"), value.get("event"), value.get("run", ""))
    numbers = [value[name] for name in ("checkpoint", "number") if name in value]
    if value.get("event") in ("checkpoint", "rollback") and "checkpoint" not in value:
        return False
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(number) is int and 1 <= number <= MAX_GENERATION for number in numbers)
        and isinstance(value.get("tables", []), list)
    )


def _end_of_last_line(descriptor: int, size_bytes: int) -> int:
    """Return the offset after the last newline; 0 if there is none."""
    end = size_bytes
    while end > 0:
        start = max(0, end - _PIECE_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
