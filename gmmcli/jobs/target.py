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
        raise Usage(
            option, f"is in the model directory {model_dir}", f"choose a place outside of {model_dir}"
        )


def refuse_input(output: Path | BinaryIO, inputs: Iterable[Path], stdin: BinaryIO | None) -> None:
    """Raise `Usage` if an output, a path or stdout, is one of the files that are read.

    A file would be replaced; if the shell appends stdout to an input, reading would never end.
    """
    with contextlib.suppress(OSError):  # opening the output will report this
        status = output.stat() if isinstance(output, Path) else os.fstat(output.fileno())
        if not stat.S_ISREG(status.st_mode):
            return
        read = [path.stat() for path in inputs if path.exists()]
        if stdin is not None:
            with contextlib.suppress(OSError):  # a stream without a file
                read.append(os.fstat(stdin.fileno()))
        if any(os.path.samestat(status, one) for one in read):
            option = f"-o {output}" if isinstance(output, Path) else "stdout"
            raise Usage(option, "is also an input", "write to another file")
