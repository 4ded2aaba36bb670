"""The grammar of CSV and TSV: records and fields. Knows bytes only: no files, no Arrow.

A field whose first byte is a quote runs to the quote that closes it, a doubled quote stands for itself;
elsewhere a quote is a byte like any other. A record ends at a newline outside quotes. Arrow reads the same.
No pattern takes a record apart: a quick one has possessive quantifiers, to which CPython 3.11.2 loses bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_QUOTES = re.compile(rb'"+')
_BLANKS = re.compile(rb" +")
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'


class Record(NamedTuple):
    """One record and where it starts and ends in its chunk, the newline included."""

    start: int
    end: int
    fields: list[bytes]

    @property
    def is_blank(self) -> bool:
        """Whether it is an empty line."""
        return self.fields == [b""] and self.end - self.start <= 2


class OpenQuote(NamedTuple):
    """Where the quote is that nothing closes."""

    offset: int


@dataclass(frozen=True)
class Grammar:
    """The grammar of one delimiter, a byte."""

    delimiter: bytes

    @property
    def kind(self) -> str:
        """The format: "csv" or "tsv"."""
        return "csv" if self.delimiter == b"," else "tsv"

    def find_end(self, data: bytes) -> int:
        """Return how many bytes are whole records, counted from the start of one."""
        if b'"' not in data:
            return data.rfind(b"\n") + 1
        found = self._find_end_by_parity(data)
        if found is not None:
            return found
        end = 0
        while (next_end := self._end_of_record(data, end)) is not None:
            end = next_end
        return end

    def find_open_quote(self, data: bytes) -> int:
        """Return where the quote is that the data after the last whole record do not close."""
        read = self._read_record(data + b"\n", self.find_end(data))
        return read.offset if isinstance(read, OpenQuote) else len(data)

    def iter_records(self, data: bytes) -> Iterator[Record]:
        """Yield the records of data that begin with one; what no newline ends is left out."""
        start = 0
        while isinstance(record := self._read_record(data, start), Record):
            yield record
            start = record.end

    def closes_quotes(self, data: bytes) -> bool:
        """Tell whether in whole records no cell goes on behind the quote that closes it."""
        if b'"' not in data or self._find_end_by_parity(data) is not None:
            return True
        records = (data[record.start : record.end] for record in self.iter_records(data))
        return all(find_after_quote(record, self.delimiter) < 0 for record in records if b'"' in record)

    def _find_end_by_parity(self, data: bytes) -> int | None:
        """Return what `find_end` does where every quote opens or closes a field or is doubled, else None.

        Then a byte is inside quotes where the number of quotes before it is odd.
        """
        cells = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(cells == _QUOTE)
        opening, closing = quotes[::2], quotes[1::2]
        before = cells[opening[opening > 0] - 1]
        after = cells[closing[closing < len(cells) - 1] + 1]
        ends = (before == _QUOTE) | (before == self.delimiter[0]) | (before == _NEWLINE)
        begins = (after == _QUOTE) | (after == self.delimiter[0]) | (after == _NEWLINE) | (after == _RETURN)
        if not (ends.all() and begins.all()):
            return None
        newline = data.rfind(b"\n")
        while newline >= 0 and (n_before := int(np.searchsorted(quotes, newline))) % 2:
            newline = data.rfind(b"\n", 0, int(quotes[n_before - 1]))
        return newline + 1

    def _end_of_record(self, data: bytes, start: int) -> int | None:
        """Return where the record from `start` ends, None where it does not."""
        newline = data.find(b"\n", start)
        if newline >= 0:
            is_quoted = data.startswith(b'"', start) or data.find(self.delimiter + b'"', start, newline) >= 0
            if not is_quoted:
                return newline + 1
        read = self._read_record(data, start)
        return read.end if isinstance(read, Record) else None

    def _read_record(self, data: bytes, start: int) -> Record | OpenQuote | None:
        """Return the record from `start`; None where no newline ends it."""
        newline = data.find(b"\n", start)
        if newline >= 0 and data.find(b'"', start, newline) < 0:
            last = newline - data.startswith(b"\r", newline - 1, newline) if newline > start else newline
            return Record(start, newline + 1, data[start:last].split(self.delimiter))
        fields, position = list[bytes](), start
        while True:
            quoted = b""
            if data.startswith(b'"', position):
                end = _find_closing(data, position + 1)
                if end < 0:
                    return OpenQuote(position)
                quoted, position = data[position + 1 : end].replace(b'""', b'"'), end + 1
            if newline < position:
                newline = data.find(b"\n", position)
                if newline < 0:
                    return None
            stop = data.find(self.delimiter, position, newline)
            if stop < 0:
                last = newline - (newline > position and data.startswith(b"\r", newline - 1))
                fields.append(quoted + data[position:last])
                return Record(start, newline + 1, fields)
            fields.append(quoted + data[position:stop])
            position = stop + 1


def _find_closing(data: bytes, position: int) -> int:
    """Return where the quote is that closes a field, given where its content begins; −1 for none."""
    # Of quotes in a row each two stand for one: an odd one is left over and closes.
    while run := _QUOTES.search(data, position):
        if (run.end() - run.start()) % 2:
            return run.end() - 1
        position = run.end()
    return -1


def _iter_behind_quotes(record: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each field of a record goes on behind its quotes, if it has any, and where it ends."""
    position = 0
    while position < len(record):
        if record.startswith(b'"', position):
            position = _find_closing(record, position + 1) + 1
            if not position:
                return
        stop = record.find(delimiter, position)
        end = len(record) if stop < 0 else stop
        yield position, end
        position = end + 1


def find_after_quote(record: bytes, delimiter: bytes) -> int:
    """Return where a cell goes on behind the quote that closes it, −1 if none does; blanks are nothing."""
    for position, _ in _iter_behind_quotes(record, delimiter):
        if position and record[position - 1] == _QUOTE:
            rest = _BLANKS.match(record, position)
            position = position if rest is None else rest.end()
            behind = record[position : position + 2]
            if not behind.startswith((delimiter, b"\n")) and behind not in (b"\r\n", b""):
                return position
    return -1


def has_bare_return(record: bytes, delimiter: bytes) -> bool:
    """Tell whether a carriage return stands outside quotes without a newline after it."""
    if record.count(b"\r") == record.count(b"\r\n"):
        return False
    plain = (record[begin:end] for begin, end in _iter_behind_quotes(record, delimiter))
    return any(rest.count(b"\r") != rest.count(b"\r\n") for rest in plain)
