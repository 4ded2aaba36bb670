"""Predictions out: CSV, TSV, JSON lines, Parquet, Arrow; to a path, whole or not at all, or to stdout."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa

from gmmcli.atomic import open_atomic
from gmmcli.errors import from_os_error

OUTPUT_FORMATS = ("csv", "tsv", "jsonl", "parquet", "arrow")


class Sink:
    """Where batches of columns go.

    Parameters
    ----------
    stream : binary stream
    output_format : str
    name : str
        For messages.
    """

    def __init__(self, stream: BinaryIO, output_format: str, name: str) -> None:
        self._stream, self._format, self._name = stream, output_format, name
        self._writer: _Writer | None = None

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write some rows; the first call, which may have none, fixes names and types.

        Parameters
        ----------
        columns : mapping of str to ndarray, masked array or pyarrow array
            Masked cells, and nulls, are empty.

        Raises
        ------
        ReadWriteFailed
        """
        table = pa.table({name: _as_arrow(values) for name, values in columns.items()})
        with _writing(self._name):
            if self._writer is None:
                self._writer = _make_writer(self._stream, self._format, table.schema)
            self._writer.write(table)
            self._stream.flush()

    def finish(self) -> None:
        """Write what ends the format.

        Raises
        ------
        ReadWriteFailed
        """
        with _writing(self._name):
            if self._writer is not None:
                self._writer.close()
            self._stream.flush()


@contextlib.contextmanager
def open_sink(path: Path | None, output_format: str, *, stdout: BinaryIO | None) -> Iterator[Sink]:
    """Open a path, or stdout where there is none.

    Raises
    ------
    CannotCreate, PermissionRefused, ReadWriteFailed
    """
    with contextlib.ExitStack() as stack:
        if path is not None:
            stream = stack.enter_context(open_atomic(path))
        elif stdout is not None:
            stream = stdout
        else:
            raise ValueError("neither a path nor stdout")
        sink = Sink(stream, output_format, "stdout" if path is None else str(path))
        yield sink
        sink.finish()


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    """Turn what the operating system says into our errors."""
    try:
        yield
    except OSError as error:
        raise from_os_error(name, error) from error


class _Writer(Protocol):
    """What writes tables of one schema."""

    def write(self, table: Any) -> None:
        """Write some rows."""

    def close(self) -> None:
        """Write what ends the format."""


def _make_writer(stream: BinaryIO, output_format: str, schema: Any) -> _Writer:
    """Return the writer of a format."""
    if output_format in ("csv", "tsv"):
        return _Text(stream, "," if output_format == "csv" else "\t", schema)
    if output_format == "jsonl":
        return _JsonLines(stream)
    if output_format == "parquet":
        import pyarrow.parquet as pq

        return pq.ParquetWriter(pa.PythonFile(stream, mode="w"), schema)  # type: ignore[no-any-return]
    return pa.ipc.new_file(pa.PythonFile(stream, mode="w"), schema)  # type: ignore[no-any-return]


class _Text:
    """CSV or TSV with a header; quotes where needed only."""

    def __init__(self, stream: BinaryIO, delimiter: str, schema: Any) -> None:
        self._stream, self._delimiter = stream, delimiter
        header = delimiter.join(_quoted(name, delimiter) or '""' for name in schema.names)
        stream.write(f"{header}\n".encode())

    def write(self, table: Any) -> None:
        """Write some rows."""
        try:
            content = self._unquoted(table)
        except pa.ArrowInvalid:  # a cell with a delimiter, a quote or a line end
            content = self._quoted_where_needed(table)
        if table.num_columns == 1 and table.column(0).null_count:
            # A blank line would be no row to most readers.
            content = b"".join((line or b'""') + b"\n" for line in content.split(b"\n")[:-1])
        self._stream.write(content)

    def _unquoted(self, table: Any) -> bytes:
        """Return the rows without quotes.

        Raises
        ------
        pyarrow.ArrowInvalid
            A cell needs them.
        """
        import pyarrow.csv as pa_csv

        buffer = pa.BufferOutputStream()
        options = pa_csv.WriteOptions(
            include_header=False,
            delimiter=self._delimiter,
            quoting_style="none",
            batch_size=max(table.num_rows, 1),
        )
        pa_csv.write_csv(table, buffer, options)
        return buffer.getvalue().to_pybytes()  # type: ignore[no-any-return]

    def _quoted_where_needed(self, table: Any) -> bytes:
        """Return the rows with quotes where a cell needs them; numbers as Arrow writes them."""
        columns = []
        for column in table.columns:
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                columns.append([_quoted(cell or "", self._delimiter) for cell in column.to_pylist()])
            else:
                columns.append(self._unquoted(pa.table({"": column})).decode().split("\n")[:-1])
        lines = (self._delimiter.join(cells) + "\n" for cells in zip(*columns, strict=True))
        return "".join(lines).encode()

    def close(self) -> None:
        """Do nothing: text has no end of its own."""


class _JsonLines:
    """An object per line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, table: Any) -> None:
        """Write some rows."""
        names = table.column_names
        keys = [json.dumps(name, ensure_ascii=False) + ": " for name in names]
        columns = [
            [key + json.dumps(value, ensure_ascii=False, default=str) for value in column.to_pylist()]
            for key, column in zip(keys, table.columns, strict=True)
        ]
        lines = ["{" + ", ".join(cells) + "}\n" for cells in zip(*columns, strict=True)]
        self._stream.write("".join(lines).encode())

    def close(self) -> None:
        """Do nothing: text has no end of its own."""


def _quoted(text: str, delimiter: str) -> str:
    """Return a cell, quoted where needed."""
    if not any(c in text for c in (delimiter, '"', "\n", "\r")):
        return text
    return '"' + text.replace('"', '""') + '"'


def _as_arrow(values: Any) -> Any:
    """Return a column as Arrow has it."""
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, mask=np.ma.getmaskarray(values))
    if isinstance(values, np.ndarray):
        return pa.array(values)
    return values
