"""Parquet and Arrow IPC: columns that bring their types."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gmmcli.core.mixture import Array
from gmmcli.errors import TableUnusable
from gmmcli.tables.batch import Batch
from gmmcli.tables.stream import Stream, reading

BATCH_ROWS = 65_536


class TypedReader:
    """A Parquet or Arrow operand.

    Parameters
    ----------
    stream : Stream

    Raises
    ------
    TableUnusable
        It is damaged.
    """

    is_typed = True

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._name = stream.operand.name
        with reading(self._name), _damage(self._name):
            self._open = _open_parquet(stream) if stream.format == "parquet" else _open_arrow(stream)
        self._schema: Any = self._open.schema
        self.column_names: Sequence[str] = self._schema.names

    def find_text_cell(self, column: str) -> tuple[str, str] | None:
        """Return where, and what type, keeps a column from being numeric; None if it is numeric."""
        kind = self._schema.field(self.column_names.index(column)).type
        return None if is_numeric_type(kind) else (self._name, str(kind))

    def numeric_columns(self) -> set[int]:
        """Return the positions of columns of a numeric type."""
        return {i for i, field in enumerate(self._schema) if is_numeric_type(field.type)}

    def iter_batches(self, features: Sequence[str], extra: Sequence[str], operand: int) -> Iterator[Batch]:
        """Yield all rows; at least one batch, which may be empty."""
        first_row = 0
        wanted = [name for name in self.column_names if name in {*features, *extra}]
        with reading(self._name), _damage(self._name):
            for table in self._open.iter_batches(wanted):
                X = np.empty((len(features), table.num_rows))
                for i, name in enumerate(features):
                    X[i] = as_doubles(table.column(name))
                self._check_finite(X, features, first_row)
                passed = {name: table.column(name) for name in extra}
                yield Batch(X, passed, operand, first_row, self._locator(first_row))
                first_row += table.num_rows
        if not first_row:
            columns = {name: pa.array([], self._schema.field(name).type) for name in extra}
            yield Batch(np.empty((len(features), 0)), columns, operand, 0, self._locator(0))

    def close(self) -> None:
        """Let go of the operand."""
        self._stream.close()

    def _check_finite(self, X: Array, features: Sequence[str], first_row: int) -> None:
        """Raise for the first infinite value."""
        infinite = np.isinf(X)
        if infinite.any():
            row = int(infinite.any(axis=0).argmax())
            column = features[int(infinite[:, row].argmax())]
            where = self._locator(first_row)(row)
            raise TableUnusable(where, f'column "{column}": infinite value', f"--exclude {column}")

    def _locator(self, first_row: int) -> Any:
        """Return what finds a row: these formats have no lines."""
        return lambda row: f"{self._name}: row {first_row + row + 1}"


class _Parquet:
    """A Parquet file as batches."""

    def __init__(self, file: Any) -> None:
        self._file, self.schema = file, file.schema_arrow

    def iter_batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield record batches of some columns."""
        yield from self._file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))


class _Arrow:
    """An Arrow IPC file or stream as batches."""

    def __init__(self, schema: Any, batches: Iterator[Any]) -> None:
        self.schema, self._batches = schema, batches

    def iter_batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield record batches of some columns."""
        for batch in self._batches:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS).select(list(columns))


def _open_parquet(stream: Stream) -> _Parquet:
    """Open a Parquet file, spooled where it is no file yet."""
    import pyarrow.parquet as pq

    source = stream.seekable()
    return _Parquet(
        pq.ParquetFile(str(source) if isinstance(source, Path) else pa.PythonFile(source, mode="r"))
    )


def _open_arrow(stream: Stream) -> _Arrow:
    """Open an Arrow IPC file, spooled where it is no file yet, or a stream as it comes."""
    import pyarrow.ipc as ipc

    if stream.bytes.peek(6)[:6] != b"ARROW1":  # type: ignore[attr-defined]
        reader = ipc.open_stream(stream.bytes)
        return _Arrow(reader.schema, iter(reader))
    source = stream.seekable()
    file = ipc.open_file(str(source) if isinstance(source, Path) else pa.PythonFile(source, mode="r"))
    return _Arrow(file.schema, (file.get_batch(i) for i in range(file.num_record_batches)))


class _damage:  # noqa: N801 - reads as a sentence: with reading(name), _damage(name)
    """Turns what Arrow raises about damaged content into an error that names the operand."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Raise our error for Arrow's."""
        if isinstance(error, pa.ArrowException) and not isinstance(error, OSError):
            raise TableUnusable(self._name, f"damaged: {str(error).splitlines()[0]}") from error


def is_numeric_type(kind: Any) -> bool:
    """Tell whether a column is numeric: integers, floats, decimals, booleans, or nothing but nulls."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def as_doubles(column: Any) -> Array:
    """Return a numeric column as doubles, nulls as NaN."""
    if column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
