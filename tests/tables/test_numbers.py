"""Numbers in other notations: the command that a warning shows makes plain numbers of them."""

import gzip
import os
import subprocess

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

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
}


def type_command_of(notice):
    """Run what a warning says is to be typed to read a column, in a locale without UTF-8."""
    command = notice.text.split("; to read it: ")[1].split("; to leave it out")[0]
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
