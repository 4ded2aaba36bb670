"""The pages for people who come from elsewhere: every line of them runs, in its order."""

import re
from pathlib import Path

import pytest
from gmm.test_estimator import PAGE
from shell.session import Session
from sklearn.mixture import GaussianMixture

ROOT = Path(__file__).parents[2]
# Names that each page has to have.
PAGES = {
    "from-tensorflow": PAGE.split(),
    "from-scikit-learn": [
        name for name in dir(GaussianMixture(2).fit([[0.0], [1.0], [5.0], [6.0]])) if not name.startswith("_")
    ],
}


def text_of(page):
    return (ROOT / "docs" / f"{page}.md").read_text()


def code_of(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_line_runs(tmp_path, monkeypatch, page):
    """Each line runs in an empty directory, after the lines before it."""
    monkeypatch.chdir(tmp_path)
    first, *others = code_of(text_of(page))
    names: dict[str, object] = {}
    exec(first, names)
    cells = [line.split(" | ")[1] for line in text_of(page).splitlines() if line.startswith("| `")]
    for cell in cells:
        exec(cell.strip("`"), names)
    for other in others:
        exec(other, names)
    assert len(cells) > 20


def test_the_lines_of_the_readme_run_on_the_model_of_its_tour(tmp_path, monkeypatch):
    """The class continues a model of the command line."""
    session = Session(tmp_path)
    assert session.run("gmmcli fit -m geyser -k 2 faithful.csv").status == 0
    monkeypatch.chdir(tmp_path)
    (code,) = code_of((ROOT / "README.md").read_text())

    names: dict[str, object] = {}
    exec(code, names)

    assert names["model"].weights().sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, names in PAGES.items() for name in names])
def test_every_name_is_on_the_page(page, name):
    """The name is in the first column of the page's table."""
    firsts = [line.split(" | ")[0] for line in text_of(page).splitlines() if line.startswith("| `")]

    assert any(re.search(rf"\b{name}\b", first) for first in firsts)
