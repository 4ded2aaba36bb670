"""CSV and TSV: a header, then chunks of records that Arrow parses.

Where Arrow refuses a chunk, or finds what is not finite, the chunk is read again slowly by the grammar of
`delimited`, which decides what is a number and names the first cell that is none.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import compress, count
from operator import not_
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from gmmcli.core.arrays import Array
from gmmcli.errors import TableUnusable
from gmmcli.remedies import AnyOf, Emptied, Exclude, quoted
from gmmcli.tables import notations, numbers, rendering, wording
from gmmcli.tables.arrow import is_numeric
from gmmcli.tables.batch import Batch
from gmmcli.tables.chunks import INFERENCE_BYTES, Chunk, iter_chunks, parse_ahead
from gmmcli.tables.delimited import Grammar, Record
from gmmcli.tables.header import read_header
from gmmcli.tables.notations import Edit, Survey, as_filter, make_edits, read_notation, value_of
from gmmcli.tables.numbers import Doubt
from gmmcli.tables.records import check_bytes, check_quotes, is_plain, open_quote
from gmmcli.tables.stream import ByteStream

# With fewer bytes than this for each column, Arrow takes longer to begin than the grammar to read all.
_FEW_BYTES = 100
# A longer header is not repeated in a hint.
_LONGEST_HEADER = 300
# A longer text is no word for a missing value.
_LONGEST_WORD = 20


class TextReader:
    """One table of delimited text.

    Parameters
    ----------
    stream : ByteStream
        After the byte order mark.
    name : str
        For messages.
    delimiter : bytes
    n_threads : int

    Raises
    ------
    TableUnusable
        There is no header, or none that can be used.
    """

    index_columns = frozenset[int]()
    n_rows: int | None = None

    def __init__(self, stream: ByteStream, name: str, delimiter: bytes, n_threads: int) -> None:
        self._stream = stream
        self._name = name
        self._grammar = Grammar(delimiter)
        self._n_threads = n_threads
        self._has_flags = False
        self.close = stream.close
        self.column_names, self._header_bytes, n_lines = read_header(stream, name, self._grammar)
        self._first_line = n_lines + 1

    @cached_property
    def numeric(self) -> frozenset[int]:
        """Positions of the columns of numbers, judged by the first MiB."""
        return frozenset(range(len(self.column_names))) - self._not_numbers.keys()

    def explain(self, column: int) -> TableUnusable:
        """Return the error about the first cell of a column that is not a number."""
        place, cell = self._not_numbers[column]
        return self._not_a_number(self._head.data, place, column, cell).without(Emptied)

    def doubts(self, columns: Sequence[int]) -> dict[int, Doubt]:
        """Return why columns of numbers are not: any cell of the first MiB is a number, or nearly one."""
        surveys = {column: Survey() for column in columns}
        head = self._head.data
        for record in self._grammar.iter_records(head):
            if len(record.fields) == len(self.column_names):
                for column, survey in surveys.items():
                    survey.add(record.fields[column])
        units_place = self._units_place()
        found = dict[int, Doubt]()
        attempts = dict[tuple[Edit, ...], frozenset[int]]()
        for column, survey in surveys.items():
            if not survey.has_number:
                continue
            place, cell = self._not_numbers[column]
            text = cell.decode("utf-8", "replace")
            reading = read_notation(text)
            if (conflict := survey.find_conflict()) is not None:
                found[column] = Doubt(place, conflict, "ambiguous")
            elif reading is None and survey.n_texts == 1 and place == units_place:
                fact = f'not a number: "{wording.shown(text)}", below the header'
                way_out = self._mended_by(f"sed {self._first_line}d")
                found[column] = Doubt(place, fact, "units", way_out)
            elif reading is None:
                emptied = self._emptied(head, column, cell) if len(survey.texts) == 1 else None
                found[column] = replace(Doubt.of_text(place, text), way_out=emptied)
            else:
                edits = () if survey.n_texts else make_edits(survey.marks, self._grammar.kind)
                if edits not in attempts:
                    attempts[edits] = self._mended_columns(head, edits)
                command = (
                    self._mended_by(as_filter(edits, self._first_line - 1))
                    if column in attempts[edits]
                    else None
                )
                fact = f'"{wording.shown(text)}" has {reading.names}'
                found[column] = Doubt(place, fact, f"{reading.names}: {command}", command)
        return found

    def _units_place(self) -> str | None:
        """Return the place of a line of units below the header: a row without a number."""
        chunk = self._head
        record = next(self._grammar.iter_records(chunk.data), None)
        if record is None or any(map(numbers.has_digits, record.fields)):
            return None
        return chunk.line_of(record.start)

    def _mended_columns(self, data: bytes, edits: tuple[Edit, ...]) -> frozenset[int]:
        """Return the columns that edits turn into numbers; none if a cell changes wrongly."""
        mended, lines = [], data.split(b"\n")
        for line in lines:
            for edit in edits:
                line = edit.apply(line)
            mended.append(line)
        pairs = zip(
            self._grammar.iter_records(data), self._grammar.iter_records(b"\n".join(mended)), strict=False
        )
        numeric = set(range(len(self.column_names)))
        for before, after in pairs:
            if len(before.fields) != len(after.fields):
                return frozenset()
            for column, (old, new) in enumerate(zip(before.fields, after.fields, strict=True)):
                number = numbers.parse_number(new) if old != new or column in numeric else math.nan
                if old != new and (number is None or number != value_of(old)):
                    return frozenset()
                if number is None:
                    numeric.discard(column)
        return frozenset(numeric)

    def _mended_by(self, command: str) -> str:
        """Return what to type to put the table through a filter."""
        return self._stream.mended_by(command, kind=self._grammar.kind)

    def rename(self) -> str | None:
        """Return the command that gives each column a name of its own; None for a long header."""
        names = list(self.column_names)
        for column, name in enumerate(names):
            others = {*self.column_names, *names[:column]}
            if name and name in names[:column]:
                names[column] = next(new for i in count(2) if (new := f"{name}_{i}") not in others)
        header = re.sub(r"[\\&/]", r"\\\g<0>", rendering.header(names, self._grammar.delimiter.decode()))
        is_short = (
            self._first_line == 2
            and len(header) <= _LONGEST_HEADER
            and header.replace("\t", "").isprintable()
        )
        return self._mended_by(f"sed {quoted(f'1s/.*/{header}/')}") if is_short else None

    def batches(self, features: Sequence[int], extra: Sequence[int]) -> Iterator[Batch]:
        """Parse the records.

        Raises
        ------
        TableUnusable
            Of all that is wrong with the table, what comes first.
        """
        parse = partial(self._parse, features=features, extra=extra)
        n_columns = len(self.column_names)
        chunks = iter_chunks(self._stream, self._grammar.find_end, self._name, self._first_line, n_columns)
        return (batch for batch in parse_ahead(parse, chunks, self._n_threads) if batch.n_rows)

    def empty(self, features: Sequence[int], extra: Sequence[int]) -> Batch:
        """Return a batch without rows."""
        nothing = {self.column_names[j]: pa.array([], pa.string()) for j in extra}
        return Batch(np.empty((len(features), 0)), nothing, lambda row: self._name)

    @property
    def _head(self) -> Chunk:
        """The records of the first MiB that have not been taken."""
        head = self._stream.peek(max(INFERENCE_BYTES - self._header_bytes, 0))
        if len(head) < INFERENCE_BYTES - self._header_bytes and not head.endswith(b"\n"):
            head += b"\n"
        return Chunk(head[: self._grammar.find_end(head)], self._first_line, self._name)

    @cached_property
    def _not_numbers(self) -> dict[int, tuple[str, bytes]]:
        """Place and content of the first cell that is not a number, for each column that has one."""
        chunk = self._head
        doubtful = self._doubtful_columns(chunk.data)
        found: dict[int, tuple[str, bytes]] = {}
        for record in self._grammar.iter_records(chunk.data):
            if not doubtful:
                break
            if len(record.fields) == len(self.column_names):
                is_number = [numbers.parse_number(record.fields[j]) is not None for j in doubtful]
                place = chunk.line_of(record.start) if not all(is_number) else ""
                found |= {j: (place, record.fields[j]) for j in compress(doubtful, map(not_, is_number))}
                doubtful = list(compress(doubtful, is_number))
        return found

    def _doubtful_columns(self, data: bytes) -> list[int]:
        """Return the columns that Arrow does not recognise as numbers at once."""
        every = list(range(len(self.column_names)))
        if len(data) < _FEW_BYTES * len(every):
            return every
        try:
            table = self._read_arrow(data, every, None, numbers.MISSING)
        except pa.ArrowInvalid:
            return every
        # To Arrow 0x10 is an integer, though no double.
        has_hexadecimals = b"0x" in data or b"0X" in data
        return [j for j in every if has_hexadecimals or not _is_plainly_numeric(table.column(j))]

    def _parse(self, chunk: Chunk, features: Sequence[int], extra: Sequence[int]) -> Batch:
        """Parse a chunk."""
        X = None
        if (
            chunk.is_whole
            and len(chunk.data) >= _FEW_BYTES * len(features)
            and is_plain(chunk.data, self._grammar)
        ):
            X = self._read_numbers(chunk.data, features)
        if X is None:
            X = self._read_slowly(chunk, features)
        texts: dict[str, Any] = {}
        if extra and X.shape[1]:
            table = self._read_arrow(chunk.data, extra, pa.string(), ("",))
            columns = [column.combine_chunks() for column in table.columns]
            texts = dict(zip((self.column_names[j] for j in extra), columns, strict=True))
        return Batch(X, texts, partial(self._locate, chunk))

    def _read_numbers(self, data: bytes, features: Sequence[int]) -> Array | None:
        """Return the features' cells, or None where Arrow cannot tell or something is not finite."""
        table = self._read_typed(data, features)
        if table is None:
            return None
        X = np.empty((len(features), table.num_rows))
        for row, column in zip(X, table.columns, strict=True):
            row[:] = (
                column if pa.types.is_floating(column.type) else column.cast(pa.float64(), safe=False)
            ).to_numpy()
            if np.count_nonzero(np.isfinite(row)) + column.null_count < table.num_rows:
                return None
        return X

    def _read_typed(self, data: bytes, features: Sequence[int]) -> Any:
        """Return the features' cells as floats, integers and flags; None where Arrow finds something else."""
        if not self._has_flags:
            try:
                return self._read_arrow(data, features, pa.float64(), numbers.MISSING)
            except pa.ArrowInvalid:
                if b"true" not in data.lower() and b"false" not in data.lower():
                    return None
        try:
            table = self._read_arrow(data, features, None, numbers.MISSING)
        except pa.ArrowInvalid:
            return None
        are_known = all(map(is_numeric, table.schema.types)) and b"0x" not in data.lower()
        self._has_flags = self._has_flags or are_known
        return table if are_known else None

    def _read_arrow(self, data: bytes, columns: Sequence[int], kind: Any, missing: Sequence[str]) -> Any:
        """Return columns of whole records as an Arrow table; of any type where `kind` is None."""
        names = [str(j) for j in range(len(self.column_names))]
        wanted = [names[j] for j in columns]
        return csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            parse_options=csv.ParseOptions(
                delimiter=self._grammar.delimiter.decode(),
                newlines_in_values=True,
                ignore_empty_lines=len(names) > 1,
            ),
            convert_options=csv.ConvertOptions(
                include_columns=wanted,
                column_types={} if kind is None else dict.fromkeys(wanted, kind),
                null_values=list(missing),
                strings_can_be_null=True,
            ),
        )

    def _read_slowly(self, chunk: Chunk, features: Sequence[int]) -> Array:
        """Return the features' cells, or raise `TableUnusable` about what comes first."""
        rows = []
        is_text = is_plain(chunk.data, self._grammar)
        for record in self._grammar.iter_records(chunk.data):
            if not is_text:
                check_bytes(self._stream, chunk, record, self._grammar)
                check_quotes(chunk, record, self._grammar)
            if self._is_skipped(record):
                continue
            if len(record.fields) != len(self.column_names):
                n, found = len(self.column_names), len(record.fields)
                fact = f"{wording.counted(n, 'column')} expected, {found} found"
                line = chunk.data[record.start : record.end].rstrip(b"\r\n")
                without = "#" if line.startswith(b"#") else " *$" if not line.strip(b" ") else None
                hint = None if without is None else self._mended_by(f"grep -v '^{without}'")
                raise TableUnusable(chunk.line_of(record.start), fact, hint)
            rows.append([self._value(chunk, record, column) for column in features])
        if not chunk.is_whole:
            raise open_quote(chunk, self._grammar.find_open_quote(chunk.data))
        return np.array(rows, dtype=np.float64).reshape(-1, len(features)).T.copy()

    def _value(self, chunk: Chunk, record: Record, column: int) -> float:
        """Return the number in a cell."""
        cell = record.fields[column]
        value = numbers.parse_number(cell)
        if value is None:
            raise self._not_a_number(chunk.data, chunk.line_of(record.start), column, cell)
        if math.isinf(value):
            overflows = numbers.has_digits(cell)
            fact = f"does not fit a double: {wording.shown(cell.strip())}" if overflows else "infinite value"
            name = wording.column(self.column_names[column])
            raise TableUnusable(chunk.line_of(record.start), f"{name}: {fact}")
        return value

    def _not_a_number(self, data: bytes, place: str, column: int, cell: bytes) -> TableUnusable:
        """Return the error about a cell of some records."""
        name = self.column_names[column]
        fact = f'{wording.column(name)}: not a number: "{wording.shown(cell)}"'
        without, emptied = Exclude((name,)), self._emptied(data, column, cell)
        return TableUnusable(place, fact, without if emptied is None else AnyOf((without, emptied)))

    def _emptied(self, data: bytes, column: int, cell: bytes) -> Emptied | None:
        """Return what to type if a text in some records means missing; None if it can be no word for that."""
        word = cell.decode("utf-8", "replace").strip(" \t")
        is_word = word.isprintable() and len(word) <= _LONGEST_WORD and not re.search(r'[0-9"]', word)
        # The command divides a line at each delimiter, also at one in quotes.
        if not is_word or self._quotes_a_delimiter(data):
            return None
        command = notations.empty_cells(word, column, self._grammar.delimiter.decode())
        return Emptied(word, self._mended_by(command))

    def _quotes_a_delimiter(self, data: bytes) -> bool:
        """Tell whether a cell of some records holds a delimiter."""
        return b'"' in data and any(
            self._grammar.delimiter in field
            for record in self._grammar.iter_records(data)
            for field in record.fields
        )

    def _is_skipped(self, record: Record) -> bool:
        """Tell whether a record is a blank line that is no row: one column can be empty, several cannot."""
        return record.is_blank and len(self.column_names) > 1

    def _locate(self, chunk: Chunk, row: int) -> str:
        """Return the line where a row of a chunk starts."""
        rows = (record for record in self._grammar.iter_records(chunk.data) if not self._is_skipped(record))
        for i, record in enumerate(rows):
            if i == row:
                return chunk.line_of(record.start)
        raise IndexError(row)


def _is_plainly_numeric(column: Any) -> bool:
    """Tell whether Arrow took a column for numbers, and found no NaN but by the words for missing."""
    if not pa.types.is_floating(column.type):
        return is_numeric(column.type)
    return int(np.count_nonzero(np.isnan(column.to_numpy()))) == int(column.null_count)
