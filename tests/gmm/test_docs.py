"""The page for people who come from the original: every line of it runs, in its order."""

import re
from pathlib import Path

import pytest
from gmm.test_estimator import PAGE
from shell.session import Session

TEXT = (Path(__file__).parents[2] / "docs" / "from-tensorflow.md").read_text()


def test_every_line_runs(tmp_path, monkeypatch):
    """As it stands, in an empty directory, after the lines before it."""
    monkeypatch.chdir(tmp_path)
    (first,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(first, names)
    cells = [line.split(" | ")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    for cell in cells:
        exec(cell.strip("`"), names)
    assert len(cells) > 20


def test_the_lines_of_the_readme_run_on_the_model_of_its_tour(tmp_path, monkeypatch):
    """What the command line began, whatever it started from, the class continues."""
    session = Session(tmp_path)
    assert session.run("gmmcli fit -m geyser -k 2 faithful.csv").status == 0
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)

    names: dict[str, object] = {}
    exec(code, names)

    assert names["model"].weights().sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", PAGE.split())
def test_every_name_is_on_the_page(name):
    """In its first column."""
    firsts = [line.split(" | ")[0] for line in TEXT.splitlines() if line.startswith("| `")]

    assert any(re.search(rf"\b{name}\b", first) for first in firsts)
