"""Records of delimited text that cannot be read: bytes that are no text, quotes that nothing closes."""

from gmmcli.errors import TableUnusable
from gmmcli.tables import delimited, wording
from gmmcli.tables.chunks import Chunk
from gmmcli.tables.delimited import Grammar, Record
from gmmcli.tables.stream import ByteStream


def is_plain(data: bytes, grammar: Grammar) -> bool:
    """Tell whether whole records hold nothing that Arrow reads otherwise, or lets pass."""
    if b"\0" in data or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
        return False
    return _is_utf8(data) and grammar.closes_quotes(data)


def check_bytes(stream: ByteStream, chunk: Chunk, record: Record, grammar: Grammar) -> None:
    """Raise `TableUnusable` where a record of a chunk of the stream holds bytes that are not text."""
    data = chunk.data[record.start : record.end]
    if b"\0" in data:
        place = chunk.line_of(record.start + data.index(b"\0"))
        raise TableUnusable(place, "a NUL byte: not a text file")
    if not _is_utf8(data):
        hint = stream.mended_by("iconv -f LATIN1 -t UTF-8", kind=grammar.kind)
        raise TableUnusable(chunk.line_of(record.start), "not UTF-8", hint)
    if delimited.has_bare_return(data, grammar.delimiter):
        hint = stream.mended_by("tr '\\r' '\\n'", kind=grammar.kind)
        fact = "lines end with a carriage return only (old Mac format)"
        raise TableUnusable(chunk.line_of(record.start), fact, hint)


def check_quotes(chunk: Chunk, record: Record, grammar: Grammar) -> None:
    """Raise `TableUnusable` where a cell of a record goes on behind its closing quote."""
    data = chunk.data[record.start : record.end]
    if (offset := delimited.find_after_quote(data, grammar.delimiter)) >= 0:
        begin = data.rfind(grammar.delimiter + b'"', 0, offset) + 1
        cell = wording.shown(data[begin:offset] + data[offset:].split(grammar.delimiter)[0].rstrip(b"\r\n"))
        place = chunk.line_of(record.start + offset)
        raise TableUnusable(place, f"a cell goes on behind its closing quote: {cell}")


def open_quote(chunk: Chunk, offset: int) -> TableUnusable:
    """Return the error about a quote that nothing closes."""
    return TableUnusable(chunk.line_of(offset), "a quote opens here and is never closed")


def _is_utf8(data: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
