"""Wherever a stream happens to be cut, the rows, their lines and the first problem are the same."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmcli.errors import GmmError
from gmmcli.tables import chunks, delimited
from gmmcli.tables.blocks import rechunk
from gmmcli.tables.numbers import parse_number
from gmmcli.tables.source import open_tables

QUICK = settings(max_examples=60, deadline=None, database=None, derandomize=True)

numbers = st.sampled_from(["1", "-2.5", " 3 ", "", "NA", '"4"', "1e3", '""', " null "])
texts = st.sampled_from(
    ["x", "", '"a,b"', '"two\nlines"', '"say ""no"""', '5" pipe', '"x\r\ny"', "ü", '"\n"']
)
bad_rows = st.sampled_from(["n.a,x", "1", "1,2,3", "inf,x", "1e999,x", "0x1,x", '1,"open', "1,x\ry", "1,\0"])
ends = st.sampled_from(["\n", "\r\n", "\n\n"])
rows = st.tuples(numbers, texts).map(",".join)


def outcome(text, chunk_bytes, n_threads=1):
    """Return cells, passed cells and places of all rows, and the error if there is one."""
    found, error = [], None
    before, chunks.CHUNK_BYTES = chunks.CHUNK_BYTES, chunk_bytes
    try:
        with open_tables([], stdin=io.BytesIO(text.encode()), n_threads=n_threads) as tables:
            for batch in tables.iter_batches(("a",), ("t",)):
                cells = zip(batch.X[0].tolist(), batch.extra["t"].to_pylist(), strict=True)
                found += [(str(x), t, batch.locate(i)) for i, (x, t) in enumerate(cells)]
    except GmmError as caught:
        error = (str(caught), caught.hint)
    finally:
        chunks.CHUNK_BYTES = before
    return found, error


def table(records):
    """Return records as text, below a header."""
    return "a,t\n" + "".join(record + end for record, end in records)


@QUICK
@given(st.lists(st.tuples(rows, ends), max_size=8), st.integers(1, 60), st.integers(1, 3))
def test_any_chunk_size_gives_the_same_rows(records, chunk_bytes, n_threads):
    """And the same places."""
    text = table(records)
    expected, error = outcome(text, 1 << 20)
    assert error is None
    assert len(expected) == len(records)
    assert outcome(text, chunk_bytes, n_threads) == (expected, None)


@QUICK
@given(
    st.lists(st.tuples(rows, ends), max_size=6),
    st.lists(st.tuples(bad_rows, st.just("\n")), min_size=1, max_size=3),
    st.lists(st.tuples(rows, ends), max_size=4),
    st.integers(1, 60),
    st.integers(1, 3),
)
def test_any_chunk_size_gives_the_same_first_problem(good, bad, more, chunk_bytes, n_threads):
    """However many follow, and whatever a thread has found further on."""
    text = table([*good, *bad, *more])
    _, expected = outcome(text, 1 << 20)
    _, found = outcome(text, chunk_bytes, n_threads)
    assert expected is not None
    assert found == expected


@QUICK
@given(st.lists(st.tuples(rows, ends), max_size=12), st.integers(1, 9), st.integers(1, 60))
def test_rechunking_keeps_rows_and_places(records, chunk_rows, chunk_bytes):
    """Batches of exactly the length, of which the last may be shorter."""
    text = table(records).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmmcli.tables.blocks.CHUNK_ROWS", chunk_rows)
        patch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        with open_tables([], stdin=io.BytesIO(text)) as tables:
            batches = list(rechunk(tables.iter_batches(("a",), ("t",))))
    places = [batch.locate(i) for batch in batches for i in range(batch.n_rows)]
    cells = [cell for batch in batches for cell in batch.extra["t"].to_pylist()]
    expected, _ = outcome(text.decode(), 1 << 20)
    assert list(zip(cells, places, strict=True)) == [(t, place) for _, t, place in expected]
    assert [batch.n_rows for batch in batches[:-1]] == [chunk_rows] * (len(batches) - 1)
    assert [batch.first_row for batch in batches] == [i * chunk_rows for i in range(len(batches))]
    assert all(batch.X.flags.c_contiguous for batch in batches)


@QUICK
@given(st.text(alphabet='+-.eE019 \tinfxaNA_"', max_size=7))
def test_the_fast_and_the_slow_reader_agree_on_what_a_number_is(cell):
    """A row before it decides nothing; a row after it, which only the slow reader reads, neither."""
    if cell.startswith('"'):
        return
    quick, problem = outcome(f"a,t\n{cell},x\n", 1 << 20)
    slow, slow_problem = outcome(f"a,t\n{cell},x\n NA ,x\n", 1 << 20)
    assert problem == slow_problem
    assert problem is not None or quick == slow[:1]


@QUICK
@given(st.floats(allow_nan=False, allow_infinity=False).map(repr))
def test_the_slow_reader_rounds_as_the_fast_one(cell):
    """Both to the nearest double."""
    assert outcome(f"a,t\n{cell},x\n", 1 << 20)[0] == outcome(f"a,t\n{cell},x\n NA ,x\n", 1 << 20)[0][:1]
    assert parse_number(cell.encode()) == float(cell)


@QUICK
@given(st.text(alphabet='a,"\n', max_size=30))
def test_the_end_of_the_last_record_is_where_a_state_machine_finds_it(text):
    """For quotes in any place."""
    end, start, is_quoted, is_field_start = 0, 0, False, True
    while start < len(text):
        c = text[start]
        if is_quoted and c == '"' and text[start + 1 : start + 2] == '"':
            start += 1
        elif c == '"' and (is_quoted or is_field_start):
            is_quoted, is_field_start = not is_quoted, False
        elif not is_quoted:
            is_field_start = c in ",\n"
            end = start + 1 if c == "\n" else end
        start += 1
    grammar = delimited.Grammar(b",")
    assert grammar.find_end(text.encode()) == end
    assert sum(r.end - r.start for r in grammar.iter_records(text.encode())) == end


def test_a_long_table_is_the_same_for_every_number_of_threads(monkeypatch):
    """Many chunks in flight come out in order."""
    X = np.arange(60_000.0)
    text = "a,t\n" + "".join(f"{x},{x:.0f}\n" for x in X)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4096)
    with open_tables([], stdin=io.BytesIO(text.encode()), n_threads=4) as tables:
        batches = list(tables.iter_batches(("a",), ("t",)))
    assert len(batches) > 100
    assert np.concatenate([batch.X[0] for batch in batches]).tolist() == X.tolist()
    assert [float(cell) for batch in batches for cell in batch.extra["t"].to_pylist()] == X.tolist()
