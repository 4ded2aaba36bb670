"""The page for people who come from the original: every line of it runs, in its order."""

import re
from pathlib import Path

import pytest
from gmm.test_estimator import PAGE

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


@pytest.mark.parametrize("name", PAGE.split())
def test_every_name_is_on_the_page(name):
    """In its first column."""
    firsts = [line.split(" | ")[0] for line in TEXT.splitlines() if line.startswith("| `")]

    assert any(re.search(rf"\b{name}\b", first) for first in firsts)
