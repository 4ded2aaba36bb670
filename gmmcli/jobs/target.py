"""What an output must not be: an input. The model directory is one."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import Usage


def refuse_input(
    output: Path, model_dir: Path, inputs: Iterable[Path] = (), stdin: BinaryIO | None = None
) -> None:
    """Raise `Usage` where writing to `output` would replace a file that is read."""
    real = Path(os.path.realpath(output))
    if real.is_relative_to(os.path.realpath(model_dir)):
        raise Usage(f"-o {output}", f"lies in the model directory {model_dir}", "write to another file")
    if not output.is_file():
        return
    read = [path.stat() for path in inputs if path.exists()]
    if stdin is not None:
        with contextlib.suppress(OSError):  # a stream that is no file
            read.append(os.fstat(stdin.fileno()))
    if any(os.path.samestat(output.stat(), status) for status in read):
        raise Usage(f"-o {output}", "is an input too", "write to another file")
