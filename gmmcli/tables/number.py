"""What is a number, what is missing: the rules for cells of text."""

import math
import re

MISSING = frozenset(("", "NaN", "nan", "NA", "null"))
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)
_SHOWN_CHARACTERS = 40


def is_missing(cell: str) -> bool:
    """Tell whether a cell stands for no value."""
    return cell.strip() in MISSING


def looks_numeric(cell: str) -> bool:
    """Tell whether a cell may stand in a numeric column: a number, an infinity, or no value."""
    cell = cell.strip()
    return cell in MISSING or bool(_NUMBER.fullmatch(cell) or _INFINITE.fullmatch(cell))


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number."""
    return bool(_NUMBER.fullmatch(cell.strip()))


def read_cell(cell: str) -> float:
    """Return the value of a cell, NaN where it is missing.

    Raises
    ------
    ValueError
        Saying what is wrong with the cell.
    """
    text = cell.strip()
    if text in MISSING:
        return math.nan
    if _INFINITE.fullmatch(text):
        raise ValueError(f"infinite value: {shown(cell)}")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {shown(cell)}")
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"does not fit a double: {shown(cell)}")
    return value


def shown(cell: str) -> str:
    """Return a cell as a message shows it: quoted, short, without control characters."""
    if len(cell) > _SHOWN_CHARACTERS:
        cell = cell[: _SHOWN_CHARACTERS - 1] + "…"
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cell) + '"'
