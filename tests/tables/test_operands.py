"""Operands: files, globs, directories, stdin and pipes; what is there is read, what is not is said."""

import bz2
import gzip
import io
import os
import threading

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from gmmcli.errors import GmmError, NotFound, PermissionRefused, TableUnusable, Usage
from gmmcli.tables.source import open_tables

CSV = b"a,b\n1,2\n3,4\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty directory, so that names in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def column_a(operands=(), **options):
    """Return column a of all operands."""
    with open_tables(operands, **options) as tables:
        return [value for batch in tables.iter_batches(("a",)) for value in batch.X[0].tolist()]


def write_parquet(path, values):
    """Write a table with a column a."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"a": values}), path)


COMPRESSIONS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("name", ["t.csv.{}", "t.{}", "t.csv", "t"])
def test_compressed_text_is_recognised_by_content(folder, suffix, name):
    """The name does not matter, nor that the file is several compressed ones in a row."""
    compress = COMPRESSIONS[suffix]
    path = folder / name.format(suffix)
    path.write_bytes(compress(CSV) + compress(b"5,6\n"))
    assert column_a([str(path)]) == [1, 3, 5]


@pytest.mark.parametrize(
    ("suffix", "how", "tester"),
    [("gz", "gzip", "gzip -t t"), ("bz2", "bz2", "bzip2 -t t"), ("zst", "zstd", "zstd -t t")],
)
def test_truncated_and_damaged_compression_is_refused(folder, suffix, how, tester):
    """Status 65, with the command that tests such a file."""
    whole = COMPRESSIONS[suffix](CSV + bytes(np.random.default_rng(0).integers(48, 58, 20_000, np.uint8)))
    for data, state in ((whole[:-9], "truncated"), (whole[:12] + b"\xff" * 16 + whole[28:], "damaged")):
        (folder / "t").write_bytes(data)
        with pytest.raises(TableUnusable, match=rf"^t: {state} {how} data$") as caught:
            column_a(["t"])
        assert caught.value.hint == tester


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.tsv", b"a\tb,c\n1\t2\n"),
        ("t.tab.gz", gzip.compress(b"a\tb,c\n1\t2\n", mtime=0)),
        ("t.csv", b"a\tb\n1\t2\n"),
        ("t", b'  {"a": 1}\n'),
        ("t.ndjson", b'\n{"a": 1}\n'),
        ("t.csv", b"a\n1\n"),
    ],
)
def test_formats_are_recognised_by_content_and_then_by_suffix(folder, name, data):
    """Each of these has one row with a 1 in column a."""
    (folder / name).write_bytes(data)
    assert column_a([name]) == [1]


def test_a_format_that_is_named_is_not_guessed():
    """A table of tabs is one of commas if the command line says so."""
    with open_tables([], stdin=io.BytesIO(b"a\tb\n1\n"), input_format="csv") as tables:
        assert tables.column_names == ("a\tb",)


def test_several_operands_are_one_table_in_the_order_given(folder):
    """Columns go by name, rows are numbered anew in each operand."""
    (folder / "1.csv").write_bytes(CSV)
    (folder / "2.tsv").write_bytes(b"c\ta\nx\t5\n")
    with open_tables(["2.tsv", "1.csv"]) as tables:
        batches = list(tables.iter_batches(("a",)))
        assert [(o.name, o.size_bytes) for o in tables.operands] == [("2.tsv", 8), ("1.csv", len(CSV))]
        assert [str(path) for path in tables.paths] == ["2.tsv", "1.csv"]
    assert [batch.X.tolist() for batch in batches] == [[[5.0]], [[1.0, 3.0]]]
    assert [(batch.operand, batch.first_row) for batch in batches] == [(0, 0), (1, 0)]
    assert batches[1].locate(1) == "1.csv:3"


def test_a_later_operand_without_a_column_is_named(folder):
    """The message is about the file that lacks it."""
    (folder / "1.csv").write_bytes(CSV)
    (folder / "2.csv").write_bytes(b"x,b\n5,6\n")
    with pytest.raises(TableUnusable, match=r'^2.csv: no column "a": it has "x", "b"$'):
        column_a(["1.csv", "2.csv"])


def test_a_later_operand_with_the_same_name_twice_is_refused(folder):
    """Where the column is used."""
    (folder / "1.csv").write_bytes(CSV)
    (folder / "2.csv").write_bytes(b"a,a\n5,6\n")
    with pytest.raises(TableUnusable, match=r'^2.csv: 2 columns are named "a"$'):
        column_a(["1.csv", "2.csv"])


def test_an_operand_without_rows_gives_a_batch_without_rows(folder):
    """So that a header can be written, and blocks restart."""
    (folder / "1.csv").write_bytes(CSV)
    (folder / "2.csv").write_bytes(b"a,b\n")
    with open_tables(["2.csv", "1.csv", "2.csv"]) as tables:
        batches = list(tables.iter_batches(("a",), ("b",)))
    assert [(batch.operand, batch.n_rows) for batch in batches] == [(0, 0), (1, 2), (2, 0)]
    assert batches[0].extra["b"].type == pa.string()


def test_a_batch_is_divided_at_will(folder):
    """Rows, passed cells and places stay together."""
    (folder / "t.csv").write_bytes(b"a,b\n" + b"".join(b"%d,x%d\n" % (i, i) for i in range(10)))
    with open_tables(["t.csv"]) as tables:
        (whole,) = tables.iter_batches(("a",), ("b",))
    batches = [whole.slice(begin, begin + 4) for begin in (0, 4, 8)]
    assert [batch.n_rows for batch in batches] == [4, 4, 2]
    assert [batch.first_row for batch in batches] == [0, 4, 8]
    assert batches[2].extra["b"].to_pylist() == ["x8", "x9"]
    assert [batches[1].locate(3), batches[2].slice(0, 1).locate(0)] == ["t.csv:9", "t.csv:10"]


def test_a_file_can_be_read_again(folder):
    """Each pass starts from its beginning."""
    (folder / "t.csv").write_bytes(CSV)
    with open_tables(["t.csv"]) as tables:
        passes = [[b.X.tolist() for b in tables.iter_batches(("a",))] for _ in range(2)]
    assert passes[0] == passes[1] == [[[1.0, 3.0]]]


def test_globs_are_expanded_in_byte_order(folder):
    """Not in that of the locale, nor of the disk."""
    for name, value in (("b1.csv", 2), ("B2.csv", 1), ("ä.csv", 9), ("b10.csv", 3)):
        (folder / name).write_text(f"a\n{value}\n")
    assert column_a(["[Bb]*.csv"]) == [1, 2, 3]


def test_a_file_whose_name_is_a_glob_is_that_file(folder):
    """A name that exists is not expanded."""
    (folder / "t[1].csv").write_bytes(CSV)
    (folder / "t1.csv").write_bytes(b"a\n7\n")
    assert column_a(["t[1].csv"]) == [1, 3]


def test_a_directory_is_its_parquet_files_in_byte_order(folder):
    """Subdirectories too; notes that other programs leave there are passed over."""
    write_parquet(folder / "d" / "part-1.parquet", [2.0])
    write_parquet(folder / "d" / "day=1" / "x.parquet", [1.0])
    write_parquet(folder / "d" / "_temporary" / "x.parquet", [99.0])
    (folder / "d" / "_SUCCESS").touch()
    with open_tables(["d/"]) as tables:
        assert [operand.name for operand in tables.operands] == ["d/day=1/x.parquet", "d/part-1.parquet"]
    assert column_a(["d"]) == [1, 2]


MISSING = {
    "a file": (["nothing.csv"], NotFound, "nothing.csv: no such file or directory", 66),
    "a glob": (["*.csv"], NotFound, "*.csv: matches no file", 66),
    "a directory without Parquet": (["."], TableUnusable, ".: a directory without Parquet files", 65),
    "closed stdin": ([], NotFound, "-: stdin is closed", 66),
    "stdin twice": (["-", "-"], Usage, "-: stdin can be read only once", 2),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_not_there_is_said(case):
    """With the status that sysexits.h gives it."""
    operands, kind, message, status = MISSING[case]
    with pytest.raises(kind) as caught:
        open_tables(operands)
    assert str(caught.value) == message
    assert caught.value.status == status


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_77(folder):
    """The operating system's word, in lower case."""
    (folder / "t.csv").write_bytes(CSV)
    (folder / "t.csv").chmod(0)
    with pytest.raises(PermissionRefused, match=r"^t.csv: permission denied$"):
        open_tables(["t.csv"])


def test_an_error_of_the_disk_is_74(folder):
    """Whatever the number of the error."""

    class Failing(io.BytesIO):
        def read1(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(GmmError, match=r"^-: input/output error$") as caught:
        open_tables([], stdin=Failing())
    assert caught.value.status == 74


def test_damaged_parquet_is_refused_in_one_line(folder):
    """Whether it is cut off or a page of it is overwritten."""
    write_parquet(folder / "t.parquet", np.random.default_rng(0).normal(size=1000))
    whole = (folder / "t.parquet").read_bytes()
    for data in (whole[:-20], whole[:100], whole[:4] + b"\xff" * 400 + whole[404:]):
        (folder / "t.parquet").write_bytes(data)
        with pytest.raises(TableUnusable, match=r"^t.parquet: damaged: .") as caught:
            column_a(["t.parquet"])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_flipped_bits_never_get_past_65(kind):
    """A damaged table is read as something else, or refused in one line; nothing else happens."""
    table = pa.table(
        {
            "a": np.arange(200.0),
            "s": [f"text {i}" for i in range(200)],
            "d": pa.array([1.5, None] * 100).dictionary_encode(),
            "l": [[i] for i in range(200)],
        }
    )
    stream = io.BytesIO()
    if kind == "parquet":
        parquet.write_table(table, stream)
    else:
        with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(stream, table.schema) as writer:
            writer.write_table(table)
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(150):
        data = bytearray(stream.getvalue())
        for position in rng.integers(0, len(data), size=3):
            data[position] ^= 1 << rng.integers(8)
        try:
            with open_tables(
                [], stdin=io.BytesIO(data), input_format="parquet" if kind == "parquet" else "arrow"
            ) as t:
                for batch in t.iter_batches(("a", "d"), ("s", "l")):
                    assert all(len(values.to_pylist()) == batch.n_rows for values in batch.extra.values())
        except TableUnusable as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert not any("\n" in message for message in messages)


def test_text_named_parquet_is_not_read_as_text(folder):
    """The suffix says what it should have been."""
    (folder / "t.parquet").write_bytes(CSV)
    with pytest.raises(TableUnusable, match=r"^t.parquet: text, not Parquet$") as caught:
        column_a(["t.parquet"])
    assert caught.value.hint == "--input-format csv"


def test_stdin_that_seeks_not_is_spooled_where_a_format_needs_it(folder):
    """Parquet keeps its index at the end."""
    write_parquet(folder / "t.parquet", [1.0, 2.0])
    assert column_a(stdin=Trickle((folder / "t.parquet").read_bytes(), 7)) == [1, 2]


def test_stdin_cannot_be_read_again():
    """A second pass is refused, rather than finding no rows."""
    with open_tables([], stdin=io.BytesIO(CSV)) as tables:
        assert [b.n_rows for b in tables.iter_batches(("a",))] == [2]
        with pytest.raises(Usage, match=r"^-: can be read only once$"):
            next(tables.iter_batches(("a",)))


class Trickle(io.BytesIO):
    """A pipe whose writer gives few bytes at a time."""

    def __init__(self, data, size):
        super().__init__(data)
        self._size = size

    def read1(self, size=-1):
        """Return less than was asked for."""
        return super().read1(min(size, self._size) if size >= 0 else self._size)

    def seekable(self):
        """Tell that a pipe does not seek."""
        return False


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_pipe_in_small_pieces_gives_the_same_rows(size):
    """Records are put together, wherever the pieces end."""
    assert column_a(stdin=Trickle(b'a,b\r\n1,"x\r\ny"\r\n3,4', size)) == [1, 3]


def test_rows_are_handed_on_before_the_input_ends():
    """The reader does not wait for a writer that is still at work."""
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb", buffering=0) as writer:
        writer.write(b"a,b\n1,2\n")
        with open_tables([], stdin=source, n_threads=2) as tables:
            batches = tables.iter_batches(("a",))
            assert next(batches).X.tolist() == [[1.0]]
            writer.write(b"3,4\n5,")
            assert next(batches).X.tolist() == [[3.0]]
            writer.write(b"6\n")
            writer.close()
            assert [batch.X.tolist() for batch in batches] == [[[5.0]]]


def test_a_named_pipe_is_read_like_stdin(folder):
    """As the shell's <(command) is: once, its size unknown."""
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(CSV,))
    writer.start()
    with open_tables(["pipe"]) as tables:
        assert tables.operands[0].size_bytes == -1
        assert [batch.X.tolist() for batch in tables.iter_batches(("a",))] == [[[1.0, 3.0]]]
    writer.join()


def test_a_file_is_no_directory(tmp_path):
    """A slash at the end asks for one, as the system says."""
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(NotFound, match=r"t\.csv/: not a directory"), open_tables([f"{tmp_path}/t.csv/"]):
        pass
