"""Parquet, and Arrow files and streams: columns that know their types."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from gmmcli.core.arrays import Array
from gmmcli.errors import GmmError, TableUnusable, from_os_error, lacks_memory
from gmmcli.remedies import Exclude
from gmmcli.tables import wording
from gmmcli.tables.arrow import is_numeric, is_text
from gmmcli.tables.batch import Batch
from gmmcli.tables.notations import is_number_as_text
from gmmcli.tables.numbers import Doubt
from gmmcli.tables.stream import ByteStream

BATCH_ROWS = 65_536
# Rows in which numbers that are stored as text are looked for.
_LOOKED_AT = 1000
# Columns by position -> record batches that hold at least these.
Scan = Callable[[list[int]], Iterator[Any]]


class TypedReader:
    """One table in a typed format.

    Parameters
    ----------
    schema : pyarrow.Schema
    column_names : tuple of str
        Those of the schema, which may not even be UTF-8 before they are decoded.
    scan : callable
        From positions of columns to record batches.
    name : str
        For messages.
    close : callable
    first_row : int
        Number of the first row, for messages.
    look : callable, optional
        Like `scan`, for rows that are read later; if not given, a scan does not take the rows away.
    n_rows : int or None
        If known.
    """

    def __init__(
        self,
        schema: Any,
        column_names: tuple[str, ...],
        scan: Scan,
        name: str,
        close: Callable[[], None],
        first_row: int = 0,
        look: Scan | None = None,
        n_rows: int | None = None,
    ) -> None:
        self.n_rows = n_rows
        self._look = look or scan
        self._first_row = first_row
        self._schema = schema
        self.column_names = column_names
        self.numeric = frozenset(j for j, field in enumerate(schema) if is_numeric(field.type))
        self.index_columns = _find_index(schema, column_names)
        self._scan = scan
        self._name = name
        self.close = close

    def explain(self, column: int) -> TableUnusable:
        """Return the error that names the type of a column."""
        field = self._schema.field(column)
        fact = f"{wording.column(field.name)}: not numbers but {field.type}"
        return TableUnusable(self._name, fact, Exclude((field.name,)))

    def doubts(self, columns: Sequence[int]) -> dict[int, Doubt]:
        """Return which columns of text begin with numbers: the first rows are looked at."""
        texts = [j for j in columns if is_text(self._schema.field(j).type)]
        found: dict[int, Doubt] = {}
        if not texts:
            return found
        with _reporting(self._name):
            batches = list(itertools.islice(self._look(texts), 1))
            for batch in batches:
                batch.validate(full=True)
        for batch, column in itertools.product(batches, texts):
            values = batch.column(batch.schema.get_field_index(self.column_names[column]))[:_LOOKED_AT]
            for row, value in enumerate(values.to_pylist()):
                if value is not None and is_number_as_text(value):
                    found[column] = Doubt.of_type(f"{self._name}: row {row + 1}", value)
                    break
        return found

    def rename(self) -> None:
        """Return no command: names of a typed format are not those of a line."""

    def batches(self, features: Sequence[int], extra: Sequence[int]) -> Iterator[Batch]:
        """Read the rows.

        Raises
        ------
        TableUnusable
            The file is damaged, a column is not numeric, or a value is infinite.
        """
        for column in features:
            if column not in self.numeric:
                raise self.explain(column)
        first_row = self._first_row
        with _reporting(self._name):
            for batch in self._scan(sorted({*features, *extra})):
                # Offsets that lie, and text that is none, must be found here: later they are believed.
                batch.validate(full=True)
                if batch.num_rows:
                    yield self._batch(batch, features, extra, first_row)
                    first_row += batch.num_rows

    def empty(self, features: Sequence[int], extra: Sequence[int]) -> Batch:
        """Return a batch without rows."""
        nothing = {self.column_names[j]: pa.array([], self._schema.field(j).type) for j in extra}
        return Batch(np.empty((len(features), 0)), nothing, lambda row: self._name)

    def _batch(self, batch: Any, features: Sequence[int], extra: Sequence[int], first_row: int) -> Batch:
        """Return the rows of a record batch."""

        def locate(row: int) -> str:
            return f"{self._name}: row {first_row + row + 1}"

        names = {column: self.column_names[column] for column in {*features, *extra}}
        values = {column: batch.column(batch.schema.get_field_index(names[column])) for column in names}
        X = np.empty((len(features), batch.num_rows))
        for target, column in zip(X, features, strict=True):
            target[:] = _to_doubles(values[column])
        infinite = np.isinf(X)
        if infinite.any():
            row = int(np.flatnonzero(infinite.any(axis=0))[0])
            name = names[features[int(np.flatnonzero(infinite[:, row])[0])]]
            raise TableUnusable(locate(row), f"{wording.column(name)}: infinite value")
        return Batch(X, {names[column]: values[column] for column in extra}, locate)


def open_parquet(stream: ByteStream, name: str, n_threads: int) -> TypedReader:
    """Return a reader of a Parquet file, by way of a temporary one if it does not seek.

    Raises
    ------
    TableUnusable
        It is damaged.
    """
    from pyarrow import parquet

    file = stream.spool()
    with _opening(file, name):
        table = parquet.ParquetFile(file)
        schema = table.schema_arrow
        column_names = tuple(schema.names)

    def scan(columns: list[int]) -> Iterator[Any]:
        names = [column_names[column] for column in columns]
        batches: Iterator[Any] = table.iter_batches(BATCH_ROWS, columns=names, use_threads=n_threads > 1)
        return batches

    return TypedReader(schema, column_names, scan, name, file.close, n_rows=table.metadata.num_rows)


def open_arrow(stream: ByteStream, name: str, *, is_file: bool) -> TypedReader:
    """Return a reader of an Arrow file or stream.

    Parameters
    ----------
    stream : ByteStream
    name : str
    is_file : bool
        The format that ends in an index and so needs to seek; otherwise the streaming one.

    Raises
    ------
    TableUnusable
        It is damaged.
    """
    source = stream.spool() if is_file else pa.PythonFile(stream, mode="r")
    with _opening(source, name):
        opened = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        column_names = tuple(opened.schema.names)

    held: list[Any] = []

    def divide(batches: Iterable[Any], columns: list[int]) -> Iterator[Any]:
        for batch in batches:
            chosen = batch.select(columns)
            for begin in range(0, chosen.num_rows, BATCH_ROWS):
                yield chosen.slice(begin, BATCH_ROWS)

    def scan(columns: list[int]) -> Iterator[Any]:
        if is_file:
            return divide(map(opened.get_batch, range(opened.num_record_batches)), columns)
        return divide(itertools.chain(held, opened), columns)

    def look(columns: list[int]) -> Iterator[Any]:
        # A stream gives each batch once: up to the first with rows they are held until the scan.
        while not any(batch.num_rows for batch in held) and (batch := next(iter(opened), None)) is not None:
            held.append(batch)
        return divide(held, columns)

    return TypedReader(opened.schema, column_names, scan, name, source.close, look=None if is_file else look)


@contextmanager
def _opening(file: Any, name: str) -> Iterator[None]:
    """Report what Arrow says about a file, and close it where it cannot be opened."""
    try:
        with _reporting(name):
            yield
    except BaseException:
        file.close()
        raise


@contextmanager
def _reporting(name: str) -> Iterator[None]:
    """Turn what Arrow says about the content into one line, what the system says into its error."""
    try:
        yield
    except GmmError:
        raise
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise from_os_error(name, error) from error
        if lacks_memory(error):  # no fault of the file
            raise MemoryError(str(error)) from error
        lines = str(error).splitlines() or [type(error).__name__]
        raise TableUnusable(name, f"damaged: {lines[0].rstrip('.')}") from error


def _find_index(schema: Any, column_names: Sequence[str]) -> frozenset[int]:
    """Return the positions of the columns that pandas wrote as the index of a frame."""
    try:
        described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        names = {name for name in described.get("index_columns", ()) if isinstance(name, str)}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return frozenset()
    return frozenset(j for j, name in enumerate(column_names) if name in names)


def _to_doubles(values: Any) -> Array:
    """Return an Arrow array as doubles, NaN for null."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_decimal(values.type):
        # By way of text: the direct conversion does not round to the nearest double.
        values = values.cast(pa.string()).cast(pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
