"""CSV and TSV: what is read, and what is said, with its line, about what cannot be."""

import io

import numpy as np
import pytest

from gmmcli.errors import TableUnusable
from gmmcli.remedies import Emptied, Exclude, in_shell
from gmmcli.tables.columns import match_features, select_extra, select_features
from gmmcli.tables.source import open_tables

NAN = np.nan


def read(data, *, names=None, input_format=None):
    """Return the columns of a table on stdin as lists; those selected by default, if none are named."""
    with open_tables([], stdin=io.BytesIO(data), input_format=input_format) as tables:
        features = select_features(tables).features if names is None else match_features(tables, names)
        batches = list(tables.iter_batches(features))
    X = np.concatenate([batch.X for batch in batches], axis=1)
    return {name: values.tolist() for name, values in zip(features, X, strict=True)}


READABLE = {
    "plain": (b"a,b\n1,2\n3,4\n", {"a": [1, 3], "b": [2, 4]}),
    "last line without a newline": (b"a,b\n1,2\n3,4", {"a": [1, 3], "b": [2, 4]}),
    "carriage returns and newlines": (b"a,b\r\n1,2\r\n3,4\r\n", {"a": [1, 3], "b": [2, 4]}),
    "last line ends in a bare carriage return": (b"a,b\r\n1,2\r", {"a": [1], "b": [2]}),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n", {"a": [1], "b": [2]}),
    "byte order mark twice": (b"\xef\xbb\xbf\xef\xbb\xbfa,b\n1,2\n", {"a": [1], "b": [2]}),
    "header without rows": (b"a,b\n", {"a": [], "b": []}),
    "header without rows nor newline": (b"a,b", {"a": [], "b": []}),
    "plus signs": (b"a\n+1\n+.5\n", {"a": [1, 0.5]}),
    "spaces around numbers": (b"a,b\n 1 ,\t2\n", {"a": [1], "b": [2]}),
    "quoted numbers": (b'a,b\n"1","2.5"\n', {"a": [1], "b": [2.5]}),
    "exponents": (b"a\n1e5\n1.E-3\n1E+2\n", {"a": [1e5, 1e-3, 100]}),
    "underflow": (b"a\n1e-400\n", {"a": [0]}),
    "leading zeros": (b"a\n00501\n", {"a": [501]}),
    "words for missing": (b"a,b\nNA,1\nNaN,2\nnan,3\nnull,4\n,5\n", {"a": [NAN] * 5, "b": [1, 2, 3, 4, 5]}),
    "words for missing among spaces": (b"a,b\n NA ,1\n   ,2\n", {"a": [NAN] * 2, "b": [1, 2]}),
    "quoted empty cell": (b'a,b\n"",1\n', {"a": [NAN], "b": [1]}),
    "blank lines between rows": (b"a,b\n\n1,2\n\r\n\n3,4\n\n", {"a": [1, 3], "b": [2, 4]}),
    "blank lines in one column": (b"a\n1\n\n3\n", {"a": [1, NAN, 3]}),
    "blank lines before the header": (b"\n\r\na,b\n1,2\n", {"a": [1], "b": [2]}),
    "quoted header": (b'"a,b","c ""d"""\n1,2\n', {"a,b": [1], 'c "d"': [2]}),
    "header over two lines": (b'"a\nb",c\n1,2\n', {"a\nb": [1], "c": [2]}),
    "quotes in the middle of a cell": (b'a,t\n1,5" pipe\n2,"x\ny"\n3,6" pipe\n', {"a": [1, 2, 3]}),
    "text column": (b"a,t\n1,x\n2,y\n", {"a": [1, 2]}),
    "n/a": (b"a,b\n1,n/a\n", {"a": [1], "b": [NAN]}),
    "n.a.": (b"a,b\n1,n.a.\n", {"a": [1]}),
    "dash and question mark": (b"a,b,c\n1,-,?\n", {"a": [1]}),
    "hexadecimal": (b"a,b\n1,0x10\n", {"a": [1]}),
    "digits in groups": (b"a,b\n1,1_000\n", {"a": [1]}),
    "true and false": (b"a,b\n1,true\n2,false\n", {"a": [1, 2], "b": [1, 0]}),
    "flags among numbers": (b"a,b\n1,true\n2,3\n3,NA\n", {"a": [1, 2, 3], "b": [1, 3, NAN]}),
    "large integers among flags": (b"a,b\ntrue,9007199254740993\n", {"a": [1], "b": [9007199254740992]}),
    "dates and times": (b"a,b,c\n1,2020-01-01,12:30:00\n", {"a": [1]}),
    "odd words for NaN": (b"a,b,c,d\n1,-nAn,NAN,Null\n", {"a": [1]}),
    "digits of another script": ("a,b\n1,١\n".encode(), {"a": [1]}),
    "column without a value": (b"a,b\n1,\n2,NA\n", {"a": [1, 2], "b": [NAN, NAN]}),
    "unused columns of the same name": (b"a,t,t\n1,x,y\n", {"a": [1]}),
    "tabs": (b"a\tb\n1\t2\n", {"a": [1], "b": [2]}),
    "non-ASCII text": ("größe,t\n1,ß\n".encode(), {"größe": [1]}),
}


@pytest.mark.parametrize("case", READABLE)
def test_a_readable_table_has_the_right_cells(case):
    """Names and values are those that the rules for numbers give."""
    data, expected = READABLE[case]
    found = read(data)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], np.array(values, dtype=float))


LATE = b"a,b\n" + b"1,2\n" * 300_000
REFUSED = {
    "empty": (b"", "-: empty", None),
    "only blank lines": (b"\n\n", "-: no header: every line is blank", None),
    "semicolons": (
        b"a;b\n1;2\n",
        "-:1: columns are separated by semicolons, not by commas or tabs: a;b",
        "pipe it through: tr ';' '\\t'",
    ),
    "header of numbers": (
        b"1,2.5\n3,4\n",
        "-:1: the first line has only numbers, so it cannot be a header: 1,2.5",
        "pipe it through: sed '1i x1,x2'",
    ),
    "empty name": (b",b\n1,2\n", "-: column 1 has no name", "--exclude '#1'"),
    "the same name twice": (
        b"a,a,b\n1,2,3\n",
        '-: 2 columns are named "a"',
        "pipe it through: sed '1s/.*/a,a_2,b/'",
    ),
    "short row": (b"a,b,c\n1,2,3\n4,5\n", "-:3: 3 columns expected, 2 found", None),
    "long row": (b"a,b\n1,2\n4,5,6\n", "-:3: 2 columns expected, 3 found", None),
    "long row of one column": (b"a\n1\n4,5\n", "-:3: 1 column expected, 2 found", None),
    "spaces only": (b"a,b\n  \n", "-:2: 2 columns expected, 1 found", "pipe it through: grep -v '^ *$'"),
    "quoted blank line": (b'a,b\n""\n', "-:2: 2 columns expected, 1 found", None),
    "open quote": (b'a,b\n1,2\n3,"4\n5,6\n', "-:3: a quote opens here and is never closed", None),
    "open quote in a later line": (
        b'a,b\n"1\n\n","4\n5,6\n',
        "-:4: a quote opens here and is never closed",
        None,
    ),
    "digits behind a quote": (
        b'a,b\n1,"2"\n3,"4"5\n',
        '-:3: a cell goes on behind its closing quote: "4"5',
        None,
    ),
    "a name behind a quote": (b'"a"b,c\n1,2\n', '-:1: a cell goes on behind its closing quote: "a"b', None),
    "digits behind a quote, late": (
        LATE + b'"1"2,3\n',
        '-:300002: a cell goes on behind its closing quote: "1"2',
        None,
    ),
    "a key twice": (b'{"x": 1}\n{"x": 1, "t": {"x": 5}, "x" : 2}\n', '-:2: the key "x" is there twice', None),
    "a key twice, with an escape": (b'{"x": 1, "\\u0078": 2}\n', '-:1: the key "x" is there twice', None),
    "open quote in the header": (b'a,"b\n1,2\n', "-:1: a quote opens here and is never closed", None),
    "NUL": (b"a,b\n1,2\n1\x00,2\n", "-:3: a NUL byte: not a text file", None),
    "not UTF-8": (b"a,t\n1,x\n2,\xe9\n", "-:3: not UTF-8", "pipe it through: iconv -f LATIN1 -t UTF-8"),
    "header not UTF-8": (b"a,\xe9\n1,2\n", "-:1: not UTF-8", "pipe it through: iconv -f LATIN1 -t UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "-: UTF-16 text", "pipe it through: iconv -f UTF-16 -t UTF-8"),
    "old Macintosh": (
        b"a,b\r1,2\r",
        "-:1: lines end with a carriage return only (old Mac format)",
        "pipe it through: tr '\\r' '\\n'",
    ),
    "bare carriage return": (
        b"a,b\n1,2\r3,4\n",
        "-:2: lines end with a carriage return only (old Mac format)",
        "pipe it through: tr '\\r' '\\n'",
    ),
    "infinite": (b"a,b\n1,2\n3,inf\n", '-:3: column "b": infinite value', None),
    "minus infinite": (b"a,b\n1,-Infinity\n", '-:2: column "b": infinite value', None),
    "too large": (b"a,b\n1,1e400\n", '-:2: column "b": does not fit a double: 1e400', None),
    "no numeric column": (
        b"s,t\nx,y\n",
        '-: no numeric column among "s", "t": -:2: column "s": not a number: "x"',
        None,
    ),
    "late text": (LATE + b"1,n.a\n", '-:300002: column "b": not a number: "n.a"', "--exclude b"),
    "late infinity": (LATE + b"1,-inf\n", '-:300002: column "b": infinite value', None),
    "late ragged row": (LATE + b"1\n", "-:300002: 2 columns expected, 1 found", None),
    "first of two problems": (b"a,b\n1,inf\n1,2,3\n", '-:2: column "b": infinite value', None),
    "not JSON": (b'{"a": 1}\n{"a": \n', '-:2: not JSON: {"a": ', None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unusable_table_is_refused_with_line_and_hint(case):
    """The status is 65, and the first problem of the table is the one that is told."""
    data, message, hint = REFUSED[case]
    with pytest.raises(TableUnusable) as caught:
        read(data)
    assert str(caught.value) == message
    assert caught.value.status == 65
    assert in_shell(caught.value.hint or "").startswith(hint or "")
    assert (caught.value.hint is None) == (hint is None)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (b"n.a", "n.a"),
        (b"0x10", "0x10"),
        (b"1_000", "1_000"),
        (b"x" * 200, "x" * 39 + "…"),
        (b"\x1b[31m", "\\x1b[31m"),
        (b'"a\nb"', "a\\nb"),
        ("é".encode(), "é"),
    ],
)
def test_a_cell_that_is_no_number_is_shown_short_and_printable(cell, shown):
    """Line, column and cell; the line is where the record starts."""
    data = b'"x 1",t\n1,"two\nlines"\n' + cell + b",y\n"
    with pytest.raises(TableUnusable) as caught:
        read(data, names=("x 1",))
    assert str(caught.value) == f'-:4: column "x 1": not a number: "{shown}"'
    assert caught.value.without(Emptied).hint == Exclude(("x 1",))


def test_the_model_s_columns_may_come_in_any_order():
    """Blocks have the model's order, whatever the table's."""
    assert read(b"c,b,a\n3,2,1\n", names=("a", "b")) == {"a": [1.0], "b": [2.0]}


def test_columns_that_a_model_needs_and_a_table_lacks_are_all_named():
    """One message, not one run per column."""
    with pytest.raises(TableUnusable) as caught:
        read(b"a,x\n1,2\n", names=("a", "b", "c"))
    assert str(caught.value) == '-: no columns "b", "c": it has "a", "x"'
    assert caught.value.hint is None


def test_passed_cells_are_verbatim_and_empty_ones_null():
    """Zeros, signs, spaces, words for missing stay; of quotes only those that quote are gone."""
    data = b'id,n\n00501,+1.50\n" x ",NA\n"a ""b""",\n"","1"\n'
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        (batch,) = tables.iter_batches(("n",), select_extra(tables, "all"))
    assert batch.extra["id"].to_pylist() == ["00501", " x ", 'a "b"', None]
    assert batch.extra["n"].to_pylist() == ["+1.50", "NA", None, "1"]


def test_a_column_can_be_both_a_feature_and_passed():
    """Read as a number and, beside that, verbatim."""
    with open_tables([], stdin=io.BytesIO(b"a,b\n01.0,2\n")) as tables:
        (batch,) = tables.iter_batches(("a",), ("a", "b"))
    assert batch.X.tolist() == [[1.0]]
    assert [batch.extra[name].to_pylist() for name in ("a", "b")] == [["01.0"], ["2"]]


def test_rows_are_located_at_the_line_where_their_record_starts():
    """Header, blank lines and newlines in quotes are counted."""
    data = b'a,t\n1,x\n\n2,"two\nlines"\n3,"x\r\n\r\ny"\r\n4,z\n'
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        (batch,) = tables.iter_batches(("a",))
    assert [batch.locate(row) for row in range(4)] == ["-:2", "-:4", "-:6", "-:9"]
    assert batch.slice(2, 4).locate(1) == "-:9"


def test_a_record_without_end_is_not_gathered_beyond_a_bound(monkeypatch):
    """An open quote at the start of a huge file costs bounded memory."""
    monkeypatch.setattr("gmmcli.tables.chunks.MAX_RECORD_BYTES", 1000)
    with pytest.raises(TableUnusable, match="-:2: a record of more than 1000 bytes"):
        read(b'a,b\n1,"' + b"x\n" * 1000)


def test_a_line_of_values_wider_than_the_first_mebibyte_is_read():
    """Nothing depends on the first record being short."""
    n = 100_000
    header = b",".join(b"c%d" % i for i in range(n))
    row = b",".join(b"%d.1234567" % i for i in range(n))
    found = read(header + b"\n" + row + b"\n", names=("c0", f"c{n - 1}"))
    assert found == {"c0": [0.1234567], f"c{n - 1}": [n - 1 + 0.1234567]}
