"""JSON lines: one object per line, its values typed."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pa_json

from gmmcli.errors import TableUnusable
from gmmcli.tables.batch import Batch
from gmmcli.tables.number import shown
from gmmcli.tables.stream import Stream, read_available, reading
from gmmcli.tables.text import CHUNK_BYTES, NEWLINE, SAMPLE_BYTES, Chunk, not_numeric
from gmmcli.tables.typed import as_doubles, is_numeric_type


class JsonLinesReader:
    """A JSON lines operand; its columns are the keys of the objects in the first MiB.

    Parameters
    ----------
    stream : Stream

    Raises
    ------
    TableUnusable
        A line of the first MiB is not an object.
    """

    is_typed = True

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._name = stream.operand.name
        self._chunks = self._iter_chunks()
        first = next(self._chunks, None)
        if first is None:
            raise TableUnusable(self._name, "empty: not even a header")
        self._first = first
        self._schema: Any = self._infer(first)
        self.column_names: Sequence[str] = self._schema.names

    def find_text_cell(self, column: str) -> tuple[str, str] | None:
        """Return where, and what, keeps a column from being numeric; None if it is numeric."""
        if is_numeric_type(self._schema.field(column).type):
            return None
        for line, row in self._objects(self._first):
            value = row.get(column)
            if value is not None and not isinstance(value, (int, float)):
                return f"{self._name}:{line}", str(value)
        return self._name, str(self._schema.field(column).type)

    def numeric_columns(self) -> set[int]:
        """Return the positions of columns of a numeric type."""
        return {i for i, field in enumerate(self._schema) if is_numeric_type(field.type)}

    def iter_batches(self, features: Sequence[str], extra: Sequence[str], operand: int) -> Iterator[Batch]:
        """Yield all rows; at least one batch, which may be empty."""
        kinds = {name: self._schema.field(name).type for name in extra} | dict.fromkeys(
            features, pa.float64()
        )
        schema = pa.schema(list(kinds.items()))
        passed_kinds = {name: self._schema.field(name).type for name in extra}
        first_row = 0
        for chunk in self._iter_all():
            if not chunk.data.strip():
                continue
            table = self._read(chunk, schema)
            if table is None or any(np.isinf(as_doubles(table.column(name))).any() for name in features):
                table = self._read_slowly(chunk, features, passed_kinds)
            X = np.empty((len(features), table.num_rows))
            for i, name in enumerate(features):
                X[i] = as_doubles(table.column(name))
            passed = {name: table.column(name).combine_chunks() for name in extra}
            yield Batch(X, passed, operand, first_row, self._locator(chunk))
            first_row += table.num_rows
        if not first_row:
            columns = {name: pa.array([], kind) for name, kind in passed_kinds.items()}
            yield Batch(np.empty((len(features), 0)), columns, operand, 0, lambda row: self._name)

    def close(self) -> None:
        """Let go of the operand."""
        self._stream.close()

    def _iter_chunks(self) -> Iterator[Chunk]:
        """Yield chunks of whole lines, the first of a MiB unless the operand is shorter."""
        pending, line, least = b"", 1, SAMPLE_BYTES
        while True:
            with reading(self._name):
                data = read_available(self._stream.bytes, CHUNK_BYTES)
            if not data:
                break
            pending += data
            if len(pending) >= least and (end := pending.rfind(NEWLINE) + 1):
                yield Chunk(pending[:end], line)
                line += pending.count(NEWLINE, 0, end)
                pending, least = pending[end:], 1
        if pending.strip():
            yield Chunk(pending, line)

    def _iter_all(self) -> Iterator[Chunk]:
        """Yield every chunk, once."""
        yield self._first
        yield from self._chunks

    def _infer(self, chunk: Chunk) -> Any:
        """Return the schema that a chunk's objects have."""
        table = self._read(chunk, None)
        if table is None:
            rows = [row for _, row in self._objects(chunk)]
            try:
                table = pa.Table.from_pylist(rows)
            except pa.ArrowException as error:
                raise TableUnusable(self._name, f"mixed types: {str(error).splitlines()[0]}") from error
        return table.schema

    def _read(self, chunk: Chunk, schema: Any) -> Any:
        """Parse with Arrow; None where it cannot."""
        try:
            table = pa_json.read_json(
                pa.BufferReader(chunk.data),
                read_options=pa_json.ReadOptions(use_threads=False, block_size=max(len(chunk.data), 1024)),
                parse_options=pa_json.ParseOptions(
                    explicit_schema=schema,
                    unexpected_field_behavior="infer" if schema is None else "ignore",
                ),
            )
        except pa.ArrowException:
            return None
        return table

    def _read_slowly(self, chunk: Chunk, features: Sequence[str], kinds: dict[str, Any]) -> Any:
        """Parse line by line; raise for the first value that is not as it should be."""
        values: dict[str, list[float]] = {name: [] for name in features}
        passed: dict[str, list[Any]] = {name: [] for name in kinds}
        for line, row in self._objects(chunk):
            for name in features:
                values[name].append(self._number(row.get(name), name, line))
            for name in kinds:
                passed[name].append(row.get(name))
        columns = {name: pa.array(cells, kinds[name]) for name, cells in passed.items()}
        columns |= {name: pa.array(cells, pa.float64()) for name, cells in values.items()}
        return pa.table(columns)

    def _number(self, value: Any, column: str, line: int) -> float:
        """Return a value as a double, NaN where it is missing."""
        if value is None:
            return float("nan")
        if not isinstance(value, (int, float)):
            raise not_numeric(f"{self._name}:{line}", column, f"not a number: {shown(str(value))}")
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if np.isinf(number):
            raise not_numeric(f"{self._name}:{line}", column, "infinite value, or too large for a double")
        return number

    def _objects(self, chunk: Chunk) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the line and the object of every line that is not blank."""
        for line, text in enumerate(chunk.data.split(NEWLINE), chunk.first_line):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise TableUnusable(f"{self._name}:{line}", f"not JSON: {error}".lower()) from None
            if not isinstance(row, dict):
                raise TableUnusable(f"{self._name}:{line}", "not a JSON object")
            yield line, row

    def _locator(self, chunk: Chunk) -> Callable[[int], str]:
        """Return what finds the line of a row of the chunk."""

        def locate(row: int) -> str:
            lines = [
                line for line, text in enumerate(chunk.data.split(NEWLINE), chunk.first_line) if text.strip()
            ]
            return f"{self._name}:{lines[row]}"

        return locate
