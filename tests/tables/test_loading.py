"""A whole table in memory: what is missing, what is dropped, what is left out."""

import io

import numpy as np
import pytest
from oracles.loaded import pieces_of

from gmmcli.errors import TableUnusable
from gmmcli.remedies import Emptied, Exclude, Set
from gmmcli.tables.blocks import check_complete, load
from gmmcli.tables.source import open_tables


@pytest.fixture(autouse=True)
def short_chunks(tmp_path, monkeypatch):
    """Work in an empty directory, with chunks of four rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gmmcli.tables.blocks.CHUNK_ROWS", 4)
    return tmp_path


def loaded(*texts, missing="drop", skip=False, features=("a", "b")):
    """Return what `load` makes of files 0.csv, 1.csv ..."""
    names = []
    for i, text in enumerate(texts):
        names.append(f"{i}.csv")
        with open(names[-1], "w") as file:
            file.write(text)
    with open_tables(names) as tables:
        return load(tables, features, missing=missing, skip_empty_columns=skip)


@pytest.mark.parametrize("seed", range(8))
def test_rows_with_a_missing_value_are_dropped_and_the_rest_repacked(seed):
    """The others keep their order, in full chunks, operand by operand."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(2, n)) for n in rng.integers(0, 20, size=3)]
    for X in parts:
        X[rng.random(size=X.shape) < rng.choice([0, 0.2, 0.9])] = np.nan
    texts = ["a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in X.T.tolist()) for X in parts]
    found = loaded(*texts)
    kept = [X[:, ~np.isnan(X).any(axis=0)] for X in parts]
    for chunks, X in zip(pieces_of(found), kept, strict=True):
        assert [chunk.shape[1] for chunk in chunks] == [4] * (X.shape[1] // 4) + [X.shape[1] % 4] * bool(
            X.shape[1] % 4
        )
        np.testing.assert_array_equal(np.concatenate([np.empty((2, 0)), *chunks], axis=1), X)
    assert found.rows_dropped == sum(X.shape[1] - Y.shape[1] for X, Y in zip(parts, kept, strict=True))
    assert [operand.n_rows for operand in found.operands] == [X.shape[1] for X in parts]


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a,b\n1,2\n3,\n,4\n", '0.csv:3: column "b": missing value or NaN'),
        ("a,b\n1,2\n,\n", '0.csv:3: column "a": missing value or NaN'),
        ("a,b\n,2\n3,4\n", '0.csv:2: column "a": missing value or NaN'),
        ("a,b\n" + "1,2\n" * 9 + "1,NA\n" + "1,2\n" * 9, '0.csv:11: column "b": missing value or NaN'),
    ],
)
def test_the_first_missing_value_is_told(text, place, skip):
    """In order of rows, then of columns; with what can be typed."""
    with pytest.raises(TableUnusable) as caught:
        loaded(text, missing="error", skip=skip)
    assert str(caught.value) == place
    assert caught.value.hint == Set("--missing", "drop")


def test_a_column_without_any_value_is_left_out_and_not_missed():
    """Of all operands together, and the digest is that of the columns in use."""
    found = loaded("a,b\n1,\n2,\n", "a,b\n3,NA\n", missing="error", skip=True)
    assert (found.features, found.empty_columns) == (("a",), ("b",))
    assert [chunk.tolist() for chunks in pieces_of(found) for chunk in chunks] == [[[1.0, 2.0]], [[3.0]]]
    again = loaded("a,b\n1,\n2,\n", "a,b\n3,NA\n", missing="error", features=("a",))
    assert [o.digest for o in found.operands] == [o.digest for o in again.operands]


def test_a_column_that_gets_a_value_late_is_missed_where_it_was_missing_first():
    """Though that was not known before the last row of the last operand."""
    with pytest.raises(TableUnusable, match=r'^0.csv:2: column "b": missing value or NaN$'):
        loaded("a,b\n1,\n" + "2,\n" * 30, "a,b\n3,4\n", missing="error", skip=True)


def test_without_leave_to_skip_an_empty_column_is_missed():
    """As on a later run, whose model has the column."""
    with pytest.raises(TableUnusable, match=r'^0.csv:2: column "b": missing value or NaN$'):
        loaded("a,b\n1,\n", missing="error")


def test_a_table_of_empty_columns_is_refused():
    """There is nothing to learn from."""
    with pytest.raises(TableUnusable, match=r"^0.csv: no column has a value$"):
        loaded("a,b\n,\nNA,\n", skip=True)


def test_a_table_without_rows_keeps_its_columns():
    """That it has no rows is for the caller to tell."""
    found = loaded("a,b\n", skip=True, missing="error")
    assert (found.features, pieces_of(found), found.empty_columns) == (("a", "b"), [[]], ())
    assert found.operands[0].n_rows == 0


def test_the_digest_sees_rows_that_are_dropped_and_not_how_zero_is_written():
    """All rows count, by value."""
    plain = loaded("a,b\n0,1\n2,3\n").operands[0].digest
    assert loaded("a,b\n-0,1.0\n2e0,+3\n").operands[0].digest == plain
    assert loaded("a,b\n0,1\n2,3\n4,\n").operands[0].digest != plain
    assert (
        loaded("a,b\n0,1\n2,3\n4,\n").operands[0].digest != loaded("a,b\n0,1\n2,3\n5,\n").operands[0].digest
    )
    assert loaded("b,a\n1,0\n3,2\n").operands[0].digest == plain


def test_a_batch_is_complete_or_its_first_gap_is_told():
    """For verbs that do not load."""
    with open_tables([], stdin=io.BytesIO(b"a,b\n1,2\n3,\n,4\n")) as tables:
        (batch,) = tables.iter_batches(("b", "a"))
    check_complete(batch.slice(0, 1), ("b", "a"))
    with pytest.raises(TableUnusable, match=r'^-:3: column "b": missing value or NaN$') as caught:
        check_complete(batch, ("b", "a"))
    assert caught.value.hint == Set("--missing", "drop")


def test_a_cell_of_text_hints_at_exclude_only_where_that_can_be_typed():
    """A model's columns cannot be excluded."""
    for skip, hint in ((True, Exclude(("b",))), (False, None)):
        with pytest.raises(TableUnusable) as caught:
            loaded("a,b\n1,x\n", skip=skip)
        assert str(caught.value) == '0.csv:2: column "b": not a number: "x"'
        assert caught.value.without(Emptied).hint == hint
