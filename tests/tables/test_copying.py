"""From a source to a sink and back, as predict does it: what is passed arrives as it was, in every format."""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmcli.tables.columns import select_extra
from gmmcli.tables.sink import open_sink
from gmmcli.tables.source import open_tables
from gmmcli.tables.suffixes import FORMATS

QUICK = settings(max_examples=40, deadline=None, database=None, derandomize=True)

TEXT_FORMATS = {"csv": ",", "tsv": "\t"}


def written(output_format, *batches):
    """Return what is written to stdout of some batches."""
    stream = io.BytesIO()
    with open_sink(None, output_format, stdout=stream) as sink:
        for columns in batches:
            sink.write(columns, len(next(iter(columns.values()))))
    return stream.getvalue()


def copied(data, output_format, input_format=None):
    """Return a table in another format: its first column counted as a number, all passed."""
    with open_tables([], stdin=io.BytesIO(data), input_format=input_format) as tables:
        passed = select_extra(tables, "all")
        batches = [dict(batch.extra) for batch in tables.iter_batches(passed[:1], passed)]
    return written(output_format, *batches)


def as_python_writes(rows, delimiter):
    """Return rows as the standard library writes them, with quotes around each cell."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()


def as_python_reads(data, delimiter):
    """Return the cells that the standard library finds."""
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


numbers = st.sampled_from(["1", "00501", "+1.50", " 2 ", "1e5", "-0", "NA", "null", ""])
nasty = st.text(alphabet='a ,;\t"\n\rü#%{}\u2028', max_size=6)
tables_of_text = st.tuples(
    st.lists(nasty.filter(bool), min_size=1, max_size=3, unique=True),
    st.lists(st.tuples(numbers, nasty, nasty, nasty), max_size=6),
)


@pytest.mark.parametrize("target", TEXT_FORMATS)
@pytest.mark.parametrize("source", TEXT_FORMATS)
@QUICK
@given(tables_of_text)
def test_text_is_copied_verbatim_between_csv_and_tsv(source, target, table):
    """Another reader and another writer of such files agree on every cell, name and row."""
    names, rows = table
    cells = [["x 1", *names], *(list(row[: len(names) + 1]) for row in rows)]
    data = copied(as_python_writes(cells, TEXT_FORMATS[source]), target, source)
    assert as_python_reads(data, TEXT_FORMATS[target]) == cells


@pytest.mark.parametrize("way", ["jsonl", "parquet", "arrow"])
@QUICK
@given(tables_of_text)
def test_text_is_the_same_after_a_detour(way, table):
    """By way of a typed format an empty cell is null, and empty again."""
    names, rows = table
    cells = [["x 1", *names], *(["1", *row[1 : len(names) + 1]] for row in [*rows, ("1", "a", "b", "c")])]
    detour = copied(as_python_writes(cells, ","), way)
    with open_tables([], stdin=io.BytesIO(detour)) as tables:
        passed = select_extra(tables, "all")
        (batch,) = tables.iter_batches((), passed)
    back = written("csv", dict(batch.extra))
    assert as_python_reads(back, ",") == cells


@pytest.mark.parametrize("output_format", FORMATS)
@QUICK
@given(st.lists(st.tuples(st.booleans(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=10))
def test_masked_cells_come_back_empty_and_the_others_whole(output_format, cells):
    """Integers to the last digit, beside doubles and booleans that are masked alike."""
    mask, integers = map(list, zip(*cells, strict=True))
    columns = {
        "n": np.arange(len(cells)),
        "i": np.ma.masked_array(np.array(integers, np.int64), mask=mask),
        "f": np.ma.masked_array(np.array(integers, np.float64) / 3, mask=mask),
        "b": np.ma.masked_array(np.array(integers) % 2 == 0, mask=mask),
    }
    data = written(output_format, columns)
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        (batch,) = tables.iter_batches(("n", "f"), ("i", "b"))
    expected = [None if masked else value for masked, value in zip(mask, integers, strict=True)]
    found = batch.extra["i"].to_pylist()
    assert [None if value is None else int(value) for value in found] == expected
    np.testing.assert_array_equal(batch.X[1], columns["f"].filled(np.nan))
    words = {True: True, False: False, "true": True, "false": False, None: None}
    expected = [None if value is None else value % 2 == 0 for value in expected]
    assert [words[value] for value in batch.extra["b"].to_pylist()] == expected


TYPED = {
    "int8": pa.array([-128, None, 127], pa.int8()),
    "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "float": pa.array([0.1, None, 3e38], pa.float32()),
    "date": pa.array([0, None, 18_000], pa.date32()),
    "time stamp": pa.array([0, None, 10**15], pa.timestamp("us", "UTC")),
    "dictionary": pa.array(["x", None, "y"]).dictionary_encode(),
    "list": pa.array([[1, 2], None, []]),
    "struct": pa.array([{"a": 1}, None, {"a": 2}]),
    "binary": pa.array([b"\xff", None, b""]),
}


@pytest.mark.parametrize("way", ["parquet", "arrow"])
@pytest.mark.parametrize("case", TYPED)
def test_typed_columns_keep_type_and_nulls_on_their_way(case, way):
    """What text cannot hold too."""
    table = pa.table({"n": [1, 2, 3], "v": TYPED[case]})
    data = copied(copied(written("arrow", {"n": table["n"].chunk(0), "v": TYPED[case]}), way), "arrow")
    found = pa.ipc.open_stream(data).read_all()
    assert found["v"].combine_chunks().to_pylist() == TYPED[case].to_pylist()
    assert found.schema.field("v").type == TYPED[case].type


@pytest.mark.parametrize("output_format", ["csv", "tsv", "parquet", "arrow"])
def test_a_table_without_rows_reads_back_as_one(output_format):
    """Its columns are there, its rows are none."""
    data = written(output_format, {"i": np.array([], np.int64), "s": pa.array([], pa.string())})
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        assert tables.column_names == ("i", "s")
        assert [batch.n_rows for batch in tables.iter_batches(("i",), ("s",))] == [0]
