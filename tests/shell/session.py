"""A directory, the installed program on the PATH, and transcripts of what was typed there.

A transcript is lines of `$ command` (continued by `> `), each followed by what it prints: lines of stdout,
lines of stderr after `! `, and `? status` where it is not 0. Numbers are compared to a relative 1e-6, since
their last digits depend on the BLAS kernel; `<...>` in a line stands for anything.
"""

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path

import numpy as np

PROGRAM = Path(sys.executable).with_name("gmmcli")
EXAMPLES = Path(__file__).parents[2] / "examples"
CREATED = "1767225600"  # 2026-01-01T00:00:00Z
ANYTHING = "<...>"
_FLOAT = re.compile(r"(?<![\w.])-?\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)(?![\w.]*\w)")


def write_table(path: Path, rows: np.ndarray, names: Sequence[str] | None = None) -> Path:
    """Write rows as CSV such that every number reads back exactly; columns are x0, x1 ... if not named."""
    header = ",".join(names or (f"x{j}" for j in range(rows.shape[1])))
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.17g")
    return path


@dataclass
class Step:
    """A command and what it prints."""

    command: str
    stdout: str = ""
    stderr: str = ""
    status: int = 0


class Session:
    """A directory with the example tables in it.

    Parameters
    ----------
    directory : Path
    models : sequence of Path
        Model directories to begin with; copied.
    """

    def __init__(self, directory: Path, *models: Path) -> None:
        assert PROGRAM.exists(), f"{PROGRAM} does not exist: the tests need the installed program (make test)"
        self.directory = directory
        for table in EXAMPLES.glob("*.csv"):
            shutil.copy(table, directory)
        for model in models:
            shutil.copytree(model, directory / model.name, symlinks=True)
        self.environment = {
            "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "SOURCE_DATE_EPOCH": CREATED,
        }

    def run(self, command: str) -> Step:
        """Run a command of bash without a terminal; the status of a pipe is that of its first failure."""
        result = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=900,
            check=False,
        )
        return Step(command, result.stdout.decode(), result.stderr.decode(), result.returncode)

    def run_on_terminal(self, command: str) -> Step:
        """Run a command on a terminal; all it shows there is in `stdout` of the result."""
        here, there = pty.openpty()
        with subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdin=there,
            stdout=there,
            stderr=there,
        ) as process:
            os.close(there)
            seen = b"".join(iter(lambda: _read(here), b""))
        os.close(here)
        return Step(command, seen.decode().replace("\r\n", "\n"), "", process.returncode)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start gmmcli itself, its stderr a pipe."""
        return subprocess.Popen(
            [str(PROGRAM), *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _read(descriptor: int) -> bytes:
    """Read what a terminal shows; nothing once nobody writes to it."""
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        return b""


def parse(transcript: str) -> list[Step]:
    """Return the steps of a transcript; what stands before the first command is left out."""
    steps: list[Step] = []
    for line in transcript.splitlines():
        mark, rest = line[:2], line[2:]
        if mark == "$ ":
            steps.append(Step(rest))
        elif steps and mark == "> ":
            steps[-1].command += "\n" + rest
        elif steps and mark == "! ":
            steps[-1].stderr += rest + "\n"
        elif steps and mark == "? ":
            steps[-1].status = int(rest)
        elif steps:
            steps[-1].stdout += line + "\n"
    return steps


def assert_same(found: Step, expected: Step) -> None:
    """Compare what a command did with what a transcript says."""
    said = f"$ {found.command}\nstdout:\n{found.stdout}stderr:\n{found.stderr}status: {found.status}"
    assert found.status == expected.status, said
    for stream in ("stdout", "stderr"):
        lines, wanted = getattr(found, stream).splitlines(), getattr(expected, stream).splitlines()
        assert len(lines) == len(wanted), said
        for line, model in zip(lines, wanted, strict=True):
            assert agrees(line, model), f"{stream}: {line!r} instead of {model!r} in\n{said}"


def agrees(line: str, model: str) -> bool:
    """Tell whether a line is the expected one."""
    parts = [_FLOAT.split(part) for part in model.split(ANYTHING)]
    pattern = ".*".join(f"({_FLOAT.pattern})".join(map(re.escape, part)) for part in parts)
    found, wanted = re.fullmatch(pattern, line), _FLOAT.findall(model)
    return found is not None and all(
        isclose(float(a), float(b), rel_tol=1e-6) for a, b in zip(found.groups(), wanted, strict=True)
    )
