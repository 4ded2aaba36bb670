"""Refuse an output that would overwrite an input, or a file of the model directory."""

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import Usage


def refuse_inside(option: str, output: Path, model_dir: Path) -> None:
    """Raise `Usage` if an output is in the model directory."""
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(model_dir)):
        raise Usage(option, f"is in the model directory {model_dir}", "write elsewhere")


def refuse_input(
    output: Path, model_dir: Path, inputs: Iterable[Path] = (), stdin: BinaryIO | None = None
) -> None:
    """Raise `Usage` if writing to `output` would replace an input, or a file of the model directory."""
    refuse_inside(f"-o {output}", output, model_dir)
    with contextlib.suppress(OSError):  # opening the file will report this
        status = output.stat()
        if stat.S_ISREG(status.st_mode):
            _refuse_same(f"-o {output}", status, inputs, stdin)


def refuse_input_as_stdout(
    stdout: BinaryIO, inputs: Iterable[Path] = (), stdin: BinaryIO | None = None
) -> None:
    """Raise `Usage` if the shell redirects stdout to an input: reading would never end."""
    with contextlib.suppress(OSError):  # a stream without a file
        status = os.fstat(stdout.fileno())
        if stat.S_ISREG(status.st_mode):
            _refuse_same("stdout", status, inputs, stdin)


def _refuse_same(option: str, output: os.stat_result, inputs: Iterable[Path], stdin: BinaryIO | None) -> None:
    """Raise `Usage` if the output is one of the inputs."""
    read = [path.stat() for path in inputs if path.exists()]
    if stdin is not None:
        with contextlib.suppress(OSError):  # a stream without a file
            read.append(os.fstat(stdin.fileno()))
    if any(os.path.samestat(output, status) for status in read):
        raise Usage(option, "is also an input", "write to another file")
