"""CSV and TSV: cut into chunks of whole records, parsed by Arrow, looked through again where that fails.

Arrow does not tell the line of a cell that is no number. So the chunk in hand is read once more, slowly.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from gmmcli.core.mixture import Array
from gmmcli.errors import TableUnusable
from gmmcli.tables.batch import Batch
from gmmcli.tables.number import MISSING, is_number, looks_numeric, read_cell, shown
from gmmcli.tables.stream import Stream, read_available, reading

# Types are told from this much of the first operand.
SAMPLE_BYTES = 2**20
CHUNK_BYTES = 2**22
# A longer record means a quote that nothing closes.
MAX_RECORD_BYTES = 2**26
NEWLINE = b"\n"
_BOM = b"\xef\xbb\xbf"
_HINT_UTF8 = "iconv -f LATIN1 -t UTF-8"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Whole records, as bytes, and where they stand.

    Parameters
    ----------
    data : bytes
    first_line : int
        Physical line of the first byte, from 1.
    """

    data: bytes
    first_line: int


class TextReader:
    """A CSV or TSV operand.

    Parameters
    ----------
    stream : Stream
    delimiter : str
    n_threads : int

    Raises
    ------
    TableUnusable
        It is empty, or its first line is no header.
    """

    is_typed = False

    def __init__(self, stream: Stream, delimiter: str, n_threads: int) -> None:
        self._stream, self._delimiter, self._n_threads = stream, delimiter, n_threads
        self._name = stream.operand.name
        self._chunks = _iter_chunks(stream, delimiter)
        self._held: list[Chunk] = []
        header = self._take_header()
        self.column_names: Sequence[str] = header
        self._sample: Chunk | None = None

    def find_text_cell(self, column: str) -> tuple[str, str] | None:
        """Return where, and what, keeps a column from being numeric; None if it is numeric."""
        index = self.column_names.index(column)
        sample = self._read_sample()
        if index not in self._text_columns(sample):
            return None
        for line, row in self._records(sample):
            if not looks_numeric(row[index]):
                return f"{self._name}:{line}", row[index]
        return None

    def numeric_columns(self) -> set[int]:
        """Return the positions of columns whose every cell in the first MiB is a number or missing."""
        return set(range(len(self.column_names))) - self._text_columns(self._read_sample())

    def iter_batches(self, features: Sequence[str], extra: Sequence[str], operand: int) -> Iterator[Batch]:
        """Yield all rows; at least one batch, which may be empty."""
        plan = _Plan(
            tuple(self.column_names.index(name) for name in features),
            {name: self.column_names.index(name) for name in extra},
        )
        first_row = 0
        for chunk, (X, passed) in self._parse_ahead(plan):
            yield Batch(X, passed, operand, first_row, self._locator(chunk))
            first_row += X.shape[1]
        if not first_row:
            columns = {name: pa.array([], pa.string()) for name in extra}
            yield Batch(np.empty((len(features), 0)), columns, operand, 0, lambda row: self._name)

    def close(self) -> None:
        """Let go of the operand."""
        self._stream.close()

    def _take_header(self) -> list[str]:
        """Read the first record; keep what follows it."""
        chunk = next(self._chunks, None)
        if chunk is None:
            raise TableUnusable(self._name, "empty: not even a header")
        skipped = re.match(rb"(?:[ \t]*\r?\n)*", chunk.data)
        start = skipped.end() if skipped else 0
        line = chunk.first_line + chunk.data.count(b"\n", 0, start)
        found = _record_pattern(self._delimiter).match(chunk.data, start)
        end = found.end() if found and found.end() > start else len(chunk.data)
        record = Chunk(chunk.data[start:end], line)
        _, header = next(self._iter_rows(record), (line, []))
        self._check_header(header, line)
        self._held.append(Chunk(chunk.data[end:], line + record.data.count(b"\n")))
        return header

    def _check_header(self, header: list[str], line: int) -> None:
        """Raise where the first record is no header of ours."""
        where = f"{self._name}:{line}"
        if not any(header):
            raise TableUnusable(where, "empty: not even a header")
        if all(map(is_number, header)):
            names = self._delimiter.join(f"x{i}" for i in range(len(header)))
            escaped = names.replace("\t", "\\t")
            raise TableUnusable(
                where, "the header is made of numbers only", f"sed '1i {escaped}' {self._name}"
            )
        if len(header) == 1 and ";" in header[0]:
            hint = f"tr ';' ',' < {self._name} | gmmcli ... -"
            raise TableUnusable(where, "columns are separated by semicolons, not commas", hint)

    def _read_sample(self) -> Chunk:
        """Return the first MiB of records; what is read stays to be yielded."""
        if self._sample is None:
            size = sum(len(chunk.data) for chunk in self._held)
            while size < SAMPLE_BYTES and (chunk := next(self._chunks, None)) is not None:
                self._held.append(chunk)
                size += len(chunk.data)
            data = b"".join(chunk.data for chunk in self._held)
            if len(data) > SAMPLE_BYTES:
                data = data[: _last_boundary(data[:SAMPLE_BYTES], self._delimiter) or len(data)]
            self._sample = Chunk(data, self._held[0].first_line)
        return self._sample

    def _text_columns(self, sample: Chunk) -> set[int]:
        """Return the positions of columns with a cell that is neither number nor missing."""
        try:
            everything = tuple(range(len(self.column_names)))
            self._parse_fast(sample, _Plan(everything, {}))
        except pa.ArrowInvalid:
            candidates = set(range(len(self.column_names)))
            for _, row in self._records(sample):
                candidates -= {i for i in candidates if not looks_numeric(row[i])}
            return set(range(len(self.column_names))) - candidates
        return set()

    def _iter_held(self) -> Iterator[Chunk]:
        """Yield every chunk after the header, once."""
        held, self._held = self._held, []
        yield from held
        yield from self._chunks

    def _parse_ahead(self, plan: "_Plan") -> Iterator[tuple[Chunk, "_Parsed"]]:
        """Yield chunks, parsed, in order; a file's on several threads, a pipe's as they arrive."""
        chunks = (chunk for chunk in self._iter_held() if chunk.data)
        if self._n_threads == 1 or not self._stream.is_plain_file:
            for chunk in chunks:
                yield chunk, self._parse(chunk, plan)
            return
        with ThreadPoolExecutor(self._n_threads) as pool:
            waiting: deque[tuple[Chunk, Future[_Parsed]]] = deque()
            try:
                for chunk in chunks:
                    waiting.append((chunk, pool.submit(self._parse, chunk, plan)))
                    if len(waiting) > self._n_threads:
                        first, future = waiting.popleft()
                        yield first, future.result()
                while waiting:
                    first, future = waiting.popleft()
                    yield first, future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _parse(self, chunk: Chunk, plan: "_Plan") -> "_Parsed":
        """Return the columns of a chunk."""
        self._check_bytes(chunk)
        try:
            X, passed = self._parse_fast(chunk, plan)
        except pa.ArrowInvalid:
            return self._parse_slowly(chunk, plan)
        if np.isinf(X).any():
            return self._parse_slowly(chunk, plan)
        return X, passed

    def _parse_fast(self, chunk: Chunk, plan: "_Plan") -> "_Parsed":
        """Parse with Arrow.

        Raises
        ------
        pyarrow.ArrowInvalid
        """
        numbers = self._read_columns(chunk, plan.features, pa.float64(), sorted(MISSING))
        X = np.empty((len(plan.features), numbers.num_rows))
        for i, index in enumerate(plan.features):
            X[i] = numbers.column(str(index)).to_numpy()
        if not plan.extra:
            return X, {}
        texts = self._read_columns(chunk, tuple(dict.fromkeys(plan.extra.values())), pa.string(), [""])
        return X, {name: texts.column(str(index)).combine_chunks() for name, index in plan.extra.items()}

    def _read_columns(self, chunk: Chunk, indices: Sequence[int], kind: Any, missing: list[str]) -> Any:
        """Return some columns of a chunk as one type, named by their positions."""
        names = [str(index) for index in range(len(self.column_names))]
        wanted = [str(index) for index in dict.fromkeys(indices)]
        return pa_csv.read_csv(
            pa.BufferReader(chunk.data),
            read_options=pa_csv.ReadOptions(
                column_names=names, use_threads=False, block_size=max(len(chunk.data), 1024)
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=b'"' in chunk.data,
                ignore_empty_lines=len(names) > 1,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, kind),
                include_columns=wanted,
                null_values=missing,
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                check_utf8=False,
            ),
        )

    def _parse_slowly(self, chunk: Chunk, plan: "_Plan") -> "_Parsed":
        """Parse record by record; raise for the first that is not as it should be."""
        columns: list[list[float]] = [[] for _ in plan.features]
        texts: dict[str, list[str | None]] = {name: [] for name in plan.extra}
        for line, row in self._records(chunk):
            for values, index in zip(columns, plan.features, strict=True):
                try:
                    values.append(read_cell(row[index]))
                except ValueError as error:
                    column = self.column_names[index]
                    raise not_numeric(f"{self._name}:{line}", column, str(error)) from None
            for name, index in plan.extra.items():
                texts[name].append(row[index] or None)
        X = np.array(columns, dtype=np.float64).reshape(len(plan.features), -1)
        return X, {name: pa.array(cells, pa.string()) for name, cells in texts.items()}

    def _records(self, chunk: Chunk) -> Iterator[tuple[int, list[str]]]:
        """Yield the line and cells of every record.

        Raises
        ------
        TableUnusable
            One has more or fewer cells than the header.
        """
        self._check_bytes(chunk)
        for line, row in self._iter_rows(chunk):
            if len(row) != len(self.column_names):
                fact = f"{_columns(len(self.column_names))} expected, {len(row)} found"
                raise TableUnusable(f"{self._name}:{line}", fact)
            yield line, row

    def _iter_rows(self, chunk: Chunk) -> Iterator[tuple[int, list[str]]]:
        """Yield the line and cells of every record, blank lines left out where they are none."""
        csv.field_size_limit(MAX_RECORD_BYTES)
        text = io.StringIO(chunk.data.decode("utf-8", "replace"), newline="")
        rows = csv.reader(text, delimiter=self._delimiter)
        line = chunk.first_line
        for row in rows:
            if row:
                yield line, row
            elif len(getattr(self, "column_names", ())) == 1:
                yield line, [""]
            line = chunk.first_line + rows.line_num

    def _locator(self, chunk: Chunk) -> Callable[[int], str]:
        """Return what finds the line of a row of the chunk."""

        def locate(row: int) -> str:
            for i, (line, _) in enumerate(self._iter_rows(chunk)):
                if i == row:
                    return f"{self._name}:{line}"
            return self._name

        return locate

    def _check_bytes(self, chunk: Chunk) -> None:
        """Raise where the bytes are not text."""
        position, fact, hint = chunk.data.find(b"\0"), "a NUL byte", "is it a text file?"
        if position < 0:
            if chunk.data.isascii():
                return
            try:
                chunk.data.decode()
            except UnicodeDecodeError as error:
                position, fact = error.start, f"not UTF-8: byte 0x{chunk.data[error.start]:02x}"
                hint = f"{_HINT_UTF8} {self._name}"
            else:
                return
        line = chunk.first_line + chunk.data.count(b"\n", 0, position)
        raise TableUnusable(f"{self._name}:{line}", fact, hint)


@dataclass(frozen=True)
class _Plan:
    """Positions of the columns to read as numbers, and of those to pass by name."""

    features: tuple[int, ...]
    extra: Mapping[str, int]


_Parsed = tuple[Array, dict[str, Any]]


def not_numeric(where: str, column: str, fact: str) -> TableUnusable:
    """Return the error about a cell of a column that has to be numeric."""
    return TableUnusable(where, f'column "{column}": {fact}', f"--exclude {column}")


def _columns(count: int) -> str:
    """Return "1 column", "2 columns"."""
    return f"{count} column" if count == 1 else f"{count} columns"


def _iter_chunks(stream: Stream, delimiter: str) -> Iterator[Chunk]:
    """Yield chunks of whole records."""
    pending, line, first = b"", 1, True
    name = stream.operand.name
    while True:
        with reading(name):
            if stream.is_plain_file:
                data = stream.bytes.read(CHUNK_BYTES)
            else:
                data = read_available(stream.bytes, CHUNK_BYTES)
        if not data:
            break
        pending += data
        if first and len(pending) >= len(_BOM):
            pending, first = pending.removeprefix(_BOM), False
        end = _last_boundary(pending, delimiter)
        if end:
            yield Chunk(pending[:end], line)
            line += pending.count(b"\n", 0, end)
            pending = pending[end:]
        elif len(pending) > MAX_RECORD_BYTES:
            break
    if pending:
        _check_quotes(pending, line, name, delimiter)
        yield Chunk(pending, line)


def _last_boundary(data: bytes, delimiter: str) -> int:
    """Return where the last whole record ends."""
    if b'"' not in data:
        return data.rfind(b"\n") + 1
    found = _records_pattern(delimiter).match(data)
    return found.end() if found else 0


def _check_quotes(data: bytes, line: int, name: str, delimiter: str) -> None:
    """Raise where the rest of a table has a quote that nothing closes."""
    whole = _records_pattern(delimiter).match(data + b"\n")
    end = whole.end() if whole else 0
    if end >= len(data):
        return
    opened = _record_start_pattern(delimiter).match(data, end)
    position = opened.end() if opened else end
    where = f"{name}:{line + data.count(NEWLINE, 0, position)}"
    raise TableUnusable(
        where,
        f"a quote that nothing closes: {shown(data[position : position + 40].decode(errors='replace'))}",
    )


@lru_cache
def _field(delimiter: str) -> bytes:
    """Return the pattern of one field."""
    d = re.escape(delimiter).encode()
    return rb'(?:"(?:[^"]++|"")*+"[^%b\r\n]*+|(?!")[^%b\r\n]*+)' % (d, d)


@lru_cache
def _record_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Return the pattern of one record with its line end. A CR ends a line too, unless an LF may follow."""
    d, field = re.escape(delimiter).encode(), _field(delimiter)
    return re.compile(rb"%b(?:%b%b)*+(?:\r?\n|\r(?!\n)(?=[\s\S]))" % (field, d, field))


@lru_cache
def _records_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Return the pattern of as many records as there are."""
    return re.compile(rb"(?:%b)*+" % _record_pattern(delimiter).pattern)


@lru_cache
def _record_start_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Return the pattern of a record's whole fields, before one that does not end."""
    d, field = re.escape(delimiter).encode(), _field(delimiter)
    return re.compile(rb"(?:%b%b)*+" % (field, d))
