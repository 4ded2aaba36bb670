"""Bytes of an operand, decompressed, with the format that its first bytes tell."""

import bz2
import contextlib
import gzip
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gmmcli.errors import TableUnusable, from_os_error

FORMATS = ("csv", "tsv", "parquet", "arrow", "jsonl")
_HEAD_BYTES = 4096
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


@dataclass(frozen=True)
class Operand:
    """One table of the command line, after globs and directories.

    Parameters
    ----------
    name : str
        For messages; `-` is stdin.
    path : Path or None
    size_bytes : int
        −1 where unknown.
    """

    name: str
    path: Path | None
    size_bytes: int


class Joined(io.RawIOBase):
    """Bytes that were read already, and the stream they came from."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what is there: the head first."""
        if self._head:
            n = min(len(self._head), len(buffer))
            buffer[:n], self._head = self._head[:n], self._head[n:]
            return n
        data = read_available(self._rest, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def read_available(stream: BinaryIO, limit: int) -> bytes:
    """Return at most `limit` bytes, without waiting for more once there are some."""
    read1 = getattr(stream, "read1", None)
    return bytes((read1 or stream.read)(limit) or b"")


def read_head(stream: BinaryIO, limit: int = _HEAD_BYTES) -> bytes:
    """Return the first bytes: as many as asked for, unless the stream ends."""
    head = b""
    while len(head) < limit and (data := read_available(stream, limit - len(head))):
        head += data
    return head


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what a stream raises into errors that name the operand."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableUnusable(name, f"damaged or cut off: {str(error).lower()}") from error
    except OSError as error:
        if error.errno is None:
            raise TableUnusable(name, f"damaged or cut off: {str(error).lower()}") from error
        raise from_os_error(name, error) from error


class Stream:
    """An operand's bytes, recognised and decompressed.

    Parameters
    ----------
    operand : Operand
    stdin : binary stream or None
    input_format : str or None
        Overrides what content and suffix say.

    Raises
    ------
    GmmError
        It cannot be opened, or is in a form that is not a table's.
    """

    def __init__(self, operand: Operand, stdin: BinaryIO | None, input_format: str | None) -> None:
        self.operand = operand
        with reading(operand.name):
            self._raw: BinaryIO = stdin if operand.path is None else operand.path.open("rb")  # type: ignore[assignment]
            head = read_head(self._raw)
            suffixes = [suffix.lower() for suffix in Path(operand.name).suffixes]
            self.is_plain_file = operand.path is not None and operand.path.is_file()
            self.bytes: BinaryIO = io.BufferedReader(Joined(head, self._raw), _HEAD_BYTES * 16)
            compression = next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)
            if compression is not None:
                suffixes = suffixes[:-1]
                self.is_plain_file = False
                inner = _decompressed(self.bytes, compression)
                head = read_head(inner)
                self.bytes = io.BufferedReader(Joined(head, inner), _HEAD_BYTES * 16)
        self.format = input_format or _recognise(head, suffixes[-1] if suffixes else "", operand.name)

    def seekable(self) -> BinaryIO | Path:
        """Return the operand as something that can be read from its end: its path, or a spool."""
        if self.is_plain_file and self.operand.path is not None:
            return self.operand.path
        spool = tempfile.TemporaryFile(prefix="gmmcli-")  # noqa: SIM115 - lives as long as the reader
        with reading(self.operand.name):
            shutil.copyfileobj(self.bytes, spool, 1 << 20)
        spool.seek(0)
        return spool  # type: ignore[return-value]

    def close(self) -> None:
        """Close a file that was opened here."""
        if self.operand.path is not None:
            self._raw.close()


def _decompressed(stream: BinaryIO, compression: str) -> BinaryIO:
    """Return a stream of the decompressed bytes."""
    if compression == "gzip":
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if compression == "bz2":
        return bz2.BZ2File(stream)
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")  # type: ignore[no-any-return]


def _recognise(head: bytes, suffix: str, name: str) -> str:
    """Return the format that the first bytes tell, then the suffix."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableUnusable(name, "UTF-16 text", f"iconv -f UTF-16 -t UTF-8 {name} | gmmcli ... -")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return "jsonl"
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    line = text.split(b"\n", 1)[0]
    return "tsv" if b"\t" in line and b"," not in line else "csv"


def expand_operands(operands: tuple[str, ...]) -> list[Operand]:
    """Return the tables that the command line names, globs and directories expanded in byte order.

    Raises
    ------
    NotFound
        A path does not exist, or a glob matches nothing.
    TableUnusable
        A directory without Parquet files.
    """
    found: list[Operand] = []
    for name in operands or ("-",):
        found += [Operand("-", None, -1)] if name == "-" else _expand_path(name)
    return found


def _expand_path(name: str) -> list[Operand]:
    """Return the tables of one path, directory or glob."""
    import glob

    path = Path(name)
    if not os.path.lexists(name) and glob.has_magic(name):
        paths = sorted(map(Path, glob.glob(name)), key=os.fsencode)
        if not paths:
            raise from_os_error(name, FileNotFoundError(2, "no file matches"))
    elif path.is_dir():
        paths = sorted((*path.glob("*.parquet"), *path.glob("*.pq")), key=os.fsencode)
        if not paths:
            raise TableUnusable(name, "a directory without Parquet files", "name the files")
    else:
        paths = [path]
    return [_stat(path) for path in paths]


def _stat(path: Path) -> Operand:
    """Return one file as an operand."""
    try:
        size = path.stat().st_size if not path.is_fifo() else -1
    except OSError as error:
        raise from_os_error(str(path), error) from error
    return Operand(str(path), path, size)
