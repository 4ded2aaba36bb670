"""How names and cells of a table appear in messages, short and printable; commands that mend a file."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from gmmcli.remedies import printable, quoted

_LONGEST = 40
_MOST = 12
# Beginnings of filters that take no name of a file.
_ONLY_STDIN = ("tr ", "tar ", "{ ")


def shown(cell: str | bytes) -> str:
    """Return a cell or name for a message: control characters escaped, shortened beyond 40 characters."""
    text = cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else cell
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return printable(text)


def counted(count: int, noun: str) -> str:
    """Return "1 row", "2,000 rows"."""
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


def column(name: str) -> str:
    """Return how a column is called in a message."""
    return f'column "{shown(name)}"'


def listed(names: Sequence[str]) -> str:
    """Return names in a row, quoted; of many only the first ones and how many more there are."""
    text = ", ".join(f'"{shown(name)}"' for name in names[:_MOST])
    return text if len(names) <= _MOST else f"{text} and {len(names) - _MOST} more"


def pipeline(name: str, filters: Sequence[str], kind: str) -> str:
    """Return the command line that puts a file through filters into a new file of a kind.

    Stdin has no name: filters go into the pipe that is there.
    """
    if name == "-":
        return f"pipe it through: {' | '.join(filters)}"
    first, *rest = filters
    first += f" < {quoted(name)}" if first.startswith(_ONLY_STDIN) else f" {argument(name)}"
    return " | ".join([first, *rest]) + f" > {new_file(kind)}"


def new_file(kind: str) -> str:
    """Return the name of a file that does not exist yet."""
    names = itertools.chain([f"table.{kind}"], (f"table-{i}.{kind}" for i in itertools.count(2)))
    return next(name for name in names if not Path(name).exists())


def argument(name: str) -> str:
    """Return the name of a file as a shell takes it, and as no command takes it for an option."""
    return quoted(f"./{name}" if name.startswith("-") else name)
