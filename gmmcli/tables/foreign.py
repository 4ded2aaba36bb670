"""Content that is no table of ours, told by how it begins, and what to type to have one."""

import re

from gmmcli.errors import TableUnusable
from gmmcli.tables import wording
from gmmcli.tables.numbers import find_notation, has_digits
from gmmcli.tables.operands import STDIN

_BY_OFFICE = "libreoffice --headless --convert-to csv {}"
# How a file begins -> what it is, and what writes it as a table.
_KINDS = {
    rb"\xfd7zXZ\0": ("xz data", "xz -dc {} > table.csv"),
    rb"\x04\x22\x4d\x18": ("lz4 data", "lz4 -dc {} > table.csv"),
    rb"PK\x03\x04(?s:.{26,})(?:\[Content_Types\]\.xml|mimetypeapp|xl/)": ("a workbook", _BY_OFFICE),
    rb"PK\x03\x04": ("a zip archive", "unzip -p {} > table.csv"),
    rb"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x -so {} > table.csv"),
    rb"Rar!\x1a\x07": ("a rar archive", "unrar p -inul {} > table.csv"),
    rb"\x89HDF\r\n\x1a\n": ("an HDF5 file", None),
    rb"SQLite f": ("an SQLite database", None),
    rb"\xd0\xcf\x11\xe0": ("a workbook", _BY_OFFICE),
}
_LOOKED_AT_LINES = 20


def check_kind(head: bytes, name: str) -> None:
    """Raise `TableUnusable` where a file begins as an archive, or as another kind of file, does.

    Parameters
    ----------
    head : bytes
        What is there, at least 8 bytes.
    name : str
        The operand's.
    """
    for magic, (kind, command) in _KINDS.items():
        if re.match(magic, head[:512]):
            hint = None if command is None or name == STDIN else command.format(wording.quoted(name))
            raise TableUnusable(name, f"{kind}, not a table", hint)


def check_array(line: bytes, name: str) -> None:
    """Raise `TableUnusable` where the first line that is not blank begins a JSON array of objects."""
    if re.match(rb"\s*\[\s*(?:\{|$)", line):
        source = "" if name == STDIN else f" {wording.quoted(name)}"
        fact = "a JSON array: a line for each row is read"
        raise TableUnusable(name, fact, f"jq -c '.[]'{source} > table.jsonl")


def check_single_name(header: bytes, below: bytes, line: int, name: str) -> None:
    """Raise `TableUnusable` where a header of one column looks like several, or like no header.

    Parameters
    ----------
    header : bytes
        The only name in it, or the delimiter as "sep=," names it.
    below : bytes
        The lines after it, as far as they are there.
    line : int
        The header's number.
    name : str
        The operand's.
    """
    file = "" if name == STDIN else f" {wording.quoted(name)}"
    source = file and f" <{file}"
    lines = [text for text in below.split(b"\n") if text.strip()][:_LOOKED_AT_LINES]

    def refuse(fact: str, command: str) -> TableUnusable:
        return TableUnusable(f"{name}:{line}", fact, command)

    if header.startswith(b"sep=") and len(header) == 5:
        translate = f"| {_translate(header[4:], lines, '')} > table.tsv"
        kept = "> table.csv" if header.endswith(b",") else translate
        raise refuse("a line about the delimiter, not a header", f"tail -n +{line + 1}{file} {kept}")
    for delimiter, word in ((b";", "semicolons"), (b"|", "vertical bars")):
        if delimiter in header and (not lines or delimiter in lines[0]):
            fact = f"the header has {word}, but neither a comma nor a tab"
            raise refuse(fact, f"{_translate(delimiter, lines, source)} > table.tsv")
    begins = next((i for i, text in enumerate(lines) if b"," in text), None)
    if header.startswith(b"#") and (begins is not None or b" " in header):
        raise refuse("a comment, not a header", f"grep -v '^#'{file} > table.csv")
    if begins and not any(map(has_digits, lines[:begins])):
        fact = "a line before the header: the lines further down have several cells"
        raise refuse(fact, f"tail -n +{line + begins + 1}{file} > table.csv")
    if len(header.split()) > 1 and lines and len(lines[0].split()) == len(header.split()):
        fact = "the header has blanks between its names, but neither a comma nor a tab"
        raise refuse(fact, f"tr -s ' ' '\\t'{source} > table.tsv")


def _translate(delimiter: bytes, lines: list[bytes], source: str) -> str:
    """Return the command that makes tabs of delimiters, and points of decimal commas."""
    sign = delimiter.decode("latin-1")
    cells = (cell.decode("utf-8", "replace") for text in lines for cell in text.split(delimiter))
    has_commas = any("," in cell and find_notation(cell) is not None for cell in cells)
    return f"tr '{sign},' '\\t.'{source}" if has_commas else f"tr '{sign}' '\\t'{source}"
