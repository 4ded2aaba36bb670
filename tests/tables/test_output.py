"""What is written reads back as it was, and looks as the formats want it."""

import datetime
import io
import json
import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from gmmcli.errors import CannotCreate, ReadWriteFailed, TableUnusable
from gmmcli.tables import json_text
from gmmcli.tables.sink import open_sink
from gmmcli.tables.source import open_tables
from gmmcli.tables.suffixes import FORMATS

QUICK = settings(max_examples=40, deadline=None, database=None, derandomize=True)


def written(output_format, *batches):
    """Return what is written to stdout of some batches."""
    stream = io.BytesIO()
    with open_sink(None, output_format, stdout=stream) as sink:
        for columns in batches:
            sink.write(columns, len(next(iter(columns.values()))))
    return stream.getvalue()


def read_back(data, features, extra=(), input_format=None):
    """Return features and passed columns of bytes as lists."""
    with open_tables([], stdin=io.BytesIO(data), input_format=input_format) as tables:
        batches = list(tables.iter_batches(features, extra))
    found = {name: [x for b in batches for x in b.X[i].tolist()] for i, name in enumerate(features)}
    return found | {name: [x for b in batches for x in typed(name, b.extra[name])] for name in extra}


def typed(name, values):
    """Return values as other programs would see them."""
    is_json = isinstance(values.type, json_text.JsonText)
    return (json_text.as_typed(name, values) if is_json else values).to_pylist()


@pytest.mark.parametrize("output_format", FORMATS)
@QUICK
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_doubles_read_back_exactly(output_format, values):
    """Shortest or not, as many digits as it takes; the sign of zero too."""
    x = np.array(values)
    found = np.array(read_back(written(output_format, {"x": x}), ("x",))["x"])
    assert found.tobytes() == x.tobytes() or output_format == "jsonl"
    np.testing.assert_array_equal(found, x)


nasty = st.text(alphabet='a ,;\t"\n\rü#%{}', min_size=1, max_size=6)


@pytest.mark.parametrize("output_format", FORMATS)
@QUICK
@given(st.lists(st.one_of(st.none(), nasty), min_size=1, max_size=8), nasty)
def test_texts_read_back_exactly(output_format, values, name):
    """Quotes, delimiters, newlines, in cells and in names."""
    columns = {"x": np.arange(len(values)), name: pa.array(values, pa.string())}
    found = read_back(written(output_format, columns), ("x",), (name,), output_format)
    assert found[name] == values


TEXTS = {
    "quotes only where needed": (
        {"i": np.array([1, 2, 3, 4]), "s": pa.array(["a b", "a,b", 'a"b', "a\nb"])},
        'i,s\n1,a b\n2,"a,b"\n3,"a""b"\n4,"a\nb"\n',
    ),
    "header": ({"a,b": np.array([1]), 'c"': np.array([2]), "d e": np.array([3])}, '"a,b","c""",d e\n1,2,3\n'),
    "numbers": (
        {"f": np.array([0.1, 1e-7, 1e22, 5.0]), "b": np.array([True, False, True, False])},
        "f,b\n0.1,true\n1e-7,false\n1e+22,true\n5,false\n",
    ),
    "empty cells": (
        {
            "i": np.ma.masked_array([1, 2], mask=[False, True]),
            "f": np.ma.masked_array([0.5, 0.5], mask=[True, False]),
            "b": np.ma.masked_array([True, True], mask=[False, True]),
            "s": pa.array([None, "x"]),
        },
        "i,f,b,s\n1,,true,\n,0.5,,x\n",
    ),
    "a single column": ({"f": np.ma.masked_array([1.5, 1.5], mask=[False, True])}, 'f\n1.5\n""\n'),
    "a single column of texts": ({"s": pa.array(["x", None, "", "a,b\n\nc"])}, 's\nx\n""\n""\n"a,b\n\nc"\n'),
    "empty cells beside quoted ones": (
        {"s": pa.array([None, "a,b"]), "f": np.ma.masked_array([1.5, 1.5], mask=[False, True])},
        's,f\n,1.5\n"a,b",\n',
    ),
    "dates": ({"d": pa.array([datetime.date(2020, 2, 29), None])}, 'd\n2020-02-29\n""\n'),
    "dictionaries": ({"s": pa.array(["x", "y", "x"]).dictionary_encode()}, "s\nx\ny\nx\n"),
    "no rows": ({"a b": np.array([], np.int64), "c": np.array([])}, "a b,c\n"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_csv_looks_as_it_should(case):
    """Quotes where RFC 4180 needs them, newlines alone, empty cells empty."""
    columns, expected = TEXTS[case]
    assert written("csv", columns).decode() == expected


def test_tsv_quotes_tabs_and_not_commas():
    """In the header as in cells."""
    columns = {"a\tb": pa.array(["x,y", "x\ty"]), "c,d": np.array([1, 2])}
    assert written("tsv", columns).decode() == '"a\tb"\tc,d\nx,y\t1\n"x\ty"\t2\n'


def test_json_lines_look_as_they_should():
    """An object per line, keys in order, null for an empty cell and for what JSON cannot say."""
    columns = {
        "50%": np.ma.masked_array([1, 2], mask=[False, True]),
        "f": pa.array([0.25, np.nan]),
        "b": np.array([True, False]),
        'q"': pa.array(['say "é"\n', None]),
        "d": pa.array([datetime.date(2020, 2, 29), None]),
        "l": pa.array([[1, None], None]),
    }
    lines = written("jsonl", columns).decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"50%": 1, "f": 0.25, "b": True, 'q"': 'say "é"\n', "d": "2020-02-29", "l": [1, None]},
        {"50%": None, "f": None, "b": False, 'q"': None, "d": None, "l": None},
    ]
    assert lines[0].startswith('{"50%": 1, "f": 0.25, "b": true, "q\\"": "say \\"é\\"\\n"')


def test_no_rows_are_an_empty_table_with_its_columns():
    """So that a pipeline knows them; JSON lines have no header."""
    columns = {"i": np.array([], np.int64), "b": np.array([], bool), "s": pa.array([], pa.string())}
    schema = pa.schema([("i", pa.int64()), ("b", pa.bool_()), ("s", pa.string())])
    assert written("tsv", columns) == b"i\tb\ts\n"
    assert written("jsonl", columns) == b""
    assert parquet.read_table(io.BytesIO(written("parquet", columns))).schema == schema
    assert pa.ipc.open_stream(written("arrow", columns)).schema == schema


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_length_of_batches_does_not_show(output_format):
    """The header comes once, rows follow each other."""
    columns = {"i": np.arange(10), "s": pa.array([f"s{i}" for i in range(10)])}
    parts = [{name: values[i : i + 3] for name, values in columns.items()} for i in range(0, 10, 3)]
    whole, divided = written(output_format, columns), written(output_format, *parts)
    assert read_back(divided, ("i",), ("s",)) == read_back(whole, ("i",), ("s",))
    assert divided == whole or output_format == "arrow"


def test_parquet_has_row_groups_of_a_fixed_length(monkeypatch):
    """However short the batches are."""
    monkeypatch.setattr("gmmcli.tables.sink.ROW_GROUP_ROWS", 4)
    data = written("parquet", *({"i": np.array([i])} for i in range(10)), {"i": np.arange(10, 21)})
    file = parquet.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4, 4, 4, 4, 1]
    assert file.read()["i"].to_pylist() == list(range(21))


def test_a_text_format_writes_a_later_table_s_types_as_they_are():
    """Text has no types."""
    assert written("csv", {"x": pa.array([1])}, {"x": pa.array(["a"])}) == b"x\n1\na\n"


@pytest.mark.parametrize("output_format", ["parquet", "arrow"])
def test_a_typed_format_keeps_the_first_table_s_types(output_format):
    """Converted where nothing is lost, refused elsewhere."""
    found = read_back(written(output_format, {"x": pa.array([1.5])}, {"x": pa.array([2])}), ("x",))
    assert found == {"x": [1.5, 2.0]}
    with pytest.raises(TableUnusable, match='column "x": int64 in one table, string in another'):
        written(output_format, {"x": pa.array([1])}, {"x": pa.array(["a"])})


def test_a_column_without_a_text_form_is_refused_with_a_way_out():
    """Lists have their place in Parquet."""
    with pytest.raises(TableUnusable, match='column "l": list<item: int64> has no text form') as caught:
        written("csv", {"l": pa.array([[1]])})
    assert caught.value.hint == "--output-format parquet"


def test_columns_of_unequal_length_are_a_bug():
    """Told before anything is written."""
    with (
        pytest.raises(ValueError, match="columns must have 2 values each"),
        open_sink(None, "csv", stdout=io.BytesIO()) as sink,
    ):
        sink.write({"a": np.array([1, 2]), "b": np.array([1])}, 2)


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_file_appears_only_when_all_is_written(tmp_path, output_format):
    """And not at all if that fails."""
    path = tmp_path / f"t.{output_format}"
    with open_sink(path, output_format, stdout=None) as sink:
        sink.write({"i": np.array([1, 2])}, 2)
        assert not path.exists()
    assert read_back(path.read_bytes(), ("i",)) == {"i": [1, 2]}
    whole = path.read_bytes()

    def write_and_fail(sink):
        sink.write({"i": np.array([3])}, 1)
        raise KeyError

    with pytest.raises(KeyError), open_sink(path, output_format, stdout=None) as sink:
        write_and_fail(sink)
    assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_arrow_is_a_file_in_a_file_and_a_stream_on_stdout(tmp_path):
    """A pipe does not seek, a file is best opened by its index."""
    with open_sink(tmp_path / "t", "arrow", stdout=None) as sink:
        sink.write({"i": np.array([1])}, 1)
    assert (tmp_path / "t").read_bytes().startswith(b"ARROW1")
    assert written("arrow", {"i": np.array([1])}).startswith(b"\xff\xff\xff\xff")


def test_rows_leave_at_once():
    """Every write is flushed: the reader of the pipe need not wait for the end."""

    class Counting(io.BytesIO):
        flushed = 0

        def flush(self):
            self.flushed = len(self.getvalue())

    stream = Counting()
    with open_sink(None, "csv", stdout=stream) as sink:
        sink.write({"i": np.array([1])}, 1)
        assert stream.flushed == len(b"i\n1\n")


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_full_disk_behind_stdout_is_74(output_format):
    """With the operating system's words, whichever library writes."""

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with (
        pytest.raises(ReadWriteFailed, match=r"^stdout: no space left on device$"),
        open_sink(None, output_format, stdout=Full()) as sink,
    ):
        sink.write({"i": np.array([1])}, 1)


def test_what_cannot_be_opened_is_said(tmp_path):
    """A directory, a closed stdout."""
    with (
        pytest.raises(CannotCreate, match=f"^{re.escape(str(tmp_path))}: is a directory$"),
        open_sink(tmp_path, "csv", stdout=None),
    ):
        pass
    with pytest.raises(ReadWriteFailed, match=r"^stdout: closed$"), open_sink(None, "csv", stdout=None):
        pass


NOT_IN_PARQUET = {
    "a scale below zero": pa.array([Decimal("1E+3")], pa.decimal128(5, -2)),
    "runs": pa.RunEndEncodedArray.from_arrays([1], [1.0]),
    "an interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    "a union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
    "a struct without fields": pa.array([{}], pa.struct([])),
    "a dictionary of lists": pa.DictionaryArray.from_arrays([0], pa.array([[1]])),
}


# A number has a text form.
NOT_IN_EITHER = [case for case in NOT_IN_PARQUET if case != "a scale below zero"]


@pytest.mark.parametrize(
    ("output_format", "case"),
    [*(("parquet", case) for case in NOT_IN_PARQUET), *(("csv", case) for case in NOT_IN_EITHER)],
)
def test_a_type_that_a_format_lacks_is_refused_with_a_format_that_has_it(output_format, case, tmp_path):
    """By column and type; where Parquet lacks it too, CSV does not name Parquet."""
    values = NOT_IN_PARQUET[case]
    columns = {"i": np.array([1]), "x": values}
    with (
        pytest.raises(TableUnusable, match=f'^--pass: column "x": .*{re.escape(str(values.type))}') as caught,
        open_sink(None, output_format, stdout=io.BytesIO()) as sink,
    ):
        sink.write(columns, 1)
    assert caught.value.hint == "--output-format arrow"
    with open_sink(tmp_path / "t.arrow", "arrow", stdout=None) as sink:
        sink.write(columns, 1)
    with pa.ipc.open_file(tmp_path / "t.arrow") as file:
        assert file.read_all().column("x").to_pylist() == values.to_pylist()
