"""What a table costs to open grows with its bytes, not with their square: counted, not timed."""

import io
import sys

import pyarrow as pa
import pytest

from gmmcli.errors import TableUnusable
from gmmcli.tables.columns import select_features
from gmmcli.tables.header import MAX_COLUMNS, MAX_HEADER_BYTES
from gmmcli.tables.source import open_tables


def steps_of(text):
    """Return how many lines of Python run until the columns of a text are selected."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += 1
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        with open_tables([], stdin=io.BytesIO(text)) as tables:
            select_features(tables)
    finally:
        sys.settrace(previous)
    return count


def numbers(n):
    """Return a table of many columns of numbers."""
    return b",".join(b"c%d" % i for i in range(n)) + b"\n" + b",".join([b"1.5"] * n) + b"\n"


def texts(n):
    """Return a table of many columns of texts, and one of numbers."""
    return b",".join(b"c%d" % i for i in range(n)) + b",x\n" + b",".join([b"t"] * n) + b",1\n"


def quotes(n):
    """Return a header of quotes."""
    return b'"' + b'""' * n + b'",x\n1,2\n'


def blank_lines(n):
    """Return a table below blank lines."""
    return b"\n" * n + b"a,b\n1,2\n"


def sparse_objects(n):
    """Return objects of one key each."""
    return b"".join(b'{"k%d": 1}\n' % i for i in range(n))


def arrow_file(n):
    """Return an Arrow file of many columns."""
    table = pa.table({f"c{i}": [1.5] for i in range(n)})
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


@pytest.mark.parametrize("make", [numbers, texts, quotes, blank_lines, sparse_objects, arrow_file])
def test_ten_times_the_bytes_take_ten_times_the_steps(make):
    """At most, with some room for what does not grow in proportion."""
    assert steps_of(make(2000)) < 12 * steps_of(make(200))


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        (b"x" * (MAX_HEADER_BYTES + 1) + b"y" * (1 << 17), f"a header of more than {MAX_HEADER_BYTES} bytes"),
        (b"," * MAX_COLUMNS + b"\n", f"{MAX_COLUMNS + 1} columns; at most {MAX_COLUMNS} are read"),
    ],
)
def test_a_header_beyond_the_bounds_is_refused(text, fact):
    """With the number."""
    with pytest.raises(TableUnusable) as caught:
        open_tables([], stdin=io.BytesIO(text))
    assert (caught.value.status, str(caught.value)) == (65, f"-:1: {fact}")
