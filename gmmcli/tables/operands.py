"""Operands: what the words on a command line stand for."""

import glob
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import NotFound, TableUnusable, Usage, from_os_error, reporting
from gmmcli.tables import wording
from gmmcli.tables.held import InMemory

STDIN = "-"
_PARQUET_SUFFIXES = (".parquet", ".pq")
_MAGIC = "*?["


@dataclass(frozen=True)
class Operand:
    """One file, or stdin.

    Parameters
    ----------
    name : str
        For messages; "-" is stdin.
    path : Path or None
        None is stdin.
    size_bytes : int
        -1 where it is not known.
    held : InMemory, optional
        The table itself, where it lies in memory.
    """

    name: str
    path: Path | None
    size_bytes: int
    held: InMemory | None = None


@dataclass(frozen=True)
class TableRequest:
    """The tables of a command line, and how many threads may work on them.

    Parameters
    ----------
    operands : tuple of str or InMemory
        None, or "-", is stdin.
    stdin : binary stream or None
        None where it is closed, or not asked for.
    input_format : str or None
        None to recognise it.
    n_threads : int
    """

    operands: tuple[str | InMemory, ...] = ()
    stdin: BinaryIO | None = None
    input_format: str | None = None
    n_threads: int = 1


def expand(words: Sequence[str | InMemory]) -> tuple[Operand, ...]:
    """Return the operands that words, or tables in memory, stand for; none stand for stdin.

    Raises
    ------
    Usage
        stdin is named twice.
    NotFound
        A path does not exist, or a glob matches nothing.
    PermissionRefused
    TableUnusable
        A directory holds no Parquet file.
    """
    words = words or (STDIN,)
    if list(words).count(STDIN) > 1:
        raise Usage(STDIN, "stdin can be read only once", "name it once")
    return tuple(operand for word in words for operand in _expand_word(word))


def _expand_word(word: str | InMemory) -> list[Operand]:
    """Return the operands of one word."""
    if isinstance(word, InMemory):
        return [Operand(word.name, None, word.content.nbytes, word)]
    if word == STDIN:
        return [Operand(STDIN, None, -1)]
    if any(c in word for c in _MAGIC) and not os.path.lexists(word):
        matches = sorted(glob.glob(word, recursive=True), key=os.fsencode)
        if not matches:
            raise NotFound(word, "matches no file", f"ls {wording.argument(str(Path(word).parent))}")
        return [operand for match in matches for operand in _expand_path(match)]
    return _expand_path(word)


def _expand_path(name: str) -> list[Operand]:
    """Return a file, or the Parquet files of a directory."""
    if not name:
        # To a path it would be the working directory.
        raise NotFound("''", "no such file or directory")
    path = Path(name)
    with reporting(name):
        status = os.stat(name)  # noqa: PTH116 (a Path forgets a slash at the end)
    if not stat.S_ISDIR(status.st_mode):
        return [Operand(name, path, status.st_size if stat.S_ISREG(status.st_mode) else -1)]
    found = sorted(_parquet_files(name), key=os.fsencode)
    if not found:
        raise TableUnusable(name, "a directory without Parquet files", f"ls {wording.argument(name)}")
    return [operand for file in found for operand in _expand_path(file)]


def _parquet_files(folder: str) -> list[str]:
    """Return the Parquet files below a directory; names that begin with "." or "_" are others' notes."""

    def refuse(error: OSError) -> None:
        raise from_os_error(str(error.filename), error) from error

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        kept = [name for name in files if not name.startswith((".", "_"))]
        found += [str(Path(parent, name)) for name in kept if name.endswith(_PARQUET_SUFFIXES)]
    return found
