"""docs/architecture.md is true: the functions of a pass, the containers of a row, and one row per setting."""

import importlib
import inspect
import re
import subprocess
import sys
from dataclasses import MISSING, field, make_dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import gmmcli
from gmmcli.cli.app import cli
from gmmcli.cli.console import Console
from gmmcli.core.kernel.expanded import Expanded

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SOURCE = Path(gmmcli.__file__).parent


def section(title: str) -> str:
    """Return the text of a section of the page."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a Parquet file of two overlapping clusters."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 2)) + 2.0 * (np.arange(300) < 150)[:, None]
    path = tmp_path / "table.parquet"
    parquet.write_table(pa.table({"x": X[:, 0], "y": X[:, 1]}), path)
    return path


def fit(table: Path) -> None:
    """Fit a table, by the command line in this process."""
    arguments = ["fit", "-m", str(table.with_name("model")), "-k", "2", str(table)]
    cli.main(arguments, prog_name="gmmcli", obj=Console(), standalone_mode=False)


def test_a_pass_goes_through_the_functions_that_the_page_lists(table, monkeypatch) -> None:
    """From the command to the matrix product: ten at most."""
    stacks, log_joint = [], Expanded.log_joint

    def watched(expanded, block):
        stacks.append([(Path(one.filename), one.function) for one in inspect.stack(0)])
        return log_joint(expanded, block)

    monkeypatch.setattr(Expanded, "log_joint", watched)
    fit(table)

    own = [(path, name) for path, name in reversed(stacks[-1]) if path.is_relative_to(SOURCE)]
    names = [f"{path.relative_to(SOURCE)} {name}" for path, name in own]
    names = [*names[names.index("cli/fit.py command") :], "core/kernel/expanded.py log_joint"]
    assert len(names) <= 10
    assert names == section("The way of a pass").split("```")[1].split("\n")[1:-1]


def holds_rows(value: object) -> bool:
    """Tell whether an object is an array of rows, Rows, or a list of these."""
    if isinstance(value, list | tuple) and value:
        return any(map(holds_rows, value))
    return (isinstance(value, np.ndarray) and value.ndim > 1) or type(value).__name__ == "Rows"


def test_a_row_lies_in_the_containers_that_the_page_lists(table) -> None:
    """From the row group to the kernel: six at most."""
    found: dict[str, None] = {}

    def watch(frame, event, argument):
        if event == "return" and frame.f_code.co_name in ("__init__", "fill"):
            owner = frame.f_locals.get("self")
            module = type(owner).__module__
            is_room = module.startswith(
                ("gmmcli.tables", "gmmcli.engine", "gmmcli.fitting", "gmmcli.core.rows")
            )
            if type(owner).__name__ == "Block" or (is_room and any(map(holds_rows, vars(owner).values()))):
                found[type(owner).__name__] = None

    sys.setprofile(watch)
    try:
        fit(table)
    finally:
        sys.setprofile(None)

    listed = re.findall(r"^\| `([\w.]+)` \|", section("The way of a row"), re.MULTILINE)
    assert len(listed) <= 6
    assert list(found) == listed[1:]  # the first is not ours


def test_a_setting_is_one_row() -> None:
    """A made-up row is found in the help, in GMM, among the stored settings and in the man page.

    In a process of its own: modules that are imported with the row would not know the classes of other tests.
    """
    subprocess.run([sys.executable, __file__], check=True)


def look_for_a_made_up_setting() -> None:
    """Add a row to the settings before anything has read them, and look for it."""
    from gmmcli.fitting import settings
    from gmmcli.fitting.options import Option

    row = Option(("--made-up",), "Make F up (7).", "number", least=0, python="made_up", default=7.0)
    made_up = ("made_up", float, field(default=MISSING, metadata={"option": row}))
    settings.Settings = make_dataclass("Settings", [made_up], bases=(settings.Settings,), frozen=True)
    for name in [name for name in sys.modules if name.startswith("gmmcli.cli.")]:
        del sys.modules[name]  # the imports of this file came first

    command = importlib.import_module("gmmcli.cli.fit").command
    help_text = command.get_help(click.Context(command, info_name="fit"))
    assert "--made-up F" in help_text
    assert "Make F up (7)." in help_text

    sys.path.insert(0, str(ROOT / "man"))
    page = "\n".join(importlib.import_module("build")._options(command, click.Context(command)))
    assert "made\\-up" in page

    estimator = importlib.import_module("gmmcli.gmm.estimator")
    model = estimator.GMM(2, made_up=3.0)
    assert model.made_up == 3.0
    assert "made_up" in str(inspect.signature(estimator.GMM))
    assert model._settings(is_new=True)["made_up"] == 3.0
    with pytest.raises(ValueError, match="made_up: must be a number >= 0, not -1"):
        estimator.GMM(2, made_up=-1)

    stored = settings.Settings.of_new_model({"components": 2})
    assert stored.made_up == 7.0
    assert settings.Settings.from_json({"components": 2, "restarts": 1}, "m").made_up == 7.0


if __name__ == "__main__":
    look_for_a_made_up_setting()
