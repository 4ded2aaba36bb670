"""Recognise the format of an operand: by content, then by the suffix of its name."""

import re
from typing import BinaryIO

from gmmcli.errors import TableUnusable
from gmmcli.tables.batch import Reader
from gmmcli.tables.foreign import refuse_archive, refuse_other_json
from gmmcli.tables.stream import ByteStream, open_stream
from gmmcli.tables.suffixes import find_format

_ARROW_FILE = b"ARROW1"
_MAGIC = {b"PAR1": "parquet", _ARROW_FILE: "arrow", b"\xff\xff\xff\xff": "arrow"}
# A header may begin with the name PAR1: text goes on after it, a binary format does not.
_NAMED_LIKE_MAGIC = re.compile(rb"(?:PAR1|ARROW1)[\t\r\n -~]")
# Byte order marks of UTF-8: a file that was exported twice has two.
_MARKS = re.compile(rb"\A(?:\xef\xbb\xbf)*")
_UTF8_MARK = b"\xef\xbb\xbf"
# With a byte order mark, or without one where ASCII begins.
_ENCODINGS = (
    (re.compile(rb"\xff\xfe\0\0"), "UTF-32"),
    (re.compile(rb"\xff\xfe|\xfe\xff"), "UTF-16"),
    (re.compile(rb"[\t -~]\0[\t -~]\0"), "UTF-16LE"),
    (re.compile(rb"\0[\t -~]\0[\t -~]"), "UTF-16BE"),
)
# Without a newline in as many bytes a line decides nothing.
_LONGEST_LINE = 1 << 16


def open_reader(file: BinaryIO, name: str, input_format: str | None, n_threads: int) -> Reader:
    """Return a reader for an open file.

    Parameters
    ----------
    file : binary file
    name : str
        For messages, and for its suffix.
    input_format : str or None
        One of FORMATS; None to recognise it.
    n_threads : int

    Raises
    ------
    TableUnusable
        The content is not a table.
    GmmError
        The operating system cannot read.
    """
    stream = open_stream(file, name)
    refuse_archive(stream, file, name)
    kind = input_format or _recognise(stream, name)
    if kind in ("parquet", "arrow") and (text := _find_text(stream)) is not None:
        raise TableUnusable(name, f"text, not {kind.capitalize()}", f"--input-format {text}")
    match kind:
        case "parquet":
            from gmmcli.tables.typed import open_parquet

            return open_parquet(stream, name, n_threads)
        case "arrow":
            from gmmcli.tables.typed import open_arrow

            return open_arrow(stream, name, is_file=stream.peek(6) == _ARROW_FILE)
        case "jsonl":
            from gmmcli.tables.json_lines import JsonLinesReader

            _skip_mark(stream, name)
            refuse_other_json(stream, _first_line(stream), name)
            return JsonLinesReader(stream, name, n_threads)
        case _:
            from gmmcli.tables.text import TextReader

            _skip_mark(stream, name)
            refuse_other_json(stream, _first_line(stream), name)
            return TextReader(stream, name, b"\t" if kind == "tsv" else b",", n_threads)


def _recognise(stream: ByteStream, name: str) -> str:
    """Return the format of what comes."""
    head = stream.peek(8)
    if not head:
        raise TableUnusable(name, "empty")
    if not _NAMED_LIKE_MAGIC.match(head):
        for magic, kind in _MAGIC.items():
            if head.startswith(magic):
                return kind
    line = _first_line(stream)
    by_suffix = find_format(name)
    if by_suffix not in (None, "csv") and not line.lstrip().startswith(b"{"):
        return by_suffix  # tabs are found in files named .csv
    return _format_of(line)


def _find_text(stream: ByteStream) -> str | None:
    """Return the format of a text, None where the first line is none."""
    if any(map(stream.peek(8).startswith, _MAGIC)):
        return None
    line = _first_line(stream)
    if not line.rstrip(b"\r").decode("utf-8", "replace").replace("\t", "").isprintable() or b"\xff" in line:
        return None
    return _format_of(line)


def _format_of(line: bytes) -> str:
    """Return the format of a text with this first line."""
    if line.lstrip().startswith(b"{"):
        return "jsonl"
    return "tsv" if b"\t" in line and b"," not in line else "csv"


def _first_line(stream: ByteStream) -> bytes:
    """Return the first line that is not blank, as far as it is there."""
    while True:
        *lines, rest = _MARKS.sub(b"", stream.held, count=1).split(b"\n")
        for line in lines:
            if line.strip():
                return line
        if stream.n_held > _LONGEST_LINE or not stream.grow():
            return rest


def _skip_mark(stream: ByteStream, name: str) -> None:
    """Take byte order marks of UTF-8; refuse other encodings."""
    while stream.peek(3) == _UTF8_MARK:
        stream.skip(3)
    for begin, encoding in _ENCODINGS:
        if begin.match(stream.held):
            raise TableUnusable(name, f"{encoding} text", stream.mended_by(f"iconv -f {encoding} -t UTF-8"))
