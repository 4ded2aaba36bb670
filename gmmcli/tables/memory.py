"""Tables that lie in memory already, in place of files: arrays, Arrow tables, frames of other libraries."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gmmcli.errors import NoNumbers, TableUnusable
from gmmcli.tables import wording
from gmmcli.tables.held import NAME, InMemory, made_up_names
from gmmcli.tables.typed import BATCH_ROWS, TypedReader


def hold(x: Any) -> InMemory:
    """Return what is given as an operand.

    Parameters
    ----------
    x : array-like of shape (n_samples, n_features), mapping, Arrow table or frame, iterator
        Columns of a mapping's arrays, which may have one dimension, are put side by side in the order of its
        keys; where these name a column each, a model with columns of these names finds them by name. What
        offers an Arrow stream (pyarrow, pandas, Polars) keeps its names, and leaves its index behind. An
        iterator is of tables, one below the other.

    Raises
    ------
    TableUnusable
        It is none of these.

    Notes
    -----
    An array, or an Arrow table, is not copied.
    """
    _refuse_what_is_no_table(x)
    if isinstance(x, pa.Table):
        return InMemory(x)
    if isinstance(x, pa.RecordBatch):
        return InMemory(pa.Table.from_batches([x]))
    if hasattr(x, "__arrow_c_stream__"):
        return InMemory(_of_frame(x))
    if isinstance(x, Mapping):
        return _side_by_side(x)
    if isinstance(x, Iterator):
        return _one_below_the_other([hold(part) for part in x])
    return InMemory(_matrix(x))


def open_memory(held: InMemory) -> TypedReader:
    """Return a reader of a table in memory, which makes Arrow arrays of some rows at a time."""
    if isinstance(held.content, pa.Table):
        table = held.content

        def scan(columns: list[int]) -> Iterator[Any]:
            chosen: Iterator[Any] = iter(table.select(columns).to_batches(max_chunksize=BATCH_ROWS))
            return chosen

        return TypedReader(
            table.schema, tuple(table.column_names), scan, held.name, lambda: None, held.first_row
        )
    array = held.content
    names = held.column_names or made_up_names(array.shape[1])
    kind = pa.from_numpy_dtype(array.dtype)

    def slices(columns: list[int]) -> Iterator[Any]:
        for begin in range(0, len(array), BATCH_ROWS):
            rows = array[begin : begin + BATCH_ROWS]
            arrays = [pa.array(np.ascontiguousarray(rows[:, column])) for column in columns]
            yield pa.record_batch(arrays, names=[names[column] for column in columns])

    schema = pa.schema([(name, kind) for name in names])
    return TypedReader(schema, names, slices, held.name, lambda: None, held.first_row)


def write_means(path: Path, names: Sequence[str], n_components: int, means: Any) -> None:
    """Write starting means, shape (n_components, n_features), as a table that --init takes.

    Columns of a frame are found by their names.

    Raises
    ------
    TableUnusable
        They are no table of numbers, or of another number of rows or columns.
    """
    subject = "initial_clusters"
    try:
        held = hold(means)
    except TableUnusable as error:
        raise TableUnusable(subject, error.fact, error.hint) from error
    if not held.is_array:
        absent = [name for name in names if name not in held.content.column_names]
        if absent:
            raise TableUnusable(subject, f"no column {wording.listed(absent)}")
        table = held.content.select(list(names))
    elif held.content.shape[1] != len(names):
        raise TableUnusable(subject, f"{held.content.shape[1]} columns, the table has {len(names)}")
    elif not np.isfinite(held.content).all():
        raise TableUnusable(subject, "a mean is not finite")
    else:
        table = pa.table(dict(zip(names, held.content.T.astype(np.float64), strict=True)))
    if len(table) != n_components:
        raise TableUnusable(subject, f"{len(table)} rows for {n_components} components")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _refuse_what_is_no_table(x: Any) -> None:
    """Raise `TableUnusable` where something is nearly a table, naming what makes it one."""
    if hasattr(x, "tocoo"):
        raise TableUnusable(NAME, "sparse data is not supported", "x.toarray()")
    if hasattr(x, "to_frame"):
        raise TableUnusable(NAME, "one column, not a table of columns", "x.to_frame()")
    if hasattr(x, "collect"):
        raise TableUnusable(NAME, "not evaluated yet", "x.collect()")


def _of_frame(frame: Any) -> Any:
    """Return the columns of a frame as an Arrow table, without those of its index."""
    try:
        table = pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TableUnusable(NAME, f"is not a table: {str(error).splitlines()[0]}") from error
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return table.drop_columns([name for name in index if isinstance(name, str)])


def _side_by_side(arrays: Mapping[Any, Any]) -> InMemory:
    """Return arrays in the order of their keys; an array of one dimension is a column."""
    try:
        keys = sorted(arrays)
    except TypeError as error:
        raise TableUnusable(NAME, f"its keys cannot be sorted: {error}") from error
    columns = [np.asanyarray(arrays[key]) for key in keys]  # a mask stays
    matrices = [_matrix(x[:, np.newaxis] if x.ndim == 1 else x) for x in columns]
    is_named = all(isinstance(key, str) for key in keys) and all(x.shape[1] == 1 for x in matrices)
    return InMemory(_joined(matrices, axis=1), keys=tuple(keys) if is_named else None)


def _one_below_the_other(parts: list[InMemory]) -> InMemory:
    """Return arrays as one, or tables, whose columns are matched by name."""
    if all(part.is_array for part in parts):
        keys = {part.keys for part in parts}
        if len(keys) > 1:
            raise TableUnusable(NAME, "its parts differ: mappings have different keys")
        return InMemory(
            _joined([part.content for part in parts], axis=0), keys=parts[0].keys if parts else None
        )
    if any(part.is_array for part in parts):
        raise TableUnusable(NAME, "its parts differ: some are arrays, others are tables with names")
    try:
        tables = [part.content.select(parts[0].content.column_names) for part in parts]
        return InMemory(pa.concat_tables(tables, promote_options="permissive"))
    except (pa.ArrowException, KeyError) as error:
        raise TableUnusable(NAME, f"its parts differ: {error}") from error


def _joined(arrays: list[Any], axis: int) -> Any:
    """Return arrays side by side, or one below the other; TableUnusable where they do not fit."""
    try:
        return np.concatenate(arrays, axis=axis)
    except ValueError as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise TableUnusable(NAME, f"its arrays differ in shape: {shapes or 'none'}") from error


def _matrix(x: Any) -> Any:
    """Return an array of rows and columns; TableUnusable where it is none of numbers."""
    try:
        array = x if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
        if array.dtype.kind in "mM":
            raise NoNumbers(NAME, "times are not numbers: subtract one, and divide by a unit")
        if array.dtype.kind not in "cfiub":
            array = array.astype(np.float64)
    except NoNumbers:
        raise
    except TypeError as error:
        raise NoNumbers(NAME, str(error)) from error
    except (ValueError, OverflowError) as error:
        raise TableUnusable(NAME, f"is not a table of numbers: {error}") from error
    if array.dtype.kind == "c":
        raise TableUnusable(NAME, "Complex data not supported: give real and imaginary parts as columns")
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64), np.nan)
    if array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = array.astype(np.float64)
    # "Reshape your data", "0 feature(s)" and so on are words that scikit-learn's tools look for.
    if array.ndim == 1 and array.size:
        shape = "Reshape your data: x.reshape(-1, 1) is one column, x.reshape(1, -1) one row"
        raise TableUnusable(NAME, f"one dimension, not rows and columns. {shape}")
    if array.ndim != 2:
        raise TableUnusable(NAME, f"shape {array.shape}, not rows and columns")
    if not array.shape[1]:
        raise TableUnusable(NAME, f"0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    return array
