"""Rows out: CSV, TSV, JSON lines, Parquet, Arrow; to a file that appears whole, or to stdout."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from gmmcli.atomic import open_atomic
from gmmcli.errors import ReadWriteFailed, TableUnusable, reporting
from gmmcli.tables import json_text, rendering, wording
from gmmcli.tables.arrow import fits_parquet
from gmmcli.tables.json_text import JsonText

ROW_GROUP_ROWS = 1 << 17
Columns = Mapping[str, Any]


class Sink(ABC):
    """Where rows are written to, in one format."""

    def __init__(self, outlet: "_Outlet") -> None:
        self._outlet = outlet
        # Of Arrow, for the formats that end in an index.
        self._writer: Any = None

    def write(self, columns: Columns, n_rows: int) -> None:
        """Write rows; the first call fixes names and types, and writes the header even for no rows.

        Parameters
        ----------
        columns : mapping of str to ndarray or pyarrow.Array, each of n_rows values
            In order. Cells masked in a numpy masked array are empty.
        n_rows : int

        Raises
        ------
        TableUnusable
            A column changes its type between operands, or has none that the format can write.
        GmmError
            The operating system cannot write.
        """
        arrays = {name: _to_arrow(values) for name, values in columns.items()}
        if any(len(values) != n_rows for values in arrays.values()):
            raise ValueError(f"columns must have {n_rows} values each")
        self._encode(arrays)

    @abstractmethod
    def _encode(self, columns: Columns) -> None:
        """Write Arrow arrays of equal length."""

    def finish(self) -> None:
        """Write what stands at the end of the format."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def open_sink(path: Path | None, output_format: str, *, stdout: BinaryIO | None) -> Iterator[Sink]:
    """Open an output; a file takes its name when the block ends without an exception.

    Parameters
    ----------
    path : Path or None
        None is stdout.
    output_format : str
        One of `suffixes.FORMATS`. Arrow is the file format in a file, the streaming format on stdout.
    stdout : binary file or None
        None is a closed one.

    Raises
    ------
    CannotCreate, PermissionRefused, ReadWriteFailed
    """
    with ExitStack() as stack:
        if path is not None:
            outlet = _Outlet(stack.enter_context(open_atomic(path)), str(path))
        elif stdout is not None:
            outlet = _Outlet(stdout, "stdout")
        else:
            raise ReadWriteFailed("stdout", "closed")
        sink = _make_sink(outlet, output_format, is_file=path is not None)
        try:
            yield sink
            sink.finish()
        except BaseException:
            outlet.is_abandoned = True
            raise


def _make_sink(outlet: "_Outlet", output_format: str, *, is_file: bool) -> Sink:
    """Return the sink of a format."""
    match output_format:
        case "csv" | "tsv":
            return _DelimitedSink(outlet, "," if output_format == "csv" else "\t")
        case "jsonl":
            return _JsonLinesSink(outlet)
        case "parquet":
            return _ParquetSink(outlet)
        case "arrow":
            return _ArrowSink(outlet, is_file)
    raise ValueError(output_format)


class _Outlet:
    """A file to write to, which reports errors as those of gmmcli and flushes at once.

    Attributes
    ----------
    is_abandoned : bool
        Let nothing more through: Arrow's writers would end the file when they are cleared away.
    """

    closed = False

    def __init__(self, stream: BinaryIO, subject: str) -> None:
        self._stream = stream
        self._subject = subject
        self._written = 0
        self.is_abandoned = False

    def write(self, data: bytes) -> int:
        """Write all of it."""
        if not self.is_abandoned:
            with reporting(self._subject):
                self._stream.write(data)
                self._stream.flush()
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._written

    def flush(self) -> None:
        """Do nothing: every write flushes."""

    def close(self) -> None:
        """Do nothing: who opened the stream closes it."""


class _DelimitedSink(Sink):
    """CSV and TSV."""

    def __init__(self, outlet: _Outlet, delimiter: str) -> None:
        super().__init__(outlet)
        self._delimiter = delimiter
        self._is_fresh = True

    def _encode(self, columns: Columns) -> None:
        self._outlet.write(rendering.delimited_rows(columns, self._delimiter, has_header=self._is_fresh))
        self._is_fresh = False


class _JsonLinesSink(Sink):
    """JSON lines."""

    def _encode(self, columns: Columns) -> None:
        self._outlet.write(rendering.json_rows(columns))


class _ParquetSink(Sink):
    """Parquet in row groups of a fixed length, whatever the length of what is written at a time."""

    def __init__(self, outlet: _Outlet) -> None:
        super().__init__(outlet)
        self._waiting: list[Any] = []
        self._n_waiting = 0

    def _encode(self, columns: Columns) -> None:
        from pyarrow import parquet

        batch = _to_batch(columns, None if self._writer is None else self._writer.schema)
        if self._writer is None:
            if not fits_parquet(*batch.schema.types):
                field = next(field for field in batch.schema if not fits_parquet(field.type))
                fact = f"{wording.column(field.name)}: Parquet has no {field.type}"
                raise TableUnusable("--pass", fact, "--output-format arrow")
            self._writer = parquet.ParquetWriter(self._outlet, batch.schema)
        self._waiting.append(batch)
        self._n_waiting += batch.num_rows
        while self._n_waiting >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(self._waiting)
            self._writer.write_table(table.slice(0, ROW_GROUP_ROWS))
            self._waiting = table.slice(ROW_GROUP_ROWS).to_batches()
            self._n_waiting -= ROW_GROUP_ROWS

    def finish(self) -> None:
        """Write the last row group and the footer."""
        if self._n_waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
        super().finish()


class _ArrowSink(Sink):
    """Arrow IPC."""

    def __init__(self, outlet: _Outlet, is_file: bool) -> None:
        super().__init__(outlet)
        self._is_file = is_file
        self._schema: Any = None

    def _encode(self, columns: Columns) -> None:
        batch = _to_batch(columns, self._schema)
        if self._writer is None:
            self._schema = batch.schema
            new = pa.ipc.new_file if self._is_file else pa.ipc.new_stream
            self._writer = new(pa.PythonFile(self._outlet, mode="w"), self._schema)
        self._writer.write_batch(batch)


def _to_arrow(values: Any) -> Any:
    """Return a column as an Arrow array; masked cells become null."""
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, mask=np.ma.getmaskarray(values))
    return pa.array(values) if isinstance(values, np.ndarray) else values


def _to_batch(columns: Columns, schema: Any) -> Any:
    """Return columns as a record batch: in the types of a schema, or in their own where there is none yet.

    Texts of JSON get types that other programs know.
    """
    arrays = {
        name: json_text.as_typed(name, values) if isinstance(values.type, JsonText) else values
        for name, values in columns.items()
    }
    if schema is None:
        return pa.record_batch(list(arrays.values()), names=list(arrays))
    for (name, values), field in zip(arrays.items(), schema, strict=True):
        try:
            arrays[name] = values if values.type == field.type else values.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            fact = f"{wording.column(name)}: {field.type} in one table, {values.type} in another"
            raise TableUnusable("--pass", fact, "--output-format csv") from error
    return pa.record_batch(list(arrays.values()), schema=schema)
