"""Content that is no table of ours: the fact, and a hint that makes one when it is typed."""

import io
import lzma
import subprocess
import zipfile

import pytest

from gmmcli.errors import TableUnusable
from gmmcli.tables.source import open_tables

FILES = {
    "semicolons": (b"a;b\n1;2\n3;4\n", "t:1: the header has semicolons, but neither a comma nor a tab"),
    "decimal commas": (
        b"a;b\n1,5;2,5\n3;4\n",
        "t:1: the header has semicolons, but neither a comma nor a tab",
    ),
    "a line for a spreadsheet": (b"sep=;\na;b\n1,5;2,5\n", "t:1: a line about the delimiter, not a header"),
    "a line for a spreadsheet, commas": (
        b"sep=,\na,b\n1,2\n",
        "t:1: a line about the delimiter, not a header",
    ),
    "vertical bars": (b"a|b\n1|2\n", "t:1: the header has vertical bars, but neither a comma nor a tab"),
    "blanks": (
        b"a b\n1  2\n3 4\n",
        "t:1: the header has blanks between its names, but neither a comma nor a tab",
    ),
    "a comment": (b"# not yet\na,b\n# now\n1,2\n", "t:1: a comment, not a header"),
    "lines about the table": (
        b"File: t\nMade: 2024\na,b\n1,2\n",
        "t:1: a line before the header: the lines further down have several cells",
    ),
    "xz": (lzma.compress(b"a,b\n1,2\n"), "t: xz data, not a table"),
}
# What hints make, read as CSV or TSV.
TABLES = {"table.csv", "table.tsv"}


@pytest.mark.parametrize("case", FILES)
def test_the_hint_makes_a_table_of_two_columns(case, tmp_path, monkeypatch):
    """As typed, in the folder of the file."""
    monkeypatch.chdir(tmp_path)
    content, message = FILES[case]
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(TableUnusable) as caught:
        open_tables(["t"])
    assert str(caught.value) == message
    assert caught.value.status == 65
    subprocess.run(caught.value.hint, shell=True, check=True)
    (made,) = TABLES & {path.name for path in tmp_path.iterdir()}
    with open_tables([made]) as tables:
        assert tables.numeric == {"a", "b"}


ARRAY = b'[{"a":1,"b":2},{"a":3,"b":4}]\n'


@pytest.mark.parametrize("content", [ARRAY, b'[\n  {"a": 1}\n]\n', b'\n [ {"a":1}]'])
def test_a_json_array_is_named(content):
    """Whatever its layout."""
    with pytest.raises(TableUnusable) as caught:
        open_tables([], stdin=io.BytesIO(content))
    assert str(caught.value) == "-: a JSON array: a line for each row is read"
    assert caught.value.hint == "jq -c '.[]' > table.jsonl"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["a.csv"], "a zip archive"),
        (["[Content_Types].xml", "xl/workbook.xml"], "a workbook"),
        (["mimetype"], "a workbook"),
    ],
)
def test_archives_and_workbooks_are_told_apart(names, kind, tmp_path):
    """By what is in them."""
    path = tmp_path / "x"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"application/vnd.oasis.opendocument.spreadsheet a,b\n1,2\n")
    with pytest.raises(TableUnusable) as caught:
        open_tables([str(path)])
    assert caught.value.fact == f"{kind}, not a table"


@pytest.mark.parametrize("header", [b"#id\n1\n2\n", b"a b\n1\n2\n", b"a|b\n1\n", b"a;b\n1\n", b"PK\n1\n"])
def test_one_column_may_have_any_name(header):
    """Where the lines below are one number each."""
    with open_tables([], stdin=io.BytesIO(header)) as tables:
        assert len(tables.numeric) == 1
