"""How names and cells of a table appear in messages: short, printable, quoted for a shell where typed."""

import shlex
from collections.abc import Sequence

from gmmcli.errors import printable

_LONGEST = 40
_MOST = 12


def shown(cell: str | bytes) -> str:
    """Return a cell or name for a message: control characters escaped, shortened beyond 40 characters."""
    text = cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else cell
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return printable(text)


def counted(count: int, noun: str) -> str:
    """Return "1 row", "2 rows"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def column(name: str) -> str:
    """Return how a column is called in a message."""
    return f'column "{shown(name)}"'


def listed(names: Sequence[str]) -> str:
    """Return names in a row, quoted; of many only the first ones and how many more there are."""
    text = ", ".join(f'"{shown(name)}"' for name in names[:_MOST])
    return text if len(names) <= _MOST else f"{text} and {len(names) - _MOST} more"


def option(name: str, *items: str) -> str:
    """Return an option that takes a LIST, with its items, as a shell takes it."""
    cells = ['"' + item.replace('"', '""') + '"' if set(item) & set(',"\n\r') else item for item in items]
    return f"{name} {quoted(','.join(cells))}"


def quoted(text: str) -> str:
    """Return a text as a shell takes it; with control characters, as bash, zsh and ksh do."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + printable(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"
