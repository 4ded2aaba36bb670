"""Archives, workbooks and JSON in other shapes: named, with a hint that makes a table of them."""

import bz2
import gzip
import io
import json
import lzma
import shutil
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
from tables.typing_hints import read, read_after_typing, refusal_of

from gmmcli.errors import TableUnusable
from gmmcli.tables.source import open_tables

CSV = b"a,b\n1,2\n3.5,4\n"
COLUMNS = {"a": [1.0, 3.5], "b": [2.0, 4.0]}
OBJECTS = [{"a": 1, "b": 2}, {"a": 3.5, "b": 4}]


def zip_of(**members):
    """Return a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tar_of(**members):
    """Return a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def npz():
    """Return arrays as NumPy saves them."""
    stream = io.BytesIO()
    np.savez(stream, x=np.ones(2))
    return stream.getvalue()


# Name and content of a file, the message, and the hint.
FILES = {
    "xz": ("d.csv.xz", lzma.compress(CSV), "compressed by xz", "xz -dc d.csv.xz > table.csv"),
    "xz, a name of blanks": ("a b.xz", lzma.compress(CSV), "compressed by xz", "xz -dc 'a b.xz' > table.csv"),
    "xz, JSON lines": (
        "d.jsonl.xz",
        lzma.compress(b'{"a": 1, "b": 2}\n{"a": 3.5, "b": 4}\n'),
        "compressed by xz",
        "xz -dc d.jsonl.xz > table.jsonl",
    ),
    "lzma": (
        "d.lzma",
        lzma.compress(CSV, format=lzma.FORMAT_ALONE),
        "compressed by lzma",
        "xz -dc d.lzma > table.csv",
    ),
    "zip": ("d.zip", zip_of(**{"d.csv": CSV}), 'a zip archive of "d.csv"', "unzip -p d.zip > table.csv"),
    "zip of several files": (
        "d.zip",
        zip_of(README=b"x", **{"in it/[1].csv": CSV}),
        'a zip archive of "README", "in it/[1].csv"',
        "unzip -p d.zip 'in it/\\[1\\].csv' > table.csv",
    ),
    "tar": (
        "d.tar",
        tar_of(**{"d.csv": CSV, "README": b"x"}),
        "a tar archive; its first file is d.csv",
        "tar -xOf - d.csv < d.tar > table.csv",
    ),
    "gzipped tar": (
        "d.tar.gz",
        gzip.compress(tar_of(**{"-d.tsv": CSV.replace(b",", b"\t")})),
        "a tar archive; its first file is -d.tsv",
        "gzip -dc d.tar.gz | tar -xOf - > table.tsv",
    ),
    "bzipped tar": (
        "d.tbz",
        bz2.compress(tar_of(d=CSV)),
        "a tar archive; its first file is d",
        "bzip2 -dc d.tbz | tar -xOf - d > table.csv",
    ),
    "JSON array": (
        "d.json",
        json.dumps(OBJECTS).encode(),
        "a JSON array; JSON lines need one object on each line",
        "jq -c '.[]' d.json > table.jsonl",
    ),
    "indented JSON array": (
        "d.json",
        b"\n" + json.dumps(OBJECTS, indent=1).encode(),
        "a JSON array; JSON lines need one object on each line",
        "jq -c '.[]' d.json > table.jsonl",
    ),
    "JSON array that is named for JSON lines": (
        "d.jsonl",
        json.dumps(OBJECTS).encode(),
        "a JSON array; JSON lines need one object on each line",
        "jq -c '.[]' d.jsonl > table.jsonl",
    ),
    "array of arrays": (
        "d.json",
        b'[["a","b"],[1,2],[3.5,4]]',
        "a JSON array of arrays",
        "jq -r '.[] | @csv' d.json > table.csv",
    ),
    "lines of arrays": (
        "d.json",
        b'["a","b"]\n[1,2]\n[3.5,4]\n',
        "JSON arrays, not objects",
        "jq -r @csv d.json > table.csv",
    ),
    "indented objects": (
        "d.json",
        "\n".join(json.dumps(row, indent=2) for row in OBJECTS).encode(),
        "JSON objects that span lines; JSON lines need one object on each line",
        "jq -c . d.json > table.jsonl",
    ),
    "pandas, columns": (
        "d.json",
        b'{"a":{"0":1.0,"1":3.5},"b":{"0":2,"1":4}}',
        "one JSON object, with a column in each value",
        "jq -c '(to_entries[0].value | keys_unsorted[]) as $i | map_values(.[$i])' d.json > table.jsonl",
    ),
    "lists": (
        "d.json",
        b'{"a":[1,3.5],"b":[2,4]}',
        "one JSON object, with a column in each value",
        "jq -c '(to_entries[0].value | keys_unsorted[]) as $i | map_values(.[$i])' d.json > table.jsonl",
    ),
    "pandas, split": (
        "d.json",
        b'{"columns":["a","b"],"index":[0,1],"data":[[1,2],[3.5,4]]}',
        "one JSON object with separate column names and rows",
        "jq -r '.columns, .data[] | @csv' d.json > table.csv",
    ),
    "pandas, table": (
        "d.json",
        b'{"schema":{"fields":[{}]},"it\'s":[{"a":1,"b":2},{"a":3.5,"b":4}]}',
        'one JSON object, with rows in "it\'s"',
        """jq -c '.["it'"'"'s"][]' d.json > table.jsonl""",
    ),
    "JSON lines that end in commas": (
        "d.jsonl",
        b'{"a": 1, "b": 2},\n{"a": 3.5, "b": 4}\n',
        "JSON objects with commas between the lines",
        "sed 's/,[[:space:]]*$//' d.jsonl > table.jsonl",
    ),
    "gzip, twice": (
        "d.csv.gz",
        gzip.compress(gzip.compress(CSV)),
        "compressed by gzip, twice",
        "gzip -dc d.csv.gz | gzip -dc > table.csv",
    ),
    "UTF-16": (
        "d.csv",
        CSV.decode().encode("utf-16"),
        "UTF-16 text",
        "iconv -f UTF-16 -t UTF-8 d.csv > table.csv",
    ),
    "UTF-16 without a mark": (
        "d.csv",
        CSV.decode().encode("utf-16-le"),
        "UTF-16LE text",
        "iconv -f UTF-16LE -t UTF-8 d.csv > table.csv",
    ),
    "UTF-32": (
        "d.csv",
        CSV.decode().encode("utf-32"),
        "UTF-32 text",
        "iconv -f UTF-32 -t UTF-8 d.csv > table.csv",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_table_in_another_form_is_refused_with_a_hint_that_mends_it(case, tmp_path, monkeypatch):
    """The hint is typed; where its program is not installed, its text is right at least."""
    monkeypatch.chdir(tmp_path)
    name, content, message, hint = FILES[case]
    (tmp_path / name).write_bytes(content)

    error = refusal_of(name)

    assert (error.status, str(error), error.hint) == (65, f"{name}: {message}", hint)
    assert read_after_typing(hint) in (COLUMNS, None)


OTHERS = {
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive", "7z x -so 'd 1' > table.csv"),
    "rar": (b"Rar!\x1a\x07\x01\0", "a rar archive", "unrar p -inul 'd 1' > table.csv"),
    "Excel": (
        zip_of(**{"[Content_Types].xml": b"", "xl/workbook.xml": b""}),
        "a workbook",
        "libreoffice --convert-to csv 'd 1'",
    ),
    "old Excel": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an Excel workbook",
        "libreoffice --convert-to csv 'd 1'",
    ),
    "LibreOffice": (
        zip_of(mimetype=b"x", **{"content.xml": b""}),
        "a workbook",
        "libreoffice --convert-to csv 'd 1'",
    ),
    "half a zip": (zip_of(d=CSV)[:-30], "a damaged zip archive", "unzip -t 'd 1'"),
    "NumPy": (b"\x93NUMPY\x01\0", "a NumPy array", None),
    "NumPy, several": (npz(), 'NumPy arrays: "x.npy"', None),
    "SQLite": (b"SQLite format 3\0", "an SQLite database", "sqlite3 -readonly 'd 1' .tables"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "h5dump -n 'd 1'"),
    "pickle": (b"\x80\x04\x95\x06\0\0\0\0", "a Python pickle", None),
    "libsvm": (b"1 1:0.5 3:-2\n-1 2:1e3\n", "sparse rows of libsvm", None),
    "web page": (b"<!doctype html>\n<table>", "XML or HTML", None),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_files_are_named(case, tmp_path, monkeypatch):
    """With what there is to type, if there is anything."""
    monkeypatch.chdir(tmp_path)
    content, message, hint = OTHERS[case]
    (tmp_path / "d 1").write_bytes(content)
    error = refusal_of("d 1")
    assert (error.status, str(error), error.hint) == (65, f"d 1: {message}", hint)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (lzma.compress(CSV), "pipe it through: xz -dc"),
        (zip_of(d=CSV), "pipe it through: funzip"),
        (gzip.compress(tar_of(**{"d.csv": CSV})), "pipe it through: gzip -dc | tar -xOf - d.csv"),
        (b'[{"a":1,"b":2},{"a":3.5,"b":4}]', "pipe it through: jq -c '.[]'"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "save it to a file"),
    ],
)
def test_hints_for_stdin_name_no_file(content, hint, tmp_path, monkeypatch):
    """They go into the pipe that is there."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TableUnusable) as caught:
        open_tables([], stdin=io.BytesIO(content))
    assert caught.value.hint == hint
    _, _, command = hint.partition("pipe it through: ")
    if command and all(shutil.which(word.split()[0]) for word in command.split(" | ")):
        (tmp_path / "content").write_bytes(content)
        shell = ["/bin/sh", "-c", f"cat content | {command} > table"]
        subprocess.run(shell, check=True)
        assert read("table") == COLUMNS


READABLE = {
    "names in brackets": (b"[a],[b]\n1,2\n3.5,4\n", {"[a]": [1.0, 3.5], "[b]": [2.0, 4.0]}),
    "names like marks": (b"ORC,FEA1\n1,2\n3.5,4\n", {"ORC": [1.0, 3.5], "FEA1": [2.0, 4.0]}),
    "one object": (b'{"a": 1, "b": [1, 2]}\n', {"a": [1.0]}),
    "one object, with rows beside numbers": (b'{"a": 1, "b": [{"c": 2}, {"c": 3}]}\n', {"a": [1.0]}),
}


@pytest.mark.parametrize("case", READABLE)
def test_a_table_that_begins_like_another_form_is_read(case, tmp_path, monkeypatch):
    """No table is refused that could be read."""
    monkeypatch.chdir(tmp_path)
    content, expected = READABLE[case]
    (tmp_path / "d").write_bytes(content)
    assert read("d") == expected
