"""Text whose columns neither commas nor tabs separate: what is said about it, and that the hint mends it."""

import io
import os
import threading

import pytest
from tables.typing_hints import read, read_after_typing, refusal_of

from gmmcli.errors import TableUnusable
from gmmcli.tables.layouts import number_columns
from gmmcli.tables.source import open_tables

ROWS = {"a": [1.0, 3.5], "b": [2.0, 4.0]}
# Text, the message behind name and line, the hint before the name of the new file, and the table after it.
CASES = {
    "semicolons": (b"a;b\n1;2\n3.5;4\n", "columns are separated by semicolons", "tr ';' '\\t' < FILE", ROWS),
    "decimal commas": (
        b"a;b\n1,0;2\n3,5;4\n",
        "columns are separated by semicolons",
        "tr ';,' '\\t.' < FILE",
        ROWS,
    ),
    "points between thousands": (
        b"a;b\n1.001,5;2\n3,5;4\n",
        "columns are separated by semicolons",
        "tr -d . < FILE | tr ';,' '\\t.'",
        {"a": [1001.5, 3.5], "b": [2.0, 4.0]},
    ),
    "pipes": (b"a|b\n1|2\n3.5|4\n", 'columns are separated by "|"', "tr '|' '\\t' < FILE", ROWS),
    "pipes and decimal commas": (
        b"a|b\n1,0|2\n3,5|4\n",
        'columns are separated by "|"',
        "tr '|,' '\\t.' < FILE",
        ROWS,
    ),
    "pipes at the end": (
        b"a|b|\n1|2|\n3.5|4|\n",
        'columns are separated by "|"',
        "sed 's/|$//' FILE | tr '|' '\\t'",
        ROWS,
    ),
    "pipes at the end, and returns": (
        b"a|b|\r\n1|2|\r\n3.5|4|\r\n",
        'columns are separated by "|"',
        "tr -d '\\r' < FILE | sed 's/|$//' | tr '|' '\\t'",
        ROWS,
    ),
    "decimal commas, and commas in a text": (
        b"a;b;t\n1;2;x\n3.5;4;y, z\n",
        "columns are separated by semicolons",
        "tr ';' '\\t' < FILE",
        ROWS,
    ),
    "a rule below the header": (
        b"a,b\n---------\n1,2\n3.5,4\n",
        "a rule, not a row: ---------",
        "grep -v '^[-+|: ]*--[-+|: ]*$' FILE",
        ROWS,
    ),
    "Markdown": (
        b"| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3.5 | 4 |\n",
        'columns are separated by "|"',
        "grep -v '^[-+|: ]*--[-+|: ]*$' FILE"
        " | sed 's/ *| */|/g; s/^ *//; s/ *$//; s/^|//; s/|$//' | tr '|' '\\t'",
        ROWS,
    ),
    "colons": (b"a:b\n1:2\n3.5:4\n", "columns are separated by colons", "tr ':' '\\t' < FILE", ROWS),
    "form feeds": (
        b"a\fb\n1\f2\n3.5\f4\n",
        "columns are separated by form feeds",
        "tr '\\014' '\\t' < FILE",
        ROWS,
    ),
    "bytes of Hive": (
        b"a\x01b\n1\x012\n3.5\x014\n",
        'columns are separated by "\\x01"',
        "tr '\\001' '\\t' < FILE",
        ROWS,
    ),
    "carets": (
        b"a^b^\n1^2^\n3.5^4^\n",
        'columns are separated by "^"',
        "sed 's/\\^$//' FILE | tr '^' '\\t'",
        ROWS,
    ),
    "blanks": (
        b"a b\n1  2\n3.5  4\n",
        "columns are separated by blanks",
        "tr -s ' ' '\\t' < FILE",
        ROWS,
    ),
    "blanks at the start": (
        b"   a b\n   1 2\n 3.5 4\n",
        "columns are separated by blanks",
        "sed 's/^ *//' FILE | tr -s ' ' '\\t'",
        ROWS,
    ),
    "blanks and row names": (
        b'"a" "b"\n"x" 1 2\n"y" 3.5 4\n',
        "columns are separated by blanks",
        "sed '1s/^/row /' FILE | tr -s ' ' '\\t'",
        ROWS,
    ),
    "row names": (
        b'"a","b"\n"x",1,2\n"y",3.5,4\n',
        "the header has one cell fewer than each row",
        "sed '1s/^/row,/' FILE",
        ROWS,
    ),
    "commas at the end of rows": (
        b"a,b\n1,2,\n3.5,4,\n",
        "the header has one cell fewer than each row",
        "sed 's/,$//' FILE",
        ROWS,
    ),
    "comments": (
        b"# a table, which\n# somebody wrote\na,b\n1,2\n# and\n3.5,4\n",
        "the first line is a comment, not a header: # a table, which",
        "grep -v '^#' FILE",
        ROWS,
    ),
    "a comment with as many cells": (
        b"# a, table\na,b\n1,2\n3.5,4\n",
        "the first line is a comment, not a header",
        "grep -v '^#' FILE",
        ROWS,
    ),
    "comments above one column": (
        b"# a table\na\n1\n3.5\n",
        "the first line is a comment, not a header",
        "grep -v '^#' FILE",
        {"a": [1.0, 3.5]},
    ),
    "a comment among the first rows": (
        b"a,b\n# begin\n1,2\n3.5,4\n",
        "there are comments below the header: a,b",
        "grep -v '^#' FILE",
        ROWS,
    ),
    "a header in the last comment": (
        b"## one\n## two, or more\n#a\tb\n1\t2\n3.5\t4\n",
        "the first line is a comment, not a header: ## one",
        "tail -n +3 FILE | sed '1s/^#* *//'",
        ROWS,
    ),
    "a header in a comment, and blanks": (
        b"# a b\n1 2\n3.5 4\n",
        "the first line is a comment, not a header: # a b",
        "sed '1s/^#* *//' FILE | tr -s ' ' '\\t'",
        ROWS,
    ),
    "lines above the header": (
        b"File: data.csv\n\nCreated: 2024-01-01\na,b\n1,2\n3.5,4\n",
        "not a header: File: data.csv; the header is below it: a,b",
        "tail -n +4 FILE",
        ROWS,
    ),
    "lines above the header, with commas": (
        b"\nmade by me, you\nsee below\na;b\n1,0;2\n3,5;4\n",
        "not a header: made by me, you; the header is below it: a;b",
        "tail -n +4 FILE | tr ';,' '\\t.'",
        ROWS,
    ),
    "the separator of Excel": (
        b"sep=;\na;b\n1;2\n3.5;4\n",
        "not a header: sep=;",
        "tail -n +2 FILE | tr ';' '\\t'",
        ROWS,
    ),
    "the separator of Excel is a comma": (
        b"sep=,\na,b\n1,2\n3.5,4\n",
        "not a header",
        "tail -n +2 FILE",
        ROWS,
    ),
    "one column with decimal commas": (
        b"a\n1,0\n3,5\n",
        "one column of numbers with decimal commas: 1,0",
        "tr , . < FILE",
        {"a": [1.0, 3.5]},
    ),
    "numbers in place of names": (
        b"1\t2\n3.5\t4\n",
        "the first line has only numbers, so it cannot be a header: 1\\t2",
        "sed '1i x1\\tx2' FILE",
        {"x1": [1.0, 3.5], "x2": [2.0, 4.0]},
    ),
    "old Macintosh": (
        b"a,b\r1,2\r3.5,4\r",
        "lines end with a carriage return only (old Mac format)",
        "tr '\\r' '\\n' < FILE",
        ROWS,
    ),
    "another encoding": (
        b"a,\xe9\n1,2\n3.5,4\n",
        "not UTF-8",
        "iconv -f LATIN1 -t UTF-8 FILE",
        {"a": [1.0, 3.5], "é": [2.0, 4.0]},
    ),
}


@pytest.mark.parametrize("name", ["data.txt", "it's a; table.csv", "-n.csv"])
@pytest.mark.parametrize("case", CASES)
def test_a_text_in_another_layout_is_refused_with_a_hint_that_mends_it(case, name, tmp_path, monkeypatch):
    """The hint is typed, and the new file is the table that was meant."""
    monkeypatch.chdir(tmp_path)
    text, message, hint, expected = CASES[case]
    (tmp_path / name).write_bytes(text)

    error = refusal_of(name)

    line = 2 if text.startswith(b"\n") else 1
    assert error.status == 65
    assert str(error).startswith(f"{name}:{line}: {message}")
    if name == "data.txt":
        assert error.hint.rpartition(" > ")[0] == hint.replace("FILE", name)
    assert read_after_typing(error.hint) == expected


def test_a_header_is_refused_before_there_are_rows(tmp_path, monkeypatch):
    """Where no name has such a byte."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_bytes(b"a;b\n")

    error = refusal_of("data.csv")

    assert str(error) == "data.csv:1: columns are separated by semicolons, not by commas or tabs: a;b"
    assert read_after_typing(error.hint) == {"a": [], "b": []}


READABLE = {
    "a name with blanks": (b"time of day\n12.5\n", {"time of day": [12.5]}),
    "a name with a pipe": (b"p(x|y)\n12.5\n", {"p(x|y)": [12.5]}),
    "texts with blanks": (b"t,a\nfoo bar,1\nbaz,2\n", {"a": [1.0, 2.0]}),
    "a name that begins like a comment": (b"#a,b\n1,2\n3.5,4\n", {"#a": [1.0, 3.5], "b": [2.0, 4.0]}),
    "texts below such a name": (b"#chrom,a\nchr1,100\nchr1,200\n", {"a": [100.0, 200.0]}),
    "texts that begin like comments": (b"colour,a\n#ff0000,1\n#00ff00,2\n", {"a": [1.0, 2.0]}),
    "names over two lines": (b'"a\nb",c\n"1\n",2\n3,4\n', {"c": [2.0, 4.0]}),
    "texts over two lines": (b'a,t\n1,"x\ny"\n2,"z\n"\n', {"a": [1.0, 2.0]}),
    "semicolons in texts": (b"a,t\n1,x;y\n2,z;w\n", {"a": [1.0, 2.0]}),
    "one row": (b"a\n1\n", {"a": [1.0]}),
    "a name like a comment": (b"#id\n1\n2\n", {"#id": [1.0, 2.0]}),
    "a name with a semicolon": (b"a;b\n1\n", {"a;b": [1.0]}),
    "a name like a zip archive": (b"PK\n1\n", {"PK": [1.0]}),
}


@pytest.mark.parametrize("case", READABLE)
def test_a_table_that_looks_like_another_layout_is_read(case, tmp_path, monkeypatch):
    """No table is refused that could be read."""
    monkeypatch.chdir(tmp_path)
    text, expected = READABLE[case]
    (tmp_path / "data.csv").write_bytes(text)
    assert read("data.csv") == expected


def test_a_ragged_row_is_not_taken_for_a_layout(tmp_path, monkeypatch):
    """One row too long says nothing about the others."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_bytes(b"a,b\n1,2,3\n4,5\n")
    assert str(refusal_of("data.csv")) == "data.csv:2: 2 columns expected, 3 found"


def test_a_comment_far_below_is_refused_with_the_hint(tmp_path, monkeypatch):
    """Where it is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_bytes(b"a,b\n" + b"1,2\n" * 50_000 + b"# the end\n3,4\n")

    error = refusal_of("data.csv")

    assert str(error) == "data.csv:50002: 2 columns expected, 1 found"
    assert len(read_after_typing(error.hint)["a"]) == 50_001


def test_the_other_delimiter_is_an_option(tmp_path, monkeypatch):
    """Where the name of the file says otherwise."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.tsv").write_bytes(b"a,b\n1,2\n")
    error = refusal_of("data.tsv")
    assert str(error) == "data.tsv:1: columns are separated by commas, not by tabs: a,b"
    assert error.hint == "--input-format csv"


def test_a_compressed_text_is_decompressed_by_the_hint(tmp_path, monkeypatch):
    """Before anything else."""
    import gzip

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"a;b\n1;2\n3.5;4\n"))
    hint = refusal_of("data.csv.gz").hint
    assert hint == "gzip -dc data.csv.gz | tr ';' '\\t' > table.tsv"
    assert read_after_typing(hint) in (ROWS, None)


def test_no_file_is_overwritten(tmp_path, monkeypatch):
    """Least of all the one that is read."""
    monkeypatch.chdir(tmp_path)
    for name in ("table.tsv", "table-2.tsv"):
        (tmp_path / name).write_bytes(b"a;b\n1;2\n3.5;4\n")
    hint = refusal_of("table.tsv").hint
    assert hint == "tr ';' '\\t' < table.tsv > table-3.tsv"
    assert read_after_typing(hint) == ROWS


def test_many_numbers_in_place_of_names_have_a_short_hint(tmp_path, monkeypatch):
    """However many."""
    monkeypatch.chdir(tmp_path)
    for delimiter, name in ((b",", "a.csv"), (b"\t", "b.tsv")):
        (tmp_path / name).write_bytes(delimiter.join(b"%d" % i for i in range(5000)) + b"\n")
        hint = refusal_of(name).hint
        assert len(hint) < 80
        assert list(read_after_typing(hint)) == [f"x{i + 1}" for i in range(5000)]
    assert number_columns(2, "csv") == "sed '1i x1,x2'"


def test_a_slow_pipe_with_one_column_is_waited_for_no_longer_than_to_its_first_row():
    """The second row may depend on what became of the first."""
    reading, writing = os.pipe()
    os.write(writing, b"a column\n")
    timer = threading.Timer(0.1, os.write, (writing, b"1\n"))
    timer.start()
    with os.fdopen(reading, "rb") as stdin, open_tables([], stdin=stdin) as tables:
        batches = tables.iter_batches(("a column",))
        assert next(batches).X.tolist() == [[1.0]]
        os.close(writing)
        assert list(batches) == []
    timer.join()


def test_a_hint_for_stdin_names_no_file():
    """It goes into the pipe that is there."""
    with pytest.raises(TableUnusable) as caught:
        open_tables([], stdin=io.BytesIO(b"# one\na|b\n1|2\n"))
    assert caught.value.hint == "pipe it through: grep -v '^#' | tr '|' '\\t'"


def test_commas_are_made_points_only_if_no_text_of_the_first_mebibyte_has_any(tmp_path, monkeypatch):
    """However far below; the other columns get a warning of their own."""
    monkeypatch.chdir(tmp_path)
    rows = b"1,5;x\n" * 50_000
    (tmp_path / "a.csv").write_bytes(b"a;t\n" + rows)
    (tmp_path / "b.csv").write_bytes(b"a;t\n" + rows + b"2,5;y, z\n")
    assert refusal_of("a.csv").hint == "tr ';,' '\\t.' < a.csv > table.tsv"
    assert refusal_of("b.csv").hint == "tr ';' '\\t' < b.csv > table.tsv"


@pytest.mark.parametrize("name", ["data.csv", "data.tsv"])
def test_blanks_in_place_of_a_row_are_removed_by_hints_that_come_to_an_end(name, tmp_path, monkeypatch):
    """The first may be that of the format, the second is the filter."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"a,b\n   \n1,2\n3.5,4\n")
    input_format = None
    if name == "data.tsv":
        assert refusal_of(name).hint == "--input-format csv"
        input_format = "csv"
    with open_tables([name], input_format=input_format) as tables, pytest.raises(TableUnusable) as caught:
        list(tables.iter_batches(("a", "b")))
    assert str(caught.value) == f"{name}:2: 2 columns expected, 1 found"
    assert read_after_typing(caught.value.hint) == ROWS
