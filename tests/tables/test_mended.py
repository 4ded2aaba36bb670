"""What an audit of the reader and the writer found, so that it stays mended."""

import io
import json
import os
import resource

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from gmmcli.errors import NotFound, TableUnusable
from gmmcli.tables.blocks import load
from gmmcli.tables.columns import select_features
from gmmcli.tables.sink import open_sink
from gmmcli.tables.source import open_tables
from gmmcli.tables.text import TextReader


def column_names(data):
    """Return the columns of a table on stdin."""
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        return tables.column_names


@pytest.mark.parametrize("name", ["PAR1", "ARROW1", "BZh", "BZh9", "PAR1 (kg)"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_header_may_begin_like_a_binary_format(name, delimiter):
    """Parameters are called PAR1, PAR2 in some tables."""
    assert column_names(f"{name}{delimiter}b\n1{delimiter}2\n".encode()) == (name, "b")


def test_an_arrow_stream_may_begin_with_any_length():
    """Its fifth byte may happen to be a letter."""
    fifth_bytes = set()
    for n in range(1, 60, 4):
        stream = io.BytesIO()
        table = pa.table({"x" * n: [1.0]})
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        fifth_bytes.add(stream.getvalue()[4])
        assert column_names(stream.getvalue()) == ("x" * n,)
    assert any(chr(byte).isascii() and chr(byte).isalpha() for byte in fifth_bytes)


@pytest.mark.parametrize("blank", ["", "\n", "\r\n\n", "\ufeff"])
def test_tabs_at_the_start_of_a_header_are_delimiters(blank):
    """As in a table of one column that was saved with its row names."""
    assert column_names(f"{blank}\tx\n0\t1.5\n".encode())[-1] == "x"


def test_a_json_object_longer_than_the_beginning_is_read():
    """There is no bound on the first line but that on any."""
    data = b'{"x": 1, "t": "' + b"a" * (3 << 20) + b'"}\n{"x": 2}\n'
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        assert tables.column_names == ("x", "t")
        assert [x for batch in tables.iter_batches(("x",)) for x in batch.X[0].tolist()] == [1, 2]


def test_nested_values_are_json_whatever_numbers_they_hold():
    """NaN and infinity are null at any depth."""
    values = pa.array([{"l": [float("nan"), 1.0], "s": {"f": float("-inf")}}, None])
    stream = io.BytesIO()
    with open_sink(None, "jsonl", stdout=stream) as sink:
        sink.write({"v": values}, 2)

    def refuse(word):
        raise ValueError(word)

    found = [json.loads(line, parse_constant=refuse) for line in stream.getvalue().splitlines()]
    assert found == [{"v": {"l": [None, 1.0], "s": {"f": None}}}, {"v": None}]


def test_an_empty_word_is_no_file():
    """A variable that the shell found unset is not the working directory."""
    with pytest.raises(NotFound, match=r"^'': no such file or directory$") as caught:
        open_tables([""])
    assert caught.value.status == 66


def test_hints_can_be_typed_on_stdin_and_for_names_with_spaces(tmp_path, monkeypatch):
    """A dash is no file to redirect from, and a space ends a word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my table.csv").write_bytes(b"a;b\n1;2\n")
    (tmp_path / "my table.gz").write_bytes(b"\x1f\x8b\x08\x00")
    hints = []
    for words in ([], ["my table.csv"], ["my table.gz"]):
        with pytest.raises(TableUnusable) as caught:
            open_tables(words, stdin=io.BytesIO(b"a;b\n"))
        hints.append(caught.value.hint)
    assert hints == [
        "pipe it through: tr ';' '\\t'",
        "tr ';' '\\t' < 'my table.csv' > table.tsv",
        "gzip -t 'my table.gz'",
    ]


def test_a_file_is_read_though_more_than_a_thousand_are_open(tmp_path):
    """The number of its descriptor has no bound."""
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_files = 1100
    if hard != resource.RLIM_INFINITY and hard < n_files + 100:
        pytest.skip("so many may not be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n_files + 100), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(n_files)]
    try:
        with open_tables([str(tmp_path / "t.csv")]) as tables:
            assert [batch.X.tolist() for batch in tables.iter_batches(("a",))] == [[[1.0]]]
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_rows_are_located_for_the_message_alone(monkeypatch, missing):
    """To find the line of a row takes a scan of its chunk: once or twice, not for each of many columns."""
    located = []
    locate = TextReader._locate
    monkeypatch.setattr(
        TextReader,
        "_locate",
        lambda self, chunk, row: located.append(row) or locate(self, chunk, row),
    )
    X = np.ones((300, 100))
    X[np.arange(100, 200), np.arange(100)] = np.nan
    rows = [",".join(map(str, row)) for row in X.tolist()]
    text = ",".join(f"c{j}" for j in range(100)) + "\n" + "\n".join(rows) + "\n"
    with open_tables([], stdin=io.BytesIO(text.encode())) as tables:
        features = select_features(tables).features
        if missing == "drop":
            found = load(tables, features, missing="drop", skip_empty_columns=True)
            assert found.rows_dropped == 100
        else:
            with pytest.raises(TableUnusable, match=r'^-:102: column "c0": missing value or NaN$'):
                load(tables, features, missing="error", skip_empty_columns=True)
    assert len(located) <= 2


@pytest.mark.parametrize(
    "error",
    [
        pa.ArrowMemoryError("malloc of size 64000 failed"),
        OSError("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    ],
    ids=["memory", "threads"],
)
def test_a_file_is_not_called_damaged_where_memory_is_what_was_lacking(tmp_path, monkeypatch, error):
    """Somebody might throw it away."""
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": [1.0, 2.0]}), path)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", fail)

    with open_tables([str(path)]) as tables, pytest.raises(MemoryError):
        list(tables.iter_batches(("x",)))
