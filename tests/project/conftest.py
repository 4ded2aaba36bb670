"""The installed program, as the tests of this folder run it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("gmmcli")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run() -> Run:
    """Return what runs gmmcli: `run("fit", "--help")`; `options` are those of Python itself."""
    assert PROGRAM.exists(), f"{PROGRAM} does not exist: the tests need the installed program (make test)"

    def run_program(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *options, str(PROGRAM), *arguments]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

    return run_program
