"""What is a number in a cell of text, what is missing, and why a column is not one of numbers."""

import math
import re
from dataclasses import dataclass

from gmmcli.remedies import Emptied
from gmmcli.tables import wording

# What pandas takes as missing by default.
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
_MISSING_CELLS = frozenset(word.encode() for word in MISSING)
_FLAGS = {b"true": 1.0, b"True": 1.0, b"TRUE": 1.0, b"false": 0.0, b"False": 0.0, b"FALSE": 0.0}
_NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_INFINITE = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)


def parse_number(cell: bytes) -> float | None:
    """Return what a cell says: NaN where it is missing, infinite in words or by overflow, None for a text.

    True and false are 1 and 0.
    """
    cell = cell.strip(b" \t")
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if cell in _MISSING_CELLS:
        return math.nan
    if cell in _FLAGS:
        return _FLAGS[cell]
    return float(cell) if _INFINITE.fullmatch(cell) else None


def has_digits(cell: bytes) -> bool:
    """Tell whether a cell is a number, not a word for one."""
    return _NUMBER.fullmatch(cell.strip(b" \t")) is not None


@dataclass(frozen=True)
class Doubt:
    """Why a column in which there are numbers is not one of numbers.

    Parameters
    ----------
    place : str
        File and line, or row.
    fact : str
        About the first cell that is not a number.
    kind : str
        Columns of one kind share a warning.
    way_out : str, Emptied or None
        What to type to have numbers.
    """

    place: str
    fact: str
    kind: str
    way_out: str | Emptied | None = None

    @classmethod
    def of_text(cls, place: str, cell: str) -> "Doubt":
        """Return that about a text among numbers."""
        return cls(place, f'not a number: "{wording.shown(cell)}"', "text")

    @classmethod
    def of_type(cls, place: str, cell: str) -> "Doubt":
        """Return that about a number that a typed format stores as text."""
        return cls(place, f'"{wording.shown(cell)}" is stored as text', "type")
