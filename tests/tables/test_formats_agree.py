"""One table in every format: the same blocks, the same digest. And what the types of typed formats mean."""

import bz2
import datetime
import decimal
import gzip
import hashlib
import io
import json
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.loaded import pieces_of
from pyarrow import parquet

from gmmcli.errors import TableUnusable
from gmmcli.tables import json_text
from gmmcli.tables.blocks import load
from gmmcli.tables.columns import select_features
from gmmcli.tables.sink import open_sink
from gmmcli.tables.source import open_tables

N_ROWS = 500


def make_table():
    """Return three columns of doubles, with gaps and a negative zero, and one of texts."""
    X = np.random.default_rng(0).normal(size=(3, N_ROWS)) * [[1e-9], [1], [1e12]]
    X[1, 7] = -0.0
    x, y, z = (pa.array(row, mask=np.arange(N_ROWS) % 50 == j) for j, row in enumerate(X))
    return pa.table({"x": x, "y": y, "t": [f'say "{i}",\nplease' for i in range(N_ROWS)], "z": z})


def as_text(table, delimiter):
    """Return a table as CSV or TSV, written without the code under test."""
    lines = [delimiter.join(table.column_names)]
    for row in table.to_pylist():
        cells = ('"' + v.replace('"', '""') + '"' if isinstance(v, str) else v for v in row.values())
        lines.append(delimiter.join("" if cell is None else str(cell) for cell in cells))
    return ("\n".join(lines) + "\n").encode()


def as_parquet(table, **options):
    """Return a table as Parquet."""
    stream = io.BytesIO()
    parquet.write_table(table, stream, **options)
    return stream.getvalue()


def as_arrow(table, new):
    """Return a table as Arrow."""
    stream = io.BytesIO()
    with new(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=123)
    return stream.getvalue()


def as_json_lines(table):
    """Return a table as JSON lines, gaps partly null and partly absent."""
    rows = [
        {k: v for k, v in row.items() if v is not None or i % 100 == 0}
        for i, row in enumerate(table.to_pylist())
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


FORMATS = {
    "csv": lambda t: as_text(t, ","),
    "tsv": lambda t: as_text(t, "\t"),
    "csv with carriage returns": lambda t: as_text(t.drop(["t"]), ",").replace(b"\n", b"\r\n"),
    "csv.gz": lambda t: gzip.compress(as_text(t, ",")),
    "csv.bz2": lambda t: bz2.compress(as_text(t, ",")),
    "csv.zst": lambda t: pa.compress(as_text(t, ","), codec="zstd", asbytes=True),
    "parquet": as_parquet,
    "parquet in small row groups": lambda t: as_parquet(t, row_group_size=77),
    "parquet with dictionaries": lambda t: as_parquet(t, use_dictionary=True, compression="zstd"),
    "parquet.gz": lambda t: gzip.compress(as_parquet(t)),
    "arrow file": lambda t: as_arrow(t, pa.ipc.new_file),
    "arrow stream": lambda t: as_arrow(t, pa.ipc.new_stream),
    "arrow stream.gz": lambda t: gzip.compress(as_arrow(t, pa.ipc.new_stream)),
    "jsonl": as_json_lines,
    "columns in another order": lambda t: as_text(t.select(["t", "z", "y", "x"]), ","),
}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """Make chunks so short that several are needed."""
    monkeypatch.setattr("gmmcli.tables.blocks.CHUNK_ROWS", 128)


def loaded(data, features=("x", "y", "z"), *, missing="drop", n_threads=1):
    """Return what `load` makes of a table on stdin."""
    with open_tables([], stdin=io.BytesIO(data), n_threads=n_threads) as tables:
        return load(tables, features, missing=missing, skip_empty_columns=False)


def digest_of(table):
    """Return the digest as the design defines it."""
    sha = hashlib.sha256(b"x\0y\0z\0")
    for begin in range(0, N_ROWS, 128):
        for name in ("x", "y", "z"):
            for value in table[name].to_pylist()[begin : begin + 128]:
                sha.update(
                    struct.pack("<Q", 0x7FF8 << 48) if value is None else struct.pack("<d", value + 0.0)
                )
    return sha.hexdigest()


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_blocks_and_digest(name, n_threads):
    """Bit for bit, for any number of threads."""
    table = make_table()
    found = loaded(FORMATS[name](table), n_threads=n_threads)
    expected = np.stack([table[c].to_numpy() for c in ("x", "y", "z")])
    expected = expected[:, ~np.isnan(expected).any(axis=0)] + 0.0
    np.testing.assert_array_equal(np.concatenate(pieces_of(found)[0], axis=1), expected)
    assert [chunk.shape for chunk in pieces_of(found)[0]] == [(3, 128)] * 3 + [(3, N_ROWS - 30 - 3 * 128)]
    assert all(chunk.flags.c_contiguous for chunk in pieces_of(found)[0])
    assert found.rows_dropped == 30
    assert found.operands[0].n_rows == N_ROWS
    assert found.operands[0].digest == digest_of(table)


TYPES = {
    "integers with nulls": (pa.array([1, None, 3], pa.int64()), [1, np.nan, 3]),
    "large unsigned integers": (pa.array([2**64 - 1, 2**53 + 1, 0], pa.uint64()), [2.0**64, 2.0**53, 0]),
    "small integers": (pa.array([-128, 127], pa.int8()), [-128, 127]),
    "booleans": (pa.array([True, False]), [1, 0]),
    "booleans with nulls": (pa.array([True, None]), [1, np.nan]),
    "half floats": (pa.array(np.array([0.5, 65504], np.float16)), [0.5, 65504]),
    "single floats": (pa.array([0.1], pa.float32()), [float(np.float32(0.1))]),
    "decimals": (
        pa.array(
            [decimal.Decimal("0.10"), decimal.Decimal("-12345678901234567.89"), None], pa.decimal128(38, 2)
        ),
        [0.1, -12345678901234567.89, np.nan],
    ),
    "nulls only": (pa.nulls(2), [np.nan, np.nan]),
    "dictionary of floats": (pa.array([1.5, 2.5, None, 1.5]).dictionary_encode(), [1.5, 2.5, np.nan, 1.5]),
    "NaN and null": (pa.array([np.nan, None, 1.0]), [np.nan, np.nan, 1]),
}


@pytest.mark.parametrize("write", [as_parquet, FORMATS["arrow file"], FORMATS["arrow stream"]])
@pytest.mark.parametrize("case", TYPES)
def test_typed_numbers_become_the_nearest_doubles(case, write):
    """Whatever their width; decimals as the text of their digits does."""
    values, expected = TYPES[case]
    if case == "dictionary of floats" and write is as_parquet:
        values = values.dictionary_decode()
    with open_tables([], stdin=io.BytesIO(write(pa.table({"x": values})))) as tables:
        assert tables.first.numeric == {0}
        (batch,) = tables.iter_batches(("x",))
    np.testing.assert_array_equal(batch.X[0], expected)


NOT_NUMBERS = {
    "string": pa.array(["1"]),
    "date32[day]": pa.array([datetime.date(2020, 1, 1)]),
    "timestamp[us]": pa.array([datetime.datetime(2020, 1, 1)]),
    "list<item: double>": pa.array([[1.0]]),
    "struct<a: int64>": pa.array([{"a": 1}]),
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_typed_columns_that_are_no_numbers_are_skipped_or_refused(kind):
    """Skipped by default, refused by name."""
    data = as_arrow(pa.table({"x": NOT_NUMBERS[kind], "y": [1]}), pa.ipc.new_stream)
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        (notice,) = select_features(tables).notices
        assert notice.details["columns"] == ["x"]
        with pytest.raises(TableUnusable) as caught:
            select_features(tables, ("x",))
    assert str(caught.value) == f'-: column "x": not numbers but {kind}'
    assert caught.value.hint is None


@pytest.mark.parametrize("write", [as_parquet, FORMATS["arrow stream"]])
def test_an_infinite_value_is_refused_with_its_row(write):
    """Rows count from 1, over row groups and batches."""
    y = np.zeros(300)
    y[250] = -np.inf
    with pytest.raises(TableUnusable, match=r'^-: row 251: column "y": infinite value$'):
        loaded(write(pa.table({"x": np.zeros(300), "y": y})), ("x", "y"))


def test_a_missing_value_of_a_typed_table_is_located_by_its_row():
    """As 1-based rows, since there are no lines."""
    data = as_parquet(pa.table({"x": [1.0, 2.0, None]}), row_group_size=2)
    with pytest.raises(TableUnusable, match=r'^-: row 3: column "x": missing value or NaN$'):
        loaded(data, ("x",), missing="error")


def test_passed_columns_of_typed_formats_keep_their_type():
    """Dates stay dates."""
    table = pa.table({"x": [1.0, 2.0], "d": pa.array([1, 2], pa.date32()), "s": ["a", None]})
    for write in (as_parquet, FORMATS["arrow file"], FORMATS["arrow stream"]):
        with open_tables([], stdin=io.BytesIO(write(table))) as tables:
            (batch,) = tables.iter_batches(("x",), ("s", "d", "x"))
        assert pa.table(dict(batch.extra)).equals(table.select(["s", "d", "x"]))


JSON_CASES = {
    "numbers": (b'{"x": 1}\n{"x": 2.5e1}\n', [1, 25]),
    "null, NaN and an absent key": (b'{"x": null}\n{"x": NaN}\n{"y": 1}\n', [np.nan] * 3),
    "booleans": (b'{"x": true}\n{"x": false}', [1, 0]),
    "blank lines": (b'\n{"x": 1}\n\n  \n{"x": 2}', [1, 2]),
    "byte order mark": (b'\xef\xbb\xbf{"x": 1}', [1]),
    "byte order mark twice": (b'\xef\xbb\xbf\xef\xbb\xbf{"x": 1}', [1]),
    "underflow": (b'{"x": 1e-400}', [0]),
}


@pytest.mark.parametrize("case", JSON_CASES)
def test_json_lines_are_typed_rows(case):
    """An absent key is a missing value."""
    data, expected = JSON_CASES[case]
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        found = [value for batch in tables.iter_batches(("x",)) for value in batch.X[0].tolist()]
    np.testing.assert_array_equal(found, expected)


JSON_REFUSED = {
    "a text": (b'{"x": 1}\n{"x": "1"}\n', '-:2: column "x": not a number: "1"'),
    "an array": (b'{"x": [1]}\n', '-:1: column "x": not a number: [1]'),
    "infinity": (b'{"x": 1}\n\n{"x": -Infinity}\n', '-:3: column "x": infinite value'),
    "overflow": (b'{"x": 1e400}\n', '-:1: column "x": does not fit a double: 1e400'),
    "a large integer": (b'{"x": 1%s}\n' % (b"0" * 309), '-:1: column "x": does not fit a double: 1000'),
    "no JSON": (b'{"x": 1}\n{x: 1}\n', "-:2: not JSON: {x: 1}"),
    "no object": (b'{"x": 1}\n[1]\n', "-:2: not a JSON object: [1]"),
    "no UTF-8": (b'{"x": 1, "t": "\xe9"}\n', "-:1: not UTF-8"),
    "half a surrogate pair": (b'{"x": 1, "t": "\\ud800"}\n', "-:1: not UTF-8"),
    "too deep": (b'{"x": 1}\n{"x": ' + b"[" * 100_000 + b"\n", "-:2: not JSON: "),
    "digits without end": (b'{"x": 1' + b"0" * 5000 + b"}\n", "-:1: not JSON: "),
    "a bad number before a bad line": (b'{"x": 1}\n{"x": "1"}\n{\n', None),
}


@pytest.mark.parametrize("case", JSON_REFUSED)
def test_json_lines_that_are_no_rows_are_refused_with_their_line(case):
    """Status 65."""
    data, message = JSON_REFUSED[case]

    def read():
        with open_tables([], stdin=io.BytesIO(data), input_format="jsonl") as tables:
            extra = tuple(name for name in tables.column_names if name != "x")
            for _ in tables.iter_batches(("x",), extra):
                pass

    with pytest.raises(TableUnusable) as caught:
        read()
    assert str(caught.value).startswith(message or "-:3: not JSON")


def test_passed_values_of_json_lines_stay_as_they_are_written():
    """To the digit; typed formats get types, mixtures and nested values as JSON text."""
    first = b'{"x": 1, "i": 5, "f": 1, "s": "2020-01-01", "m": 1.50}\n'
    data = first + b' { "x":2,"f" : 5e-1 , "m": [true,  "\xc3\xa9"],"s":null }\r\n'
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        (batch,) = tables.iter_batches(("x",), ("i", "f", "s", "m"))

    assert {name: json_text.as_json(values) for name, values in batch.extra.items()} == {
        "i": ["5", "null"],
        "f": ["1", "5e-1"],
        "s": ['"2020-01-01"', "null"],
        "m": ["1.50", '[true,  "é"]'],
    }
    assert {name: json_text.as_typed(name, values).to_pylist() for name, values in batch.extra.items()} == {
        "i": [5, None],
        "f": [1.0, 0.5],
        "s": ["2020-01-01", None],
        "m": ["1.50", '[true,  "é"]'],
    }


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=4),
    st.sampled_from([None, (",", ":"), (" , ", " :  ")]),
    st.booleans(),
)
def test_texts_of_an_object_are_those_of_its_values(value, separators, ensure_ascii):
    """Read one by one they make the object again, however it is written."""
    line = json.dumps(value, separators=separators, ensure_ascii=ensure_ascii)
    found = {key: json.loads(text) for key, text in json_text.texts_of(f" {line} ").items()}
    assert repr(found) == repr(value)


@pytest.mark.parametrize("output_format", ["csv", "jsonl", "parquet"])
def test_a_passed_value_of_another_type_than_those_before_is_one_to_typed_formats_only(output_format):
    """After the first MiB, from which types are told."""
    n = 70_000
    data = b'{"x": 1, "t": 5}\n' * n + b'{"x": 1, "t": 1.50}\n{"x": 1, "t": NaN}\n'
    stream = io.BytesIO()

    def copy():
        with (
            open_tables([], stdin=io.BytesIO(data)) as tables,
            open_sink(None, output_format, stdout=stream) as sink,
        ):
            for batch in tables.iter_batches(("x",), ("t",)):
                sink.write(batch.extra, batch.n_rows)

    if output_format == "parquet":
        with pytest.raises(TableUnusable, match=r'^--pass: column "t": not int64 as before: 1\.50$'):
            copy()
    else:
        copy()
        last = {"csv": ["5", "1.50", "NaN"], "jsonl": ['{"t": 5}', '{"t": 1.50}', '{"t": null}']}
        assert stream.getvalue().decode().splitlines()[-3:] == last[output_format]


@settings(max_examples=100, deadline=None)
@given(JSON_VALUES)
def test_what_json_can_say_is_written_as_it_was(value):
    """And the rest, numbers that are not finite, as null."""
    text = json.dumps(value, separators=(" ,", " : "))
    (found,) = json_text.as_json(json_text.JsonText(pa.string()).array([text]))
    if value is None:
        assert found == "null"
    elif "NaN" in text or "Infinity" in text:
        json.loads(found, parse_constant=pytest.fail)
    else:
        assert found == text


def test_words_for_no_number_within_a_text_are_text():
    """What is around them is written as it was."""
    column = json_text.JsonText(pa.string()).array(['{"s":"NaN","v":1.50}', "[NaN, 2.50]"])
    assert json_text.as_json(column) == ['{"s":"NaN","v":1.50}', "[null, 2.5]"]


def test_an_integer_beside_doubles_is_one_of_them():
    """Also beyond 2^53, where not every integer is a double."""
    column = json_text.JsonText(pa.float64()).array(["1.5", "9007199254740993", "null"])
    assert json_text.as_typed("x", column).to_pylist() == [1.5, 9007199254740992.0, None]


def test_of_many_keys_that_come_late_the_first_are_remembered():
    """In bounded memory; with the line of the first, and whether they are numbers."""
    late = b"".join(b'{"x": 1, "k%d": %s}\n' % (i, b'"text"' if i % 2 else b"5") for i in range(20_000))
    data = b'{"x": 1}\n' * 200_000 + late
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        assert sum(batch.n_rows for batch in tables.iter_batches(("x",))) == 220_000
        found = tables.late

    assert found.place == "-:200001"
    assert found.columns == {f"k{i}": i % 2 == 0 for i in range(12)}
