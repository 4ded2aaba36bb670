"""The grammar of CSV and TSV: records, fields, numbers. Knows bytes only: no files, no Arrow.

A field whose first byte is a quote runs to the quote that closes it, a doubled one stands for itself;
elsewhere a quote is a byte like any other. A record ends at a newline outside quotes. Arrow reads the same.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

MISSING = ("", "NaN", "nan", "NA", "null")
_MISSING_CELLS = frozenset(word.encode() for word in MISSING)
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_INFINITE = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+"')


class Record(NamedTuple):
    """One record and where it starts and ends in its chunk, the newline included."""

    start: int
    end: int
    fields: list[bytes]

    @property
    def is_blank(self) -> bool:
        """Whether it is an empty line."""
        return self.fields == [b""] and self.end - self.start <= 2


@dataclass(frozen=True)
class Grammar:
    """The patterns for one delimiter."""

    delimiter: bytes
    _records: re.Pattern[bytes]
    _record: re.Pattern[bytes]
    _field: re.Pattern[bytes]

    def find_end(self, data: bytes) -> int:
        """Return how many bytes are whole records, counted from the start of one."""
        if b'"' not in data:
            return data.rfind(b"\n") + 1
        found = self._records.match(data)
        return found.end() if found else 0

    def find_open_quote(self, data: bytes) -> int:
        """Return where the quote is that the data after the last whole record do not close."""
        position = self.find_end(data)
        while (field := self._field.match(data, position)) and data[field.end() : field.end() + 1] != b'"':
            position = field.end() + 1
        return position

    def iter_records(self, data: bytes) -> Iterator[Record]:
        """Yield the records of data that begin with one; what no newline ends is left out."""
        start = 0
        while (found := self._record.match(data, start)) is not None:
            end = found.end()
            yield Record(start, end, self._split(data, start, end))
            start = end

    def _split(self, data: bytes, start: int, end: int) -> list[bytes]:
        """Return the fields of the record from `start` to `end`."""
        last = end - 2 if data[start : end - 1].endswith(b"\r") else end - 1
        line = data[start:last]
        if b'"' not in line:
            return line.split(self.delimiter)
        fields, position = [], 0
        while (field := self._field.match(line, position)) is not None:
            quoted, rest, plain = field.groups(default=b"")
            fields.append(quoted.replace(b'""', b'"') + rest + plain)
            position = field.end() + 1
            if position > len(line):
                break
        return fields


@cache
def grammar(delimiter: bytes) -> Grammar:
    """Return the grammar of a one-byte delimiter."""
    d = re.escape(delimiter)
    plain = rb'[^"\n' + d + rb"][^\n" + d + rb"]*+"
    field = rb'(?:"(?:[^"]++|"")*+"[^\n' + d + rb"]*+|" + plain + rb")?+"
    record = rb'(?:[^"\n]*+\n|' + field + rb"(?:" + d + field + rb")*+\n)"
    groups = rb'(?:"((?:[^"]++|"")*+)"([^\n' + d + rb"]*+)|(" + plain + rb"))?+"
    return Grammar(delimiter, re.compile(rb"(?:" + record + rb")*+"), re.compile(record), re.compile(groups))


def has_bare_return(record: bytes) -> bool:
    """Tell whether a carriage return stands outside quotes without a newline after it."""
    return b"\r" in record and b"\r" in _QUOTED.sub(b"", record).replace(b"\r\n", b"\n")


def parse_number(cell: bytes) -> float | None:
    """Return what a cell says: NaN where it is missing, infinite in words or by overflow, None for a text."""
    cell = cell.strip(b" \t")
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if cell in _MISSING_CELLS:
        return math.nan
    return float(cell) if _INFINITE.fullmatch(cell) else None


def has_digits(cell: bytes) -> bool:
    """Tell whether a cell is a number, not a word for one."""
    return _NUMBER.fullmatch(cell.strip(b" \t")) is not None
