"""The bytes of a file, of stdin or of a pipe, in order and decompressed. Knows nothing of tables."""

import os
import re
import select
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from gmmcli.errors import GmmError, TableUnusable, from_os_error
from gmmcli.tables import wording

READ_BYTES = 1 << 16
# A pipe whose writer is busy is given this long to bring more before the bytes at hand are used.
_PATIENCE_MS = 10
_CODECS = {
    "gzip": re.compile(rb"\x1f\x8b"),
    # A header may begin with the letters BZh.
    "bz2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
}
_COMMANDS = {"gzip": "gzip", "bz2": "bzip2", "zstd": "zstd"}


class ByteStream:
    """Bytes that can be looked at before they are taken.

    Parameters
    ----------
    raw : binary file
        With `read1`; need not seek.
    subject : str
        For messages.
    codec : str or None
        What `raw` decompresses, for messages.

    Attributes
    ----------
    closed : bool
    """

    def __init__(self, raw: Any, subject: str, codec: str | None = None) -> None:
        self._raw = raw
        self._subject = subject
        self._codec = codec
        self._held = bytearray()
        self._ended = False
        self.closed = False
        self._descriptor = None if codec else _descriptor(raw)

    @property
    def held(self) -> bytes:
        """The bytes read, but not taken."""
        return bytes(self._held)

    @property
    def n_held(self) -> int:
        """How many bytes were read, but not taken."""
        return len(self._held)

    def grow(self) -> bool:
        """Hold more bytes, waiting for them; False at the end.

        Raises
        ------
        TableUnusable
            Compressed data is damaged.
        GmmError
            The operating system cannot read.
        """
        data = self._fetch(READ_BYTES)
        self._held += data
        return bool(data)

    def peek(self, n_bytes: int) -> bytes:
        """Return the next bytes without taking them; fewer only at the end."""
        while len(self._held) < n_bytes and self.grow():
            pass
        return bytes(self._held[:n_bytes])

    def skip(self, n_bytes: int) -> None:
        """Take bytes that are held."""
        del self._held[:n_bytes]

    def read(self, n_bytes: int, *, wait: bool = True) -> bytes:
        """Take `n_bytes`, fewer only at the end; without `wait` those that are there, at least one."""
        taken = self._held[:n_bytes]
        del self._held[:n_bytes]
        while len(taken) < n_bytes and (wait or not taken or self._is_ready()):
            data = self._fetch(n_bytes - len(taken))
            if not data:
                break
            taken += data
        return bytes(taken)

    def spool(self) -> BinaryIO:
        """Return a file that seeks, with all bytes from where the stream began.

        The stream's own where it can be; else a temporary one that has no name.
        """
        if self._descriptor is not None and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._raw.seek(0)
            file: BinaryIO = self._raw
            return file
        try:
            with ExitStack() as stack:
                spooled: BinaryIO = stack.enter_context(os.fdopen(_open_nameless(), "w+b"))
                while data := self.read(1 << 20):
                    spooled.write(data)
                spooled.seek(0)
                stack.pop_all()
        except OSError as error:
            raise from_os_error(tempfile.gettempdir(), error, "TMPDIR=DIR names another place") from error
        self.close()
        return spooled

    def mended_by(self, *filters: str, kind: str = "csv") -> str:
        """Return the command line that puts these bytes through filters into a file of the kind."""
        decompress = [] if self._codec is None else [f"{_COMMANDS[self._codec]} -dc"]
        return wording.pipeline(self._subject, [*decompress, *filters], kind)

    def close(self) -> None:
        """Close what is below."""
        self.closed = True
        self._raw.close()

    def _is_ready(self) -> bool:
        """Tell whether reading would not wait."""
        if self._descriptor is None or self._ended:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(_PATIENCE_MS))

    def _fetch(self, n_bytes: int) -> bytes:
        """Read once."""
        if self._ended:
            return b""
        try:
            data: bytes = self._raw.read1(n_bytes)
        except OSError as error:
            raise self._explain(error) from error
        self._ended = not data
        return data

    def _explain(self, error: OSError) -> GmmError:
        """Return what an error of reading means: Arrow's, about the content, have no number."""
        if error.errno is not None or self._codec is None:
            return from_os_error(self._subject, error)
        how = "truncated" if "truncated" in str(error).lower() else "damaged"
        hint = f"{_COMMANDS[self._codec]} -t {wording.argument(self._subject)}"
        return TableUnusable(self._subject, f"{how} {self._codec} data", hint)


def open_stream(raw: BinaryIO, subject: str) -> ByteStream:
    """Return the bytes of an open file, decompressed where gzip, bzip2 or Zstandard made it."""
    stream = ByteStream(raw, subject)
    head = stream.peek(10 if stream.peek(3) == b"BZh" else 4)
    for codec, magic in _CODECS.items():
        if magic.match(head):
            source = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), codec)
            return ByteStream(source, subject, codec)
    return stream


def _open_nameless() -> int:
    """Return the descriptor of a temporary file that nobody else can open."""
    descriptor, path = tempfile.mkstemp(prefix="gmmcli-")
    Path(path).unlink()
    return descriptor


def _descriptor(raw: Any) -> int | None:
    """Return the number of an operating system file, None for bytes in memory."""
    try:
        return int(raw.fileno())
    except OSError:
        return None
