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


def hold(x: Any) -> InMemory:
    """Return what is given as an operand.

    Parameters
    ----------
    x : array-like of shape (n_samples, n_features) or (n_samples,), mapping, Arrow table or frame, iterator
        Arrays get the columns x0, x1 and so on; so does a mapping of arrays, put side by side in the order of
        its keys. What offers an Arrow stream (pyarrow, pandas, Polars) keeps its names. An iterator is of
        arrays, one below the other.

    Raises
    ------
    TableUnusable
        It is none of these.

    Notes
    -----
    Columns that do not lie one behind the other in memory are copied.
    """
    if isinstance(x, pa.Table):
        return InMemory(x)
    if isinstance(x, pa.RecordBatch):
        return InMemory(pa.Table.from_batches([x]))
    if hasattr(x, "__arrow_c_stream__"):
        return InMemory(pa.table(x))
    if isinstance(x, Mapping):
        return _of_array(np.concatenate([_matrix(x[key]) for key in sorted(x)], axis=1))
    if isinstance(x, Iterator):
        return _of_array(np.concatenate([_matrix(part) for part in x]))
    return _of_array(_matrix(x))


def open_memory(table: Any, name: str) -> TypedReader:
    """Return a reader of an Arrow table."""

    def scan(columns: list[int]) -> Iterator[Any]:
        chosen: Iterator[Any] = iter(table.select(columns).to_batches(max_chunksize=BATCH_ROWS))
        return chosen

    return TypedReader(table.schema, tuple(table.column_names), scan, name, lambda: None)


def _matrix(x: Any) -> Any:
    """Return an array of rows and columns; TableUnusable where it is none of numbers."""
    try:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TableUnusable(NAME, "is no table of numbers") from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise TableUnusable(NAME, f"has {array.ndim} dimensions, not rows and columns")
    return array


def _of_array(array: Any) -> InMemory:
    """Return an array as an operand; NaN is a missing value there as in files."""
    columns = {f"{NAME}{j}": pa.array(np.ascontiguousarray(column)) for j, column in enumerate(array.T)}
    return InMemory(pa.table(columns))


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
