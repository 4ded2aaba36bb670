"""What a command imports is part of its interface: starting must stay cheap."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def imported(result: "subprocess.CompletedProcess[str]") -> set[str]:
    """Return the modules that `-X importtime` lists."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of ten rows."""
    path = tmp_path_factory.mktemp("imports") / "ten.csv"
    numbers = random.Random(5)
    path.write_text("x,y\n" + "".join(f"{numbers.random()},{numbers.random()}\n" for _ in range(10)))
    return path


@pytest.fixture(scope="module")
def model(run: Run, table: Path) -> Path:
    """Return a model of one component."""
    path = table.with_name("model")
    assert run("fit", "-m", str(path), "-k", "1", str(table)).stderr == ""
    return path


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["predict", "--help"]])
def test_help_loads_no_library_but_click(run: Run, arguments: list[str]) -> None:
    """Help and version come without numpy, scipy, pyarrow, h5py and rich."""
    modules = imported(run(*arguments, options=("-X", "importtime")))

    assert "click" in modules
    assert not modules & {"numpy", "scipy", "pyarrow", "h5py", "rich", "threadpoolctl"}


def test_predict_of_a_small_csv_loads_neither_scipy_nor_datasets(run: Run, model: Path, table: Path) -> None:
    """Ten rows of CSV are predicted without what only large or other tables need."""
    result = run("predict", "-m", str(model), str(table), options=("-X", "importtime"))

    modules = imported(result)

    assert result.stdout.count("\n") == 11
    assert {"numpy", "h5py"} <= modules
    assert not modules & {"scipy", "pyarrow.dataset", "pyarrow.parquet", "rich"}


def test_predict_does_not_load_pandas_where_it_is_installed(run: Run, model: Path, table: Path) -> None:
    """It would take as long as all the rest, for nothing."""
    installed = table.with_name("installed")
    installed.mkdir()
    (installed / "pandas.py").write_text("raise SystemExit('pandas was loaded')\n")
    program = "import sys; sys.path.insert(0, sys.argv.pop(2)); del sys.argv[1]; "
    program += "from gmmcli.__main__ import main; main()"
    copy = str(table.with_name("copy.parquet"))
    commands = (
        ("fit", "-m", str(model), str(table)),
        ("score", "-m", str(model), str(table)),
        ("predict", "-m", str(model), "--pass", "all", "--outputs", "all", "-o", copy, str(table)),
        ("predict", "-m", str(model), "--pass", "x,y", "--output-format", "jsonl", str(table)),
    )

    for command in commands:
        result = run(str(installed), *command, options=("-c", program))
        assert (result.returncode, result.stderr) == (0, ""), command

    assert result.stdout.count("\n") == 10


def test_pandas_can_be_imported_after_it_was_hidden_from_pyarrow(run: Run) -> None:
    """It is hidden from nobody else."""
    program = "from gmmcli.tables import arrow; arrow.hide_pandas(); import pandas; print(pandas.__name__)"

    result = run(options=("-c", program))

    assert result.stdout == "pandas\n", result.stderr


def test_importing_the_package_loads_no_numpy(run: Run) -> None:
    """`import gmmcli` is free."""
    result = run("--version", options=("-X", "importtime", "-c", "import gmmcli"))

    assert "gmmcli" in imported(result)
    assert "numpy" not in imported(result)
