"""The processes that are measured: each program in its own, under an environment of its own.

Whole commands are run by `launch.py`, which is small enough not to disturb the peak memory of its child.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
GMMCLI, SKLEARN, MLPACK = "gmmcli", "scikit-learn", "mlpack"
# What would steer BLAS and OpenMP is taken away: every program starts as it was installed.
STEERING = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
)


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(kernel: str | None = None) -> dict[str, str]:
    """Return the environment of a child.

    Parameters
    ----------
    kernel : str, optional
        Of OpenBLAS; its own choice where it is not given.
    """
    kept = {name: value for name, value in os.environ.items() if name not in STEERING}
    return kept if kernel is None else {**kept, "OPENBLAS_CORETYPE": kernel}


def environment_of(program: str, kernel: str | None) -> dict[str, str]:
    """Return the environment of a process that imports a program.

    The gmmcli command has told OpenBLAS its kernel and one thread before numpy loads (numerics, section 4);
    a process that imports gmmcli has to be told from outside.
    """
    if program != GMMCLI:
        return environment(kernel)
    return {**environment(kernel or kernel_of_command()), "OPENBLAS_NUM_THREADS": "1"}


def gmmcli_command() -> list[str]:
    """Return what runs gmmcli: the installed program, or else the package that Python finds."""
    program = Path(sys.executable).with_name("gmmcli")
    return [str(program)] if program.exists() else [sys.executable, "-m", "gmmcli"]


def script_command(name: str) -> list[str]:
    """Return what runs a script of this folder."""
    return [sys.executable, str(HERE / name)]


@cache
def kernel_of_command() -> str | None:
    """Return the kernel of OpenBLAS that the gmmcli command runs; None with another BLAS."""
    command = [*gmmcli_command(), "--version", "-v"]
    text = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    words = next((line.split() for line in text.splitlines() if line.startswith("BLAS ")), [])
    return words[-1] if len(words) == 4 and words[1] == "openblas" else None


class Worker:
    """One program in a process that stays, so that it is imported and its table drawn only once.

    Parameters
    ----------
    program : str
    kernel : str, optional
        Of OpenBLAS; where it is not given, the one that the program runs as installed.
    """

    def __init__(self, program: str, kernel: str | None = None) -> None:
        self.program = program
        self._process = subprocess.Popen(
            [*script_command("worker.py"), program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_of(program, kernel),
        )

    def ask(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Let the program do one task.

        Raises
        ------
        RuntimeError
            It failed, and said why.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"task": task, **arguments}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(f"{self.program}: {task}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its pipes, at which it ends, and waits for it
            pass


@dataclass(frozen=True)
class Usage:
    """What a command used."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(command: Sequence[str], directory: Path, output: str = os.devnull) -> Usage:
    """Run a command in a directory, as it was installed.

    Parameters
    ----------
    command : sequence of str
        The first one is a path.
    directory : Path
    output : str
        File in the directory for its standard output.

    Raises
    ------
    RuntimeError
        It did not exit with 0.
    """
    launcher = [sys.executable, "-I", "-S", str(HERE / "launch.py"), output]
    done = subprocess.run(
        [*launcher, *command], cwd=directory, env=environment(), stdout=subprocess.PIPE, check=True
    )
    used = json.loads(done.stdout)
    if used.pop("status") != 0:
        raise RuntimeError(f"failed: {' '.join(command)}")
    return Usage(**used)
