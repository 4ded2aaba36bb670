"""Where the edges of a text are: blank lines that are rows, and beginnings of any length that tell types."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmcli.errors import TableUnusable
from gmmcli.tables.columns import select_features
from gmmcli.tables.sink import open_sink
from gmmcli.tables.source import open_tables

QUICK = settings(max_examples=60, deadline=None, database=None, derandomize=True)

cells = st.sampled_from(["1", " -2.5", "", "", '""', "NA", '"3"', "  "])
ends = st.sampled_from(["\n", "\r\n"])


def value_of(cell):
    """Return the number that one of `cells` stands for."""
    text = cell.strip('" ')
    return float(text) if text not in ("", "NA") else np.nan


@QUICK
@given(st.lists(st.tuples(cells, ends), max_size=12), st.integers(1, 12), st.integers(1, 3))
def test_each_line_of_one_column_is_a_row(lines, chunk_bytes, n_threads):
    """Blank ones too, wherever the stream is cut; row i is on line i + 2."""
    text = "a\n" + "".join(cell + end for cell, end in lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmmcli.tables.chunks.CHUNK_BYTES", chunk_bytes)
        with open_tables([], stdin=io.BytesIO(text.encode()), n_threads=n_threads) as tables:
            batches = list(tables.iter_batches(("a",), ("a",)))
    found = [value for batch in batches for value in batch.X[0].tolist()]
    np.testing.assert_array_equal(found, [value_of(cell) for cell, _ in lines])
    passed = [cell for batch in batches for cell in batch.extra["a"].to_pylist()]
    assert passed == [cell.strip('"') or None for cell, _ in lines]
    places = [batch.locate(i) for batch in batches for i in range(batch.n_rows)]
    assert places == [f"-:{i + 2}" for i in range(len(lines))]


@pytest.mark.parametrize("output_format", ["csv", "tsv"])
@QUICK
@given(st.lists(st.sampled_from([None, 0.5, -3.0]), max_size=8))
def test_one_column_with_empty_cells_is_written_without_losing_a_row(output_format, values):
    """No reader that skips blank lines, as many do, may find fewer."""
    stream = io.BytesIO()
    mask = [value is None for value in values]
    column = np.ma.masked_array([value or 0.0 for value in values], mask=mask, dtype=np.float64)
    with open_sink(None, output_format, stdout=stream) as sink:
        sink.write({"a": column}, len(values))
    assert b"\n\n" not in stream.getvalue()
    with open_tables([], stdin=io.BytesIO(stream.getvalue())) as tables:
        found = [x for batch in tables.iter_batches(("a",)) for x in batch.X[0].tolist()]
    np.testing.assert_array_equal(found, np.array(values, dtype=np.float64))


wide_cells = st.sampled_from(["1", "", "inf", "1e400", '"2\n"', '"3"', "x", "0x1", "n.a", '"y\n"'])


@QUICK
@given(st.lists(st.tuples(wide_cells, wide_cells, ends), max_size=8), st.integers(1, 90))
def test_types_are_told_by_the_whole_records_of_a_beginning_of_any_length(records, inference_bytes):
    """A record that is cut says nothing, and neither does what follows."""
    text, numeric = "a,b\n", {"a", "b"}
    for *row, end in records:
        text += ",".join(row) + end
        if len(text) <= inference_bytes:
            texts = ("x", "0x1", "n.a", '"y\n"', '"2\n"')
            numeric -= {name for name, cell in zip("ab", row, strict=True) if cell in texts}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmmcli.tables.text.INFERENCE_BYTES", inference_bytes)
        with open_tables([], stdin=io.BytesIO(text.encode())) as tables:
            assert {tables.column_names[j] for j in tables.first.numeric} == numeric


@pytest.mark.parametrize("inference_bytes", range(4, 40, 3))
def test_the_error_about_a_cell_does_not_depend_on_how_much_was_looked_at(monkeypatch, inference_bytes):
    """Found at once or only where it is read: the same file, line, column and cell."""
    monkeypatch.setattr("gmmcli.tables.text.INFERENCE_BYTES", inference_bytes)

    def read():
        with open_tables([], stdin=io.BytesIO(b'a,b\n1,"2"\n\n3,n.a\n4,x\n')) as tables:
            features = select_features(tables, ("b",)).features
            list(tables.iter_batches(features))

    with pytest.raises(TableUnusable) as caught:
        read()
    assert str(caught.value) == '-:4: column "b": not a number: "n.a"'


def test_a_header_longer_than_the_beginning_leaves_types_to_what_is_read(monkeypatch):
    """Then every column counts as one of numbers."""
    monkeypatch.setattr("gmmcli.tables.text.INFERENCE_BYTES", 5)
    with open_tables([], stdin=io.BytesIO(b"first,second\n1,x\n")) as tables:
        assert tables.first.numeric == {0, 1}
