"""What an output must not be: an input. The model directory is one."""

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import Usage


def refuse_inside(option: str, output: Path, model_dir: Path) -> None:
    """Raise `Usage` where an output would lie among the files of the model directory."""
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(model_dir)):
        raise Usage(option, f"lies in the model directory {model_dir}", "write elsewhere")


def refuse_input(
    output: Path, model_dir: Path, inputs: Iterable[Path] = (), stdin: BinaryIO | None = None
) -> None:
    """Raise `Usage` where writing to `output` would replace a file that is read."""
    refuse_inside(f"-o {output}", output, model_dir)
    with contextlib.suppress(OSError):  # whoever opens it says what is wrong
        status = output.stat()
        if stat.S_ISREG(status.st_mode):
            _refuse_same(f"-o {output}", status, inputs, stdin)


def refuse_input_as_stdout(
    stdout: BinaryIO, inputs: Iterable[Path] = (), stdin: BinaryIO | None = None
) -> None:
    """Raise `Usage` where the shell has stdout append to a file that is read: it would never end."""
    with contextlib.suppress(OSError):  # a stream that is no file
        status = os.fstat(stdout.fileno())
        if stat.S_ISREG(status.st_mode):
            _refuse_same("stdout", status, inputs, stdin)


def _refuse_same(option: str, output: os.stat_result, inputs: Iterable[Path], stdin: BinaryIO | None) -> None:
    """Raise `Usage` where a file is one of those that are read."""
    read = [path.stat() for path in inputs if path.exists()]
    if stdin is not None:
        with contextlib.suppress(OSError):  # a stream that is no file
            read.append(os.fstat(stdin.fileno()))
    if any(os.path.samestat(output, status) for status in read):
        raise Usage(option, "is an input too", "write to another file")
