"""Numbers in other notations: the command that a warning shows makes plain numbers of them."""

import subprocess

import numpy as np
import pytest

from gmmcli.tables.columns import select_features
from gmmcli.tables.source import open_tables

COLUMNS = {
    "currency": (["$12.5", "-$3", "7 €"], [12.5, -3, 7]),
    "per cent": (["12.5%", "-3 %", "7%"], [12.5, -3, 7]),
    "thousands": (["12,345", "-1,234,567.5", "7"], [12345, -1234567.5, 7]),
    "thousands, apostrophes": (["12'345", "-1'234'567.5", "7"], [12345, -1234567.5, 7]),
    "decimal commas": (["12,5", "-0,25", ",5"], [12.5, -0.25, 0.5]),
    "decimal commas and thousands": (["1.234,5", "-1.234.567,25", "7"], [1234.5, -1234567.25, 7]),
    "exponents": (["1.25D+01", "-3x10^2", "7"], [12.5, -300, 7]),
}


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
    command = notice.text.split("; to read it: ")[1].split("; to leave it out")[0]
    subprocess.run(command, shell=True, check=True)
    with open_tables([f"table.{suffix}"]) as tables:
        assert select_features(tables).features == ("a", "$ 1.234 %")
        (batch,) = tables.iter_batches(("$ 1.234 %",))
    assert batch.X.tolist() == [pytest.approx(expected)]
    assert np.isfinite(batch.X).all()
