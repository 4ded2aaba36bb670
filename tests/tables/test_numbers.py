"""Numbers in other notations: the command that a warning shows makes plain numbers of them."""

import gzip
import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from gmmcli.errors import TableUnusable
from gmmcli.remedies import Exclude
from gmmcli.tables.columns import select_features
from gmmcli.tables.source import open_tables

COLUMNS = {
    "currency": (["$12.5", "-$3", "7 €"], [12.5, -3, 7]),
    "per cent": (["12.5%", "-3 %", "7%"], [12.5, -3, 7]),
    "thousands": (["12,345", "-1,234,567.5", "7"], [12345, -1234567.5, 7]),
    "thousands, apostrophes": (["12'345", "-1'234'567.5", "7"], [12345, -1234567.5, 7]),
    "decimal commas": (["12,5", "-0,25", ",5"], [12.5, -0.25, 0.5]),
    "decimal commas and thousands": (["1.234,5", "-1.234.567,25", "7"], [1234.5, -1234567.25, 7]),
    "minus signs": (["\N{MINUS SIGN}12.5", "3", "5e\N{MINUS SIGN}1"], [-12.5, 3, 0.5]),
    "exponents": (["1.25D+01", "-3x10^2", "7"], [12.5, -300, 7]),
    "thin spaces": (["12\u2009345", "-1\u202f234\u202f567.5", "7"], [12345, -1234567.5, 7]),
    "no-break spaces": (["12\xa0345", "1\xa0234", "7"], [12345, 1234, 7]),
    "typographic apostrophes": (["12’345", "1’234’567", "7"], [12345, 1234567, 7]),
    "India": (["12,34,001", "1,234", "7"], [1234001, 1234, 7]),
    "underscores": (["1_000", "12_345_678", "7"], [1000, 12345678, 7]),
    "points between thousands": (["1.001.000", "2.345.678", "7"], [1001000, 2345678, 7]),
    "currency with an exponent": (["$1.5e3", "$2", "$-7"], [1500, 2, -7]),
    "currency in letters": (["R$ 5", "CHF 6.5", "USD 7", "8 kr"], [5, 6.5, 7, 8]),
    "currency and thousands": (["$1,234", "$5", "($1,200.5)"], [1234, 5, -1200.5]),
    "per mille": (["5‰", "7.5 ‰"], [5, 7.5]),
    "minus signs and exponents": (["−5", "1.5e−3"], [-5, 0.0015]),
    "padding": (["5\xa0", "\xa07.5", "\u200b1", "2\u200b", "3\x85", "4\u2028"], [5, 7.5, 1, 2, 3, 4]),
    "no thousand before a comma": (["0,123", "-0,5"], [0.123, -0.5]),
}


def type_command_of(notice):
    """Run what a warning says is to be typed to read a column, in a locale without UTF-8."""
    command = notice.text.split("; to read it: ")[1].split("; then fit with --fresh; to leave it out")[0]
    subprocess.run(command, shell=True, check=True, env={**os.environ, "LC_ALL": "C"})


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("case", COLUMNS)
def test_the_command_of_a_warning_makes_plain_numbers(case, suffix, delimiter, tmp_path, monkeypatch):
    """As typed; the header stays as it is."""
    monkeypatch.chdir(tmp_path)
    cells, expected = COLUMNS[case]
    name = f"my prices.{suffix}"
    lines = [delimiter.join(["a", "$ 1.234 %"])]
    for i, cell in enumerate(cells):
        lines.append(delimiter.join([str(i), f'"{cell}"' if "," in cell and suffix == "csv" else cell]))
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    with open_tables([name]) as tables:
        selection = select_features(tables)
    assert selection.features == ("a",)
    (notice,) = selection.notices
    assert notice.level == "serious"
    type_command_of(notice)
    with open_tables([f"table.{suffix}"]) as tables:
        assert select_features(tables).features == ("a", "$ 1.234 %")
        (batch,) = tables.iter_batches(("$ 1.234 %",))
    assert batch.X.tolist() == [pytest.approx(expected)]
    assert np.isfinite(batch.X).all()


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "-prices.csv.gz"])
def test_the_command_of_a_warning_reads_any_file_and_overwrites_none(name, tmp_path, monkeypatch):
    """Compressed ones too, and a table that has the name that the new file would have."""
    monkeypatch.chdir(tmp_path)
    content = b"a,b\n1,$2\n3,$4\n"
    (tmp_path / "table.csv").write_bytes(content)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with open_tables([name]) as tables:
        (notice,) = select_features(tables).notices

    type_command_of(notice)

    assert (tmp_path / "table.csv").read_bytes() == content
    assert (tmp_path / "table-2.csv").read_bytes() == b"a,b\n1,2\n3,4\n"


@pytest.mark.parametrize("cell", ["7", "$7", "\N{MINUS SIGN}7", "7,5"])
def test_a_number_that_a_typed_format_stores_as_text_is_warned_of(cell, tmp_path):
    """In whatever notation, as in CSV; a code is none."""
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"a": [1.0, 2.0], "b": [None, cell], "code": ["007", "008"]}), path)

    with open_tables([str(path)]) as tables:
        skipped, left_out = select_features(tables).notices

    assert (skipped.name, skipped.details["columns"]) == ("columns_skipped", ["code"])
    assert left_out.details["columns"] == ["b"]
    assert f'row 2: column "b" left out: "{cell}" is stored as text' in left_out.text


AMBIGUOUS = {
    "commas": (
        ['"1,234"', '"1,5"'],
        'ambiguous: "1,234" has a thousands separator, "1,5" has a decimal comma',
    ),
    "commas, the other way round": (
        ['"1,5"', '"1,234"'],
        'ambiguous: "1,234" has a thousands separator, "1,5" has a decimal comma',
    ),
    "points and commas": (
        ["1.234", '"1,5"'],
        'ambiguous: "1.234" has a decimal point, "1,5" has a decimal comma',
    ),
    "points": (
        ["1.001.000", "1.001"],
        'ambiguous: "1.001" has a decimal point, "1.001.000" has points between thousands',
    ),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_column_whose_cells_speak_for_two_notations_gets_no_command(case, tmp_path):
    """A guess could be wrong a thousandfold. All cells of the first MiB are looked at."""
    cells, fact = AMBIGUOUS[case]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b", *(f"{i},{cell}" for i, cell in enumerate(cells))]) + "\n")
    with open_tables([str(path)]) as tables:
        (notice,) = select_features(tables).notices
    assert f'column "b" left out: {fact}; to leave it out' in notice.text


@pytest.mark.parametrize(
    "rows",
    [
        ["$5,1", "unknown,2"],
        ["5%,100% wool", "6%,linen"],
        ["5%,1", "6‰,2"],
        ['"1,5","1,234"', '"2,5","2,345"'],
        ["1.001.000,0.1234", "2.001.000,0.5"],
    ],
    ids=[
        "a text below",
        "per cent in a text",
        "two scales",
        "another column has thousands",
        "points elsewhere",
    ],
)
def test_a_command_that_would_not_mend_the_column_or_would_change_another_is_not_shown(rows, tmp_path):
    """Then the warning names the option that leaves the column out, and nothing else."""
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b", *rows]) + "\n")
    with open_tables([str(path)]) as tables:
        doubts = tables.first.doubts([0])
    assert doubts[0].way_out is None


def test_a_header_over_two_lines_stays_as_it_is(tmp_path, monkeypatch):
    """The command counts its lines."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text('a,"b\n5%"\n1,5%\n2,7%\n')
    with open_tables(["t.csv"]) as tables:
        (notice,) = select_features(tables).notices

    type_command_of(notice)

    assert (tmp_path / "table.csv").read_text() == 'a,"b\n5%"\n1,5\n2,7\n'


@pytest.mark.parametrize("write", ["new_file", "new_stream"])
@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_numbers_stored_as_text_are_warned_of_in_each_form_of_arrow(write, kind):
    """A stream cannot be read twice: the batch that was looked at is read all the same."""
    stream = io.BytesIO()
    table = pa.table({"a": [1.0, 2.0], "b": pa.array(["5", "7"]).cast(kind)})
    with getattr(pa.ipc, write)(stream, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=1):
            writer.write_batch(batch)
    stream.seek(0)
    with open_tables([], stdin=stream) as tables:
        (notice,) = select_features(tables).notices
        assert '-: row 1: column "b" left out: "5" is stored as text' in notice.text
        assert [x for batch in tables.iter_batches(("a",)) for x in batch.X[0].tolist()] == [1.0, 2.0]


@pytest.mark.parametrize("n_rows", [3, 300_000])
@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("word", ["n.a", "[none]", "it's/"])
def test_a_word_that_means_missing_is_emptied_by_the_command(
    word, suffix, delimiter, n_rows, tmp_path, monkeypatch
):
    """In its column alone, whether the first MiB holds it or not."""
    monkeypatch.chdir(tmp_path)
    rows = [("1", "x", "2")] * n_rows + [("1", word, f'"{word}"'), ("3", word, "4")]
    lines = [delimiter.join(row) for row in [("a", "t", "b"), *rows]]
    Path(f"t.{suffix}").write_text("\n".join(lines) + "\n")
    with open_tables([f"t.{suffix}"]) as tables:
        selection = select_features(tables)
        if n_rows == 3:
            (text,) = [notice.text for notice in selection.notices if notice.name == "column_left_out"]
            command = text.split(" means missing: ")[1].split("; then --missing drop --fresh; ")[0]
        else:
            with pytest.raises(TableUnusable) as caught:
                list(tables.iter_batches(selection.features))
            without, emptied = caught.value.hint.ways
            assert (without, emptied.word) == (Exclude(("b",)), word)
            command = emptied.command
    subprocess.run(command, shell=True, check=True)
    expected = "\n".join([*lines[:-2], delimiter.join(["1", word, ""]), lines[-1]]) + "\n"
    assert Path(f"table.{suffix}").read_text() == expected


def test_a_command_for_one_word_is_not_shown_where_there_are_two_or_for_two_columns(tmp_path):
    """It would mend only one of them."""
    (tmp_path / "t.csv").write_text("a,b\n1,2\n2,?\n3,x\n")
    (tmp_path / "u.csv").write_text("a,b,c\n1,2,3\n?,?,3\n")
    for name in ("t.csv", "u.csv"):
        with open_tables([str(tmp_path / name)]) as tables:
            (notice,) = select_features(tables).notices
        assert "means missing" not in notice.text


def test_no_command_is_shown_where_it_would_divide_a_quoted_cell(tmp_path):
    """It divides lines at each delimiter."""
    (tmp_path / "t.csv").write_text('n,a,b\n"x,y",1,1\n"x,y",2,1\nz,none,1\n')
    with open_tables([str(tmp_path / "t.csv")]) as tables:
        (notice,) = [one for one in select_features(tables).notices if one.name == "column_left_out"]
    assert '"none"' in notice.text
    assert "sed" not in notice.text


def test_an_error_far_down_shows_no_command_that_would_divide_a_quoted_cell(tmp_path):
    """The records at hand show the quotes; the beginning of the table is gone by then."""
    rows = "x,1,1\n" * 300_000 + '"x,y",1,1\nz,none,1\n'
    (tmp_path / "t.csv").write_text("n,a,b\n" + rows)
    with open_tables([str(tmp_path / "t.csv")]) as tables:
        selection = select_features(tables)
        with pytest.raises(TableUnusable, match="none") as caught:
            list(tables.iter_batches(selection.features))
    assert caught.value.hint == Exclude(("a",))
