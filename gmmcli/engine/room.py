"""The memory that is left to this process, by the machine, its control groups and its address space."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gmmcli.errors import OutOfMemory

MIB = 1 << 20
# Memory of threads, libraries and the chunks being parsed, in addition to the rows.
RESERVE_BYTES = 128 * MIB
# Rows are joined to pieces of this many; meanwhile there are two copies of a piece.
_ROWS_JOINED = 1 << 16
# Bytes per row that starts and passes need in addition to its values.
_NOTES_BYTES = 32
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


class Room(NamedTuple):
    """The memory that is left below a limit.

    Parameters
    ----------
    n_bytes : int
    limit : str
        What a message calls the limit.
    """

    n_bytes: int
    limit: str


def find_room() -> Room | None:
    """Return the least room below any limit; None if the system reports no limit."""
    return min([*_of_address_space(), *_of_machine(), *_of_groups()], default=None)


def check_room(subject: str, n_rows: int, n_columns: int, n_rows_held: int = 0) -> None:
    """Raise `OutOfMemory` if rows will not fit into memory.

    Parameters
    ----------
    subject : str
    n_rows, n_columns : int
        Size of the whole table.
    n_rows_held : int
        Rows that are in memory already.

    Raises
    ------
    OutOfMemory
        With the memory that the rows need and the memory that is left.
    """
    n_rows_more = n_rows - n_rows_held + min(n_rows, _ROWS_JOINED)
    needed = RESERVE_BYTES + 8 * n_columns * n_rows_more + _NOTES_BYTES * n_rows
    rows = f"{n_rows:,} rows of {n_columns:,} columns"
    when = f" after {rows}" if n_rows_held else f" for {rows}" if n_rows else ""
    _check(subject, find_room(), needed, when)


def check_addresses(subject: str) -> None:
    """Raise `OutOfMemory` if `ulimit -v` leaves too little to read a table: libraries would end the process.

    Raises
    ------
    OutOfMemory
    """
    _check(subject, next(_of_address_space(), None), RESERVE_BYTES, "")


def _check(subject: str, room: Room | None, needed: int, when: str) -> None:
    """Raise `OutOfMemory`, with numbers, if there is less room than needed."""
    if room is not None and room.n_bytes < needed:
        left = f"{max(room.n_bytes, 0) // MIB:,} of {room.limit} are left"
        raise OutOfMemory(subject, f"needs {needed // MIB:,} MiB of memory{when}, but only {left}")


def _of_address_space() -> Iterator[Room]:
    """Yield the room below `ulimit -v`."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    words = _read(_PROC / "self/statm").split()
    if limit != resource.RLIM_INFINITY and words:
        used = int(words[0]) * resource.getpagesize()
        yield Room(limit - used, f"the {limit // MIB:,} MiB of ulimit -v")


def _of_machine() -> Iterator[Room]:
    """Yield the memory and swap space that the system has available."""
    text = _read(_PROC / "meminfo")
    available = _find_number(text, "MemAvailable:")
    if available is not None:
        swap = _find_number(text, "SwapFree:") or 0
        yield Room((available + swap) * 1024, "the machine")


def _of_groups() -> Iterator[Room]:
    """Yield the room below the limits of this process's control groups and their parents."""
    for line in _read(_PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = _CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = _CGROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                yield from _of_group(folder, *names)


def _of_group(folder: Path, limit_name: str, usage_name: str, cache_name: str) -> Iterator[Room]:
    """Yield the room below the limit of a control group, if it has one. Inactive cache counts as free."""
    limit, usage = _read(folder / limit_name).strip(), _read(folder / usage_name).strip()
    if limit.isdigit() and usage.isdigit():
        cache = _find_number(_read(folder / "memory.stat"), cache_name) or 0
        yield Room(int(limit) - int(usage) + cache, f"the {int(limit) // MIB:,} MiB of the control group")


def _find_number(text: str, name: str) -> int | None:
    """Return the number after a name at the start of a line; None if there is none."""
    found = (line.split() for line in text.splitlines())
    return next((int(words[1]) for words in found if len(words) > 1 and words[0] == name), None)


def _read(path: Path) -> str:
    """Return the text of a file; "" if it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
