"""Several files as one table: however its rows are spread over them, and in which of them the trouble is."""

import gzip
import io
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.loaded import pieces_of
from pyarrow import parquet

from gmmcli.errors import NotFound, TableUnusable, Usage
from gmmcli.tables.blocks import load
from gmmcli.tables.columns import match_features, select_features
from gmmcli.tables.source import open_tables

QUICK = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty directory, with blocks of four rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gmmcli.tables.blocks.CHUNK_ROWS", 4)
    return tmp_path


def loaded(names, *, missing="drop", stdin=None, skip=False):
    """Return what `load` makes of columns a and b of some operands."""
    with open_tables(names, stdin=stdin) as tables:
        return load(tables, ("a", "b"), missing=missing, skip_empty_columns=skip)


def write_csv(path, X):
    """Write columns a and b of doubles, in the other order, among others."""
    rows = ["b,t,a\n", *(f"{b!r},x,{a!r}\n".replace("nan", "") for a, b in X.T.tolist())]
    path.write_text("".join(rows))


def write_parquet(path, X):
    """Write columns a and b of doubles."""
    parquet.write_table(pa.table({"a": X[0], "b": X[1]}), path, row_group_size=3)


def write_json_lines(path, X):
    """Write columns a and b of doubles."""
    rows = (f'{{"a": {a!r}, "b": {b!r}}}\n'.replace("nan", "null") for a, b in X.T.tolist())
    path.write_text("".join(rows))


@QUICK
@given(st.integers(0, 25), st.lists(st.integers(0, 25), max_size=3), st.integers(0, 2**32 - 1))
def test_rows_are_the_same_however_they_are_spread_over_files(folder, n_rows, cuts, seed):
    """Each file begins a block, has the digest it has alone, and may be of another format."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2, n_rows + 1))
    X[:, :n_rows][rng.random((2, n_rows)) < 0.2] = np.nan
    bounds = sorted({0, n_rows + 1, *(min(cut, n_rows) for cut in cuts)})
    parts = [X[:, begin:end] for begin, end in pairwise(bounds)]
    writers = [write_csv, write_parquet] + [write_json_lines] * 2
    names = []
    for i, part in enumerate(parts):
        names.append(f"{i}.data")
        writers[i](folder / names[-1], part)
    found = loaded(names)
    kept = [part[:, ~np.isnan(part).any(axis=0)] for part in parts]
    for chunks, part in zip(pieces_of(found), kept, strict=True):
        np.testing.assert_array_equal(np.concatenate([np.empty((2, 0)), *chunks], axis=1), part)
        assert all(chunk.shape[1] == 4 for chunk in chunks[:-1])
    assert [operand.n_rows for operand in found.operands] == [part.shape[1] for part in parts]
    assert found.rows_dropped == X.shape[1] - sum(part.shape[1] for part in kept)
    assert [operand.digest for operand in found.operands] == [
        loaded([name]).operands[0].digest for name in names
    ]


LATER = {
    "a text": (b"b,a\n1,2\n3,n.a\n", '2.csv:3: column "a": not a number: "n.a"'),
    "an infinity": (b"b,a\n1,inf\n", '2.csv:2: column "a": infinite value'),
    "an overflow": (b"b,a\n1e400,1\n", '2.csv:2: column "b": does not fit a double: 1e400'),
    "a ragged row": (b"b,a\n1\n", "2.csv:2: 2 columns expected, 1 found"),
    "an open quote": (b'b,a\n1,"2\n', "2.csv:2: a quote opens here and is never closed"),
    "both columns absent": (b"c\n1\n", '2.csv: no columns "a", "b": it has "c"'),
    "a column twice": (b"b,a,a\n1,2,3\n", '2.csv: 2 columns are named "a"'),
    "nothing": (b"", "2.csv: empty"),
    "a header of numbers": (
        b"1,2\n3,4\n",
        "2.csv:1: the first line has only numbers, so it cannot be a header: 1,2",
    ),
    "semicolons": (b"a;b\n1;2\n", "2.csv:1: columns are separated by semicolons, not by commas or tabs: a;b"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "2.csv: UTF-16 text"),
    "half a file": (gzip.compress(b"a,b\n1,2\n" * 50)[:-9], "2.csv: truncated gzip data"),
    "a text of JSON": (b'{"a": "1", "b": 2}\n', '2.csv:1: column "a": not a number: "1"'),
}


@pytest.mark.parametrize("case", LATER)
def test_trouble_in_a_later_file_is_told_with_its_name(folder, case):
    """Each file is opened when its turn comes, and judged like the first."""
    data, message = LATER[case]
    (folder / "1.csv").write_bytes(b"a,b\n1,2\n")
    (folder / "2.csv").write_bytes(data)
    with pytest.raises(TableUnusable) as caught:
        loaded(["1.csv", "2.csv"])
    assert str(caught.value) == message
    assert caught.value.status == 65


def test_a_later_file_of_texts_in_a_typed_format_is_refused_by_type(folder):
    """It has no cell to show."""
    (folder / "1.csv").write_bytes(b"a,b\n1,2\n")
    parquet.write_table(pa.table({"a": ["x"], "b": [1]}), "2.parquet")
    with pytest.raises(TableUnusable, match=r'^2.parquet: column "a": not numbers but string$'):
        loaded(["1.csv", "2.parquet"])


def test_a_file_that_vanished_is_not_found(folder):
    """Between the look at the command line and its turn."""
    (folder / "1.csv").write_bytes(b"a,b\n1,2\n")
    (folder / "2.csv").write_bytes(b"a,b\n3,4\n")
    with open_tables(["1.csv", "2.csv"]) as tables:
        (folder / "2.csv").unlink()
        with pytest.raises(NotFound, match=r"^2.csv: no such file or directory$"):
            load(tables, ("a", "b"), missing="drop", skip_empty_columns=False)


def test_the_first_file_decides_which_columns_there_are(folder):
    """What else a later one has is not looked at."""
    (folder / "1.csv").write_bytes(b"a,t,b\n1,x,2\n")
    (folder / "2.csv").write_bytes(b"extra,b,t,a\n9,4,y,3\n")
    with open_tables(["1.csv", "2.csv"]) as tables:
        features = select_features(tables).features
        batches = list(tables.iter_batches(features, ("t",)))
    assert features == ("a", "b")
    assert [batch.X.T.tolist() for batch in batches] == [[[1.0, 2.0]], [[3.0, 4.0]]]
    assert [batch.extra["t"].to_pylist() for batch in batches] == [["x"], ["y"]]


def test_stdin_takes_its_place_among_files(folder):
    """Once; rows are counted anew in it."""
    (folder / "1.csv").write_bytes(b"a,b\n1,2\n")
    found = loaded(["1.csv", "-", "1.csv"], stdin=io.BytesIO(b"b,a\n4,3\n"))
    assert [chunk.tolist() for chunks in pieces_of(found) for chunk in chunks] == [
        [[1.0], [2.0]],
        [[3.0], [4.0]],
        [[1.0], [2.0]],
    ]
    assert [(o.name, o.size_bytes) for o in found.operands] == [("1.csv", 8), ("-", -1), ("1.csv", 8)]
    with pytest.raises(TableUnusable, match=r'^-:3: column "b": missing value or NaN$'):
        loaded(["1.csv", "-"], stdin=io.BytesIO(b"a,b\n3,4\n5,\n"), missing="error")
    with pytest.raises(Usage, match=r"^-: stdin can be read only once$"):
        open_tables(["-", "1.csv", "-"], stdin=io.BytesIO(b"a,b\n"))


def test_closed_stdin_among_files_is_found_when_its_turn_comes(folder):
    """As a file that is not there."""
    (folder / "1.csv").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(NotFound, match=r"^-: stdin is closed$") as caught:
        loaded(["1.csv", "-"], stdin=None)
    assert caught.value.status == 66


def test_the_first_gap_is_that_of_the_first_file(folder):
    """Whichever column it is in, and though a later file gives another column its only value."""
    (folder / "1.csv").write_bytes(b"a,b\n1,\n2,\n,\n")
    (folder / "2.csv").write_bytes(b"a,b\n1,5\n")
    with pytest.raises(TableUnusable, match=r'^1.csv:2: column "b": missing value or NaN$'):
        loaded(["1.csv", "2.csv"], missing="error", skip=True)
    with pytest.raises(TableUnusable, match=r'^1.csv:4: column "a": missing value or NaN$'):
        loaded(["1.csv"], missing="error", skip=True)


@QUICK
@given(st.lists(st.lists(st.sampled_from(["11", "1_", "_1", "__"]), max_size=7), min_size=1, max_size=3))
def test_the_gap_that_is_told_is_the_one_a_plain_search_finds(folder, parts):
    """Row by row, then column by column, among the columns that have a value anywhere."""
    cells = [(i, row, cell) for i, part in enumerate(parts) for row, cell in enumerate(part)]
    used = [column for column in (0, 1) if any(cell[column] == "1" for _, _, cell in cells)]
    gaps = [(i, row, column) for i, row, cell in cells for column in used if cell[column] == "_"]
    expected = None
    if cells and not used:
        expected = "0.csv: no column has a value"
    elif gaps:
        i, row, column = gaps[0]
        expected = f'{i}.csv:{row + 2}: column "{"ab"[column]}": missing value or NaN'
    for i, part in enumerate(parts):
        rows = (f"{cell[0]},{cell[1]}\n".replace("_", "") for cell in part)
        (folder / f"{i}.csv").write_text("a,b\n" + "".join(rows))
    found = None
    try:
        loaded([f"{i}.csv" for i in range(len(parts))], missing="error", skip=True)
    except TableUnusable as error:
        found = str(error)
    assert found == expected


def test_a_model_s_columns_are_looked_for_in_the_first_file_before_any_row(folder):
    """So that a long first file does not hide what is absent."""
    (folder / "1.csv").write_bytes(b"b\n1\n")
    (folder / "2.csv").write_bytes(b"a,b\n1,2\n")
    with (
        open_tables(["1.csv", "2.csv"]) as tables,
        pytest.raises(TableUnusable, match=r'^1.csv: no column "a": it has "b"$'),
    ):
        match_features(tables, ("a", "b"))


def test_globs_and_directories_may_be_mixed(folder):
    """Each word stands for its files, in byte order; the words in the order given."""
    (folder / "d" / "e").mkdir(parents=True)
    for name, value in (("d/2.parquet", 2.0), ("d/10.parquet", 1.0), ("d/e/1.pq", 3.0)):
        write_parquet(folder / name, np.full((2, 1), value))
    for name, value in (("x-2.csv", 5.0), ("x-10.csv", 4.0)):
        write_csv(folder / name, np.full((2, 1), value))
    found = loaded(["x-*.csv", "d", "x-2.csv"])
    assert [operand.name for operand in found.operands] == [
        *("x-10.csv", "x-2.csv"),
        *("d/10.parquet", "d/2.parquet", "d/e/1.pq"),
        "x-2.csv",
    ]
    assert [chunks[0][0, 0] for chunks in pieces_of(found)] == [4, 5, 1, 2, 3, 5]
