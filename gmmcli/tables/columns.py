"""Which columns are meant: features, columns to pass, labels."""

import difflib
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gmmcli.core.mixture import Integers
from gmmcli.errors import TableUnusable, Usage
from gmmcli.tables.number import shown
from gmmcli.tables.source import Tables, check_columns

_POSITIONS = re.compile(r"#([0-9]+)(?:-#([0-9]+))?")


@dataclass(frozen=True)
class Selection:
    """Columns to learn from, and those that were left out because they are text."""

    features: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def select_features(tables: Tables, columns: Sequence[str] = (), exclude: Sequence[str] = ()) -> Selection:
    """Return the columns to learn from: those listed, or every numeric one, less those excluded.

    Parameters
    ----------
    tables : Tables
    columns, exclude : sequence of str
        Each an exact name, `#i` or `#i-#j` (from 1), or a glob.

    Raises
    ------
    Usage
        An item matches no column.
    TableUnusable
        A listed column is text, a name is empty or stands for several columns, or nothing is left.
    """
    excluded = set(_resolve(tables, exclude, "--exclude"))
    names = tables.column_names
    if columns:
        chosen = [i for i in _resolve(tables, columns, "--columns") if i not in excluded]
        skipped: list[int] = []
        for i in chosen:
            _require_numeric(tables, names[i])
    else:
        chosen = [i for i in range(len(names)) if i in tables.numeric and i not in excluded]
        skipped = [i for i in range(len(names)) if i not in tables.numeric and i not in excluded]
    if not chosen:
        raise TableUnusable(tables.name, "no numeric column to learn from", f"it has {', '.join(names)}")
    for i in chosen:
        if not names[i]:
            raise TableUnusable(
                tables.name, f"column {i + 1} has no name", f"--exclude '#{i + 1}', or name it"
            )
    features = tuple(names[i] for i in chosen)
    check_columns(names, features, tables.name)
    return Selection(features, tuple(names[i] for i in skipped))


def match_features(tables: Tables, features: Sequence[str]) -> tuple[str, ...]:
    """Return a model's features, in its order, once the table is known to have them.

    Raises
    ------
    TableUnusable
        One is absent, its name stands for several columns, or its type is not numeric.
    """
    check_columns(tables.column_names, features, tables.name)
    if tables.is_typed:
        for name in features:
            _require_numeric(tables, name)
    return tuple(features)


def select_extra(tables: Tables, patterns: Sequence[str] | Literal["all"]) -> tuple[str, ...]:
    """Return the columns to pass through.

    Raises
    ------
    Usage
        An item matches no column.
    TableUnusable
        A name stands for several columns.
    """
    names = tables.column_names
    chosen = names if patterns == "all" else tuple(names[i] for i in _resolve(tables, patterns, "--pass"))
    check_columns(names, chosen, tables.name)
    return chosen


def select_column(tables: Tables, name: str, option: str) -> str:
    """Return the one column that an option names.

    Raises
    ------
    Usage
        It matches none, or several.
    TableUnusable
    """
    found = _resolve(tables, [name], option)
    if len(found) > 1:
        raise Usage(f"{option} {name}", f"matches {len(found)} columns", "name one")
    column = tables.column_names[found[0]]
    check_columns(tables.column_names, [column], tables.name)
    return column


def encode_texts(column: Any) -> tuple[Integers, list[str | None]]:
    """Return a passed column as numbers into its distinct texts; None is an empty cell.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray

    Returns
    -------
    codes : ndarray of shape (n_rows,), int64
    texts : list of str or None
    """
    cells = column.to_pylist()
    texts: dict[Any, int] = {}
    codes = np.fromiter((texts.setdefault(cell, len(texts)) for cell in cells), np.int64, len(cells))
    return codes, [None if cell is None else _text(cell) for cell in texts]


def _text(cell: object) -> str:
    """Return a cell as text; true and false as tables write them."""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _require_numeric(tables: Tables, name: str) -> None:
    """Raise where a column is text, naming its first bad cell."""
    check_columns(tables.column_names, [name], tables.name)
    bad = tables.find_text_cell(name)
    if bad is not None:
        where, what = bad
        fact = f"not numeric: {what}" if tables.is_typed else f"not a number: {shown(what)}"
        raise TableUnusable(where, f'column "{name}": {fact}', f"--exclude {name}")


def _resolve(tables: Tables, items: Sequence[str], option: str) -> list[int]:
    """Return the positions that items stand for, in the order listed, each once."""
    found: dict[int, None] = {}
    for item in items:
        matches = _match(tables.column_names, item)
        if not matches:
            near = difflib.get_close_matches(item, tables.column_names, 1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else f"{tables.name} has {', '.join(tables.column_names[:10])}"
            )
            raise Usage(f"{option} {item}", f"no such column in {tables.name}", hint)
        found.update(dict.fromkeys(matches))
    return list(found)


def _match(names: Sequence[str], item: str) -> list[int]:
    """Return the positions of one item: exact name, then positions, then glob."""
    exact = [i for i, name in enumerate(names) if name == item]
    if exact:
        return exact
    if positions := _POSITIONS.fullmatch(item):
        first = int(positions[1])
        last = int(positions[2] or first)
        return list(range(first - 1, last)) if 1 <= first <= last <= len(names) else []
    return [i for i, name in enumerate(names) if fnmatch.fnmatchcase(name, item)]
