"""Tables that lie in memory already, in place of files: arrays, Arrow tables, frames of other libraries."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from gmmcli.errors import TableUnusable
from gmmcli.tables.held import NAME, InMemory
from gmmcli.tables.typed import BATCH_ROWS, TypedReader


class NoNumbers(TableUnusable, TypeError):
    """An array holds things that are no numbers: to Python an error of type as well."""


def hold(x: Any) -> InMemory:
    """Return what is given as an operand.

    Parameters
    ----------
    x : array-like of shape (n_samples, n_features), mapping, Arrow table or frame, iterator
        Columns of a mapping's arrays, which may have one dimension, are put side by side in the order of its
        keys. What offers an Arrow stream (pyarrow, pandas, Polars) keeps its names, and leaves its index
        behind. An iterator is of arrays, one below the other.

    Raises
    ------
    TableUnusable
        It is none of these.

    Notes
    -----
    An array, or an Arrow table, is not copied.
    """
    if hasattr(x, "tocoo"):
        raise TableUnusable(NAME, "sparse data is not supported", "x.toarray()")
    if isinstance(x, pa.Table):
        return InMemory(x)
    if isinstance(x, pa.RecordBatch):
        return InMemory(pa.Table.from_batches([x]))
    if hasattr(x, "__arrow_c_stream__"):
        return InMemory(_of_frame(x))
    if isinstance(x, Mapping):
        return InMemory(_joined([_columns(x[key]) for key in sorted(x)], axis=1))
    if isinstance(x, Iterator):
        return InMemory(_joined([_matrix(part) for part in x], axis=0))
    return InMemory(_matrix(x))


def open_memory(held: InMemory) -> TypedReader:
    """Return a reader of a table in memory, which makes Arrow arrays of some rows at a time."""
    if isinstance(held.content, pa.Table):
        table = held.content

        def scan(columns: list[int]) -> Iterator[Any]:
            chosen: Iterator[Any] = iter(table.select(columns).to_batches(max_chunksize=BATCH_ROWS))
            return chosen

        return TypedReader(table.schema, tuple(table.column_names), scan, held.name, lambda: None)
    array = held.content
    names = held.column_names or tuple(f"{NAME}{j}" for j in range(array.shape[1]))
    kind = pa.from_numpy_dtype(array.dtype)

    def slices(columns: list[int]) -> Iterator[Any]:
        for begin in range(0, len(array), BATCH_ROWS):
            rows = array[begin : begin + BATCH_ROWS]
            arrays = [pa.array(np.ascontiguousarray(rows[:, column])) for column in columns]
            yield pa.record_batch(arrays, names=[names[column] for column in columns])

    return TypedReader(pa.schema([(name, kind) for name in names]), names, slices, held.name, lambda: None)


def write_means(path: Path, names: Sequence[str], means: Any) -> None:
    """Write starting means, shape (n_components, n_features), as a table that --init takes.

    Raises
    ------
    TableUnusable
        They are no table of numbers, or of another number of columns.
    """
    matrix = _matrix(means)
    if matrix.shape[1] != len(names):
        raise TableUnusable("initial_clusters", f"{matrix.shape[1]} columns, the table has {len(names)}")
    columns = dict(zip(names, np.asarray(matrix, dtype=np.float64).T, strict=True))
    csv.write_csv(pa.table(columns), path)


def _of_frame(frame: Any) -> Any:
    """Return the columns of a frame as an Arrow table, without those of its index."""
    try:
        table = pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TableUnusable(NAME, f"is no table: {str(error).splitlines()[0]}") from error
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return table.drop_columns([name for name in index if isinstance(name, str)])


def _joined(arrays: list[Any], axis: int) -> Any:
    """Return arrays side by side, or one below the other; TableUnusable where they do not fit."""
    try:
        return np.concatenate(arrays, axis=axis)
    except ValueError as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise TableUnusable(NAME, f"arrays that do not fit together: {shapes or 'none'}") from error


def _columns(x: Any) -> Any:
    """Return an array of rows and columns, of which one dimension is a column."""
    array = np.asarray(x)
    return _matrix(array[:, np.newaxis] if array.ndim == 1 else array)


def _matrix(x: Any) -> Any:
    """Return an array of rows and columns; TableUnusable where it is none of numbers."""
    try:
        array = np.asarray(x)
        if array.dtype.kind not in "cfiub":
            array = array.astype(np.float64)
    except TypeError as error:
        raise NoNumbers(NAME, str(error)) from error
    except ValueError as error:
        raise TableUnusable(NAME, f"is no table of numbers: {error}") from error
    if array.dtype.kind == "c":
        raise TableUnusable(NAME, "Complex data not supported: give real and imaginary parts as columns")
    if array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = array.astype(np.float64)
    if array.ndim != 2:
        shape = "Reshape your data: x.reshape(-1, 1) is one column, x.reshape(1, -1) one row"
        raise TableUnusable(NAME, f"has {array.ndim} dimensions, not rows and columns. {shape}")
    if not array.shape[1]:
        raise TableUnusable(NAME, f"0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    return array
