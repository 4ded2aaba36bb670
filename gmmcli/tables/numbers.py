"""What is a number in a cell of text, what is missing, and what is a number in another notation."""

import math
import re
from dataclasses import dataclass

from gmmcli.remedies import quoted
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
class Notation:
    """Another way to write numbers.

    Parameters
    ----------
    name : str
    pattern : re.Pattern
        Of a cell without the white space around it.
    in_csv, in_tsv : str
        sed expressions that turn it into plain numbers. In CSV a comma that is no delimiter is inside quotes.
    """

    name: str
    pattern: re.Pattern[str]
    in_csv: str
    in_tsv: str

    def filter(self, kind: str) -> str:
        """Return the command that makes plain numbers in "csv" or "tsv"; the header stays as it is."""
        expression = self.in_tsv if kind == "tsv" else self.in_csv
        return f"sed -E {quoted(f'1!{{{expression};}}')}"


_MINUS = "\N{MINUS SIGN}"
_MINUS_SIGN = Notation(
    "a minus sign U+2212", re.compile(f".*{_MINUS}.*"), in_csv=f"s/{_MINUS}/-/g", in_tsv=f"s/{_MINUS}/-/g"
)
_SIGNS = "$€£¥₹₩₽"
# Alternatives, not a set: sed in the C locale takes a set apart into bytes.
_NO_SIGN = f"s/ ?({'|'.join(map(re.escape, _SIGNS))}) ?//g"
_EXPONENT = r"s/([0-9.])[dDqQ]([-+]?[0-9])/\1e\2/g; s/ ?(\*|x|×|·) ?10(\^|\*\*)/e/g"
NOTATIONS = (
    Notation(
        "a currency sign",
        re.compile(rf"[-+]?[{_SIGNS}] ?[-+]?[\d.,' ]*\d|[-+]?\d[\d.,' ]* ?[{_SIGNS}]"),
        in_csv=_NO_SIGN,
        in_tsv=_NO_SIGN,
    ),
    Notation("a per cent sign", re.compile(r"[-+]?\d[\d.,]* ?%"), in_csv="s/ ?%//g", in_tsv="s/ ?%//g"),
    Notation(
        "a thousands separator",
        re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?"),
        in_csv=r':a;s/("[-+]?[0-9]+),([0-9]{3})/\1\2/;ta',
        in_tsv=r":a;s/([0-9]),([0-9]{3})/\1\2/;ta",
    ),
    Notation(
        "a thousands separator",
        re.compile(r"[-+]?\d{1,3}(?:[' ]\d{3})+(?:[.,]\d*)?"),
        in_csv=r":a;s/([0-9])[' ]([0-9]{3})/\1\2/;ta",
        in_tsv=r":a;s/([0-9])[' ]([0-9]{3})/\1\2/;ta",
    ),
    Notation(
        "a decimal comma",
        re.compile(r"[-+]?(?:\d+|\d{1,3}(?:\.\d{3})*)?,\d+(?:[eE][-+]?\d+)?"),
        in_csv=r':a;s/("[-+]?[0-9]+)\.([0-9]{3}[.,])/\1\2/;ta;s/"([-+]?[0-9]*),([0-9]+[^"]*)"/\1.\2/g',
        in_tsv=r":a;s/([0-9])\.([0-9]{3}[.,])/\1\2/;ta;s/([0-9]?),([0-9])/\1.\2/g",
    ),
    Notation(
        "an exponent in another notation",
        re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[dDqQ][-+]?\d+| ?[*x×·] ?10(?:\^|\*\*)[-+]?\d+)"),
        in_csv=_EXPONENT,
        in_tsv=_EXPONENT,
    ),
)


def find_notation(cell: str) -> Notation | None:
    """Return the notation in which a cell is a number, or None."""
    cell = cell.strip()
    if _MINUS_SIGN.pattern.fullmatch(cell):
        plain = cell.replace(_MINUS, "-")
        return _MINUS_SIGN if has_digits(plain.encode()) or find_notation(plain) else None
    return next((notation for notation in NOTATIONS if notation.pattern.fullmatch(cell)), None)


def is_number_as_text(cell: str) -> bool:
    """Tell whether a text of a typed format is a number, in whatever notation; 00501 is a code."""
    if re.match(r"0\d", cell):
        return False
    number = parse_number(cell.encode("utf-8", "replace"))
    return find_notation(cell) is not None if number is None else not math.isnan(number)


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
    way_out : str or None
        What to type to have numbers.
    """

    place: str
    fact: str
    kind: str
    way_out: str | None = None

    @classmethod
    def of_text(cls, place: str, cell: str) -> "Doubt":
        """Return that about a text among numbers."""
        return cls(place, f'not a number: "{wording.shown(cell)}"', "text")

    @classmethod
    def of_type(cls, place: str, cell: str) -> "Doubt":
        """Return that about a number that a typed format stores as text."""
        return cls(place, f'"{wording.shown(cell)}" is stored as text', "type")
