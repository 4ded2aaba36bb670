"""Files that hold tables in forms that gmmcli does not read: what they are, and what to type."""

import json
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

from gmmcli.errors import TableUnusable
from gmmcli.remedies import quoted
from gmmcli.tables import wording
from gmmcli.tables.operands import STDIN
from gmmcli.tables.stream import ByteStream
from gmmcli.tables.suffixes import find_format

# How data begin that a program has compressed, its name, and the filter that decompresses them.
_COMPRESSED = (
    (re.compile(rb"\xfd7zXZ\0"), "xz", "xz -dc"),
    (re.compile(rb"\x5d\0\0[\0-\xff]{2}\xff"), "lzma", "xz -dc"),
    (re.compile(rb"LZIP\x01"), "lzip", "lzip -dc"),
    (re.compile(rb"\x04\x22M\x18"), "lz4", "lz4 -dc"),
    (re.compile(rb"\x1f[\x9d\xa0]"), "compress", "gzip -dc"),
    # These are decompressed: what is left was compressed twice.
    (re.compile(rb"\x1f\x8b\x08"), "gzip, twice", "gzip -dc"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2, twice", "bzip2 -dc"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd, twice", "zstd -dc"),
)
# How other files begin, what they are, and what to type, the name of the file put in.
_OTHERS = (
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive", "7z x -so {} > table.csv"),
    (re.compile(rb"Rar!\x1a\x07"), "a rar archive", "unrar p -inul {} > table.csv"),
    (
        re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "an Excel workbook",
        "libreoffice --convert-to csv {}",
    ),
    (re.compile(rb"SQLite format 3\0"), "an SQLite database", "sqlite3 -readonly {} .tables"),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "an HDF5 file", "h5dump -n {}"),
    (re.compile(rb"\x93NUMPY"), "a NumPy array", None),
    (re.compile(rb"\x80[\x02-\x05][]}(c\x95]"), "a Python pickle", None),
    (re.compile(rb"RD[AX][23]\n|X\n\0\0\0"), "R data", None),
    (re.compile(rb"Obj\x01"), "an Avro file", None),
    (re.compile(rb"ORC[\0-\x1f\x80-\xff]"), "an ORC file", None),
    (re.compile(rb"FEA1\0"), "a Feather file of version 1", None),
    (re.compile(rb"[-+]?[\d.]+(?: \d+:[-+\d.eE]+)+ *(?:\r?\n|$)"), "sparse rows of libsvm", None),
    (re.compile(rb"%PDF-"), "a PDF document", None),
    (re.compile(rb"\s*<(?:\?xml|!DOCTYPE|html|table)\b", re.IGNORECASE), "XML or HTML", None),
)
_ZIP = re.compile(rb"PK\x03\x04|PK\x05\x06")
_IN_WORKBOOKS = {"[Content_Types].xml", "mimetype", "content.xml"}
# Where a tar archive has its mark, and the type of its first member.
_TAR, _TAR_MARK, _TAR_TYPE = b"ustar", 257, 156
_ARRAY_OF_OBJECTS = re.compile(rb"\s*\[\s*(?:\{|$)")
_ARRAY_OF_ARRAYS = re.compile(rb"\s*\[\s*\[")
_ARRAY_OF_VALUES = re.compile(rb'\s*\[\s*(?:".*"|[-\d.eE]+)\s*\]\s*$')
_PART_OF_OBJECT = re.compile(rb"\s*\{(?:.*[^}\s])?\s*$")
_ROWS_OF_COLUMNS = "(to_entries[0].value | keys_unsorted[]) as $i | map_values(.[$i])"


def refuse_archive(stream: ByteStream, file: BinaryIO, name: str) -> None:
    """Raise `TableUnusable` where the beginning of a file is that of a form that is not read.

    Parameters
    ----------
    stream : ByteStream
        Decompressed where that can be done.
    file : binary file
        Below the stream.
    name : str
    """
    stream.peek(8)
    head = stream.held
    for begin, program, command in _COMPRESSED:
        if begin.match(head):
            kind = find_format(name.rpartition(".")[0]) or "csv"
            raise TableUnusable(name, f"compressed by {program}", stream.mended_by(command, kind=kind))
    if head.startswith(_TAR, _TAR_MARK):
        member = head[:100].rstrip(b"\0").decode("utf-8", "replace")
        is_file = head[_TAR_TYPE : _TAR_TYPE + 1] in b"0\0" and not member.startswith("-")
        command = f"tar -xOf - {quoted(member)}" if is_file else "tar -xOf -"
        hint = stream.mended_by(command, kind=find_format(member) or "csv")
        raise TableUnusable(name, f"a tar archive; its first file is {wording.shown(member)}", hint)
    if _ZIP.match(head):
        raise _explain_zip(stream, file, name)
    for begin, what, shell in _OTHERS:
        if begin.match(head):
            if shell is not None:
                shell = shell.format(wording.argument(name)) if name != STDIN else "save it to a file"
            raise TableUnusable(name, what, shell)


def refuse_other_json(stream: ByteStream, first_line: bytes, name: str) -> None:
    """Raise `TableUnusable` where a text is JSON, but not with an object on each line.

    Parameters
    ----------
    stream : ByteStream
    first_line : bytes
        That is not blank.
    name : str
    """
    if _ARRAY_OF_ARRAYS.match(first_line):
        raise TableUnusable(name, "a JSON array of arrays", stream.mended_by("jq -r '.[] | @csv'"))
    if _ARRAY_OF_OBJECTS.match(first_line):
        hint = stream.mended_by("jq -c '.[]'", kind="jsonl")
        raise TableUnusable(name, "a JSON array; JSON lines need one object on each line", hint)
    if _ARRAY_OF_VALUES.match(first_line):
        raise TableUnusable(name, "JSON arrays, not objects", stream.mended_by("jq -r @csv"))
    if first_line.rstrip().endswith(b",") and _is_object(first_line.rstrip()[:-1]):
        hint = stream.mended_by("sed 's/,[[:space:]]*$//'", kind="jsonl")
        raise TableUnusable(name, "JSON objects with commas between the lines", hint)
    if _PART_OF_OBJECT.match(first_line) and first_line + b"\n" in stream.held:
        hint = stream.mended_by("jq -c .", kind="jsonl")
        fact = "JSON objects that span lines; JSON lines need one object on each line"
        raise TableUnusable(name, fact, hint)


def _is_object(text: bytes) -> bool:
    """Tell whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def refuse_table_in_object(stream: ByteStream, found: Mapping[str, Any], name: str) -> None:
    """Raise `TableUnusable` where the only object of a text holds a table, as pandas writes it."""
    lists = [key for key, value in found.items() if isinstance(value, list)]
    rows = [key for key in lists if found[key] and isinstance(found[key][0], dict)]
    if {"columns", "data"}.issubset(lists) and not rows:
        hint = stream.mended_by("jq -r '.columns, .data[] | @csv'")
        raise TableUnusable(name, "one JSON object with separate column names and rows", hint)
    if any(isinstance(value, (int, float)) for value in found.values()):
        return
    if len(rows) == 1:
        program = f".[{json.dumps(rows[0], ensure_ascii=False)}][]"
        hint = stream.mended_by(f"jq -c {quoted(program)}", kind="jsonl")
        raise TableUnusable(name, f'one JSON object, with rows in "{wording.shown(rows[0])}"', hint)
    is_nested = all(isinstance(value, (list, dict)) and len(value) > 1 for value in found.values())
    if found and not rows and is_nested:
        hint = stream.mended_by(f"jq -c '{_ROWS_OF_COLUMNS}'", kind="jsonl")
        raise TableUnusable(name, "one JSON object, with a column in each value", hint)


def _explain_zip(stream: ByteStream, file: BinaryIO, name: str) -> TableUnusable:
    """Return the error about a zip archive, which may be a workbook or NumPy's."""
    if name == STDIN or not file.seekable():
        return TableUnusable(name, "a zip archive", stream.mended_by("funzip"))
    import zipfile

    shell_name = wording.argument(name)
    try:
        members = [member for member in zipfile.ZipFile(file).namelist() if not member.endswith("/")]
    except (zipfile.BadZipFile, OSError, ValueError):
        return TableUnusable(name, "a damaged zip archive", f"unzip -t {shell_name}")
    if _IN_WORKBOOKS.intersection(members):
        return TableUnusable(name, "a workbook", f"libreoffice --convert-to csv {shell_name}")
    if all(member.endswith(".npy") for member in members):
        return TableUnusable(name, f"NumPy arrays: {wording.listed(members)}")
    tables = [member for member in members if find_format(member)] or members
    # To unzip a name is a pattern, and one that begins with a dash is an option.
    pattern = re.sub("^-", "?", re.sub(r"([][*?\\])", r"\\\1", tables[0]))
    only = f" {quoted(pattern)}" if len(members) > 1 else ""
    hint = f"unzip -p {shell_name}{only} > {wording.new_file(find_format(tables[0]) or 'csv')}"
    return TableUnusable(name, f"a zip archive of {wording.listed(members)}", hint)
