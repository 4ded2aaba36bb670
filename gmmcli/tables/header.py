"""The header of delimited text: the first record that is not blank, and what cannot be one."""

import re
from typing import NamedTuple

from gmmcli.errors import TableUnusable
from gmmcli.tables import layouts, numbers, wording
from gmmcli.tables.chunks import INFERENCE_BYTES, Chunk
from gmmcli.tables.delimited import Grammar, Record
from gmmcli.tables.layouts import Layout
from gmmcli.tables.records import check_bytes, check_quotes, open_quote
from gmmcli.tables.stream import ByteStream

# More than any table has: what goes beyond is not a table.
MAX_HEADER_BYTES, MAX_COLUMNS = 1 << 24, 1 << 20
# The header of a slow pipe is looked for at every delivery up to here.
_SHORT_BYTES = 1 << 20
# The layout of a text is told by so much of it.
_LAYOUT_BYTES = 1 << 16
_BLANK_LINES = re.compile(rb"(?:\r?\n)*")


class Header(NamedTuple):
    """The names of the columns, and how much of the text is gone with them."""

    names: tuple[str, ...]
    n_bytes: int
    n_lines: int


def read_header(stream: ByteStream, name: str, grammar: Grammar) -> Header:
    """Take the header from the start of a text.

    Parameters
    ----------
    stream : ByteStream
        After the byte order mark.
    name : str
        For messages.
    grammar : Grammar

    Raises
    ------
    TableUnusable
        There is no header, or none that can be used.
    """
    n_bytes, n_lines = _skip_blank_lines(stream)
    if not stream.n_held:
        raise TableUnusable(name, "no header: every line is blank" if n_lines else "empty")
    record = _first_record(stream, grammar, Chunk(b"", n_lines + 1, name))
    chunk = Chunk(stream.held[: record.end], n_lines + 1, name)
    check_bytes(stream, chunk, record, grammar)
    if len(record.fields) > MAX_COLUMNS:
        fact = f"{len(record.fields)} columns; at most {MAX_COLUMNS} are read"
        raise TableUnusable(chunk.line_of(0), fact)
    _check_layout(stream, chunk, record, grammar)
    check_quotes(chunk, record, grammar)
    stream.skip(record.end)
    names = tuple(field.decode() for field in record.fields)
    return Header(names, n_bytes + record.end, n_lines + chunk.data.count(b"\n"))


def _skip_blank_lines(stream: ByteStream) -> tuple[int, int]:
    """Take the blank lines at the start; return how many bytes and lines they were."""
    n_bytes = n_lines = 0
    while True:
        held = stream.held
        blank = _BLANK_LINES.match(held)
        end = blank.end() if blank else 0
        n_bytes, n_lines = n_bytes + end, n_lines + held.count(b"\n", 0, end)
        stream.skip(end)
        # A single byte may be half the end of a line.
        if len(held) > end + 1 or not stream.grow():
            return n_bytes, n_lines


def _first_record(stream: ByteStream, grammar: Grammar, start: Chunk) -> Record:
    """Return the record at the start of a stream, without waiting for more than that."""
    tried = 0
    while True:
        # A long line is looked at again when it has doubled, lest the time grow with its square.
        if stream.n_held < _SHORT_BYTES or stream.n_held >= 2 * tried:
            tried = stream.n_held
            for record in grammar.iter_records(stream.held):
                return record
        if stream.n_held > MAX_HEADER_BYTES:
            raise TableUnusable(start.line_of(0), f"a header of more than {MAX_HEADER_BYTES} bytes")
        if not stream.grow():
            break
    held = stream.held
    for record in grammar.iter_records(held + b"\n"):
        return record._replace(end=len(held))
    raise open_quote(Chunk(held, start.first_line, start.subject), grammar.find_open_quote(held))


def _check_layout(stream: ByteStream, chunk: Chunk, record: Record, grammar: Grammar) -> None:
    """Raise `TableUnusable` where the first record is not a header, or not one of CSV or TSV."""
    if all(map(numbers.has_digits, record.fields)):
        cells = wording.shown(grammar.delimiter.join(record.fields[:40]))
        fact = f"the first line has only numbers, so it cannot be a header: {cells}"
        filters = (layouts.number_columns(len(record.fields), grammar.kind),)
        layout: Layout | None = Layout(fact, filters, grammar.kind)
    else:
        layout = _find_layout(stream, record, chunk.first_line, grammar)
        if layout is not None and any("," in one for one in layout.filters):
            # Of a text with decimal commas all that is to be judged by is looked at.
            stream.peek(INFERENCE_BYTES)
            layout = _find_layout(stream, record, chunk.first_line, grammar, INFERENCE_BYTES)
    if layout is not None:
        hint = f"--input-format {layout.kind}"
        if layout.filters:
            hint = stream.mended_by(*layout.filters, kind=layout.kind)
        raise TableUnusable(chunk.line_of(0), layout.fact, hint)


def _find_layout(
    stream: ByteStream, header: Record, first_line: int, grammar: Grammar, n_bytes: int = _LAYOUT_BYTES
) -> Layout | None:
    """Return how a text is laid out, if the lines at hand are not in columns as the header is."""
    is_one_column = len(header.fields) == 1
    head = stream.held[:n_bytes]
    while is_one_column and len(head) < n_bytes and head.count(b"\n") < 2 and stream.grow():
        head = stream.held[:n_bytes]
    *lines, last = head.split(b"\n")
    lines = lines if len(lines) > 1 else [*lines, last]  # the last one may be cut off
    if header.end > len(lines[0]) + 1 or head.count(b"\r") > head.count(b"\r\n"):
        return None
    records = grammar.iter_records(head[header.end :])
    row = next((record for record in records if not record.is_blank), header)
    is_divided = not is_one_column and len(row.fields) == len(header.fields)
    return layouts.find_layout(lines, first_line, grammar.delimiter, is_divided=is_divided)
