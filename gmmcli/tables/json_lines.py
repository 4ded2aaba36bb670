"""JSON lines: an object per line. Typed: a text that looks like a number is a text."""

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.errors import TableUnusable
from gmmcli.remedies import Exclude
from gmmcli.tables import numbers, wording
from gmmcli.tables.batch import MOST_LATE, Batch, Late
from gmmcli.tables.chunks import INFERENCE_BYTES, MAX_RECORD_BYTES, Chunk, iter_chunks, parse_ahead
from gmmcli.tables.foreign import refuse_table_in_object
from gmmcli.tables.json_text import JsonText, kind_of, texts_of
from gmmcli.tables.notations import is_number_as_text
from gmmcli.tables.numbers import Doubt
from gmmcli.tables.stream import ByteStream

_COLON = re.compile(rb'"[ \t\r]*:')
_NUMBERS = frozenset((int, float, bool, type(None)))


class JsonLinesReader:
    """One table of JSON lines.

    The columns are the keys of the objects in the first MiB; an absent key is a missing value.

    Parameters
    ----------
    stream : ByteStream
    name : str
        For messages.
    n_threads : int

    Raises
    ------
    TableUnusable
        A line of the first MiB is not an object, or there is none.
    """

    index_columns = frozenset[int]()
    n_rows: int | None = None

    def __init__(self, stream: ByteStream, name: str, n_threads: int) -> None:
        self._stream = stream
        self._name = name
        self._n_threads = n_threads
        self.close = stream.close
        head = _peek_lines(stream)
        rows = [row for _, row in _iter_objects(Chunk(head, 1, name))]
        by_key = _by_key(rows)
        self.column_names = tuple(by_key)
        if not rows:
            raise TableUnusable(name, "holds no JSON object" if head else "empty")
        if len(rows) == 1:
            refuse_table_in_object(stream, rows[0], name)
        self._known = frozenset(self.column_names)
        self._types = [JsonText(kind_of(values)) for values in by_key.values()]
        self._not_numbers = self._find_not_numbers(Chunk(head, 1, name))
        self.numeric = frozenset(range(len(self.column_names))) - self._not_numbers.keys()

    def explain(self, column: int) -> TableUnusable:
        """Return the error about the first value of a column that is not a number."""
        place, value = self._not_numbers[column]
        return self._not_a_number(place, column, value)

    def doubts(self, columns: Sequence[int]) -> dict[int, Doubt]:
        """Return why columns of numbers are not: any value of the first MiB is a number, or nearly one."""
        rows = [row for _, row in _iter_objects(Chunk(_peek_lines(self._stream), 1, self._name))]
        found = {}
        by_key = _by_key(rows)
        for column in columns:
            place, first = self._not_numbers[column]
            values = [value for value in by_key[self.column_names[column]] if value is not None]
            if any(map(_is_nearly_number, values)):
                is_text = isinstance(first, str)
                of_kind = Doubt.of_type if is_text and _is_nearly_number(first) else Doubt.of_text
                found[column] = of_kind(place, first if is_text else _as_json(first))
        return found

    def rename(self) -> None:
        """Return no command: no two keys are the same."""

    def batches(self, features: Sequence[int], extra: Sequence[int]) -> Iterator[Batch]:
        """Parse the lines.

        Raises
        ------
        TableUnusable
            Of all that is wrong with the table, what comes first.
        """
        parse = partial(self._parse, features=features, extra=extra)
        chunks = iter_chunks(self._stream, _find_end, self._name, 1)
        return (batch for batch in parse_ahead(parse, chunks, self._n_threads) if batch.n_rows)

    def empty(self, features: Sequence[int], extra: Sequence[int]) -> Batch:
        """Return a batch without rows."""
        nothing = {self.column_names[j]: self._types[j].array([]) for j in extra}
        return Batch(np.empty((len(features), 0)), nothing, lambda row: self._name)

    def _find_not_numbers(self, chunk: Chunk) -> dict[int, tuple[str, Any]]:
        """Return place and value of the first value that is not a number, for each column that has one."""
        position = {key: j for j, key in enumerate(self.column_names)}
        found: dict[int, tuple[str, Any]] = {}
        line, counted = chunk.first_line, 0
        for offset, row in _iter_objects(chunk):
            line, counted = line + chunk.data.count(b"\n", counted, offset), offset
            for key, value in row.items():
                if type(value) not in _NUMBERS and not _is_missing(value) and position[key] not in found:
                    found[position[key]] = (f"{chunk.subject}:{line}", value)
        return found

    def _parse(self, chunk: Chunk, features: Sequence[int], extra: Sequence[int]) -> Batch:
        """Parse a chunk."""
        offsets: list[int] = []
        rows: list[dict[str, Any]] = []
        problem = None
        try:
            for offset, row in _iter_objects(chunk):
                offsets.append(offset)
                rows.append(row)
        except TableUnusable as error:
            problem = error
        X = np.empty((len(features), len(rows)))
        keys = [self.column_names[j] for j in features]
        is_sound = all(_fill(x, [row.get(key) for row in rows]) for x, key in zip(X, keys, strict=True))
        if problem is not None or not is_sound:
            for offset, row in zip(offsets, rows, strict=True):
                self._check_features(chunk, offset, row, features)
        if problem is not None:
            raise problem
        late = self._find_late(chunk, offsets, rows)
        arrays = self._passed(chunk, offsets, extra)
        passed = dict(zip((self.column_names[j] for j in extra), arrays, strict=True))
        return Batch(X, passed, lambda row: chunk.line_of(offsets[row]), late)

    def _find_late(self, chunk: Chunk, offsets: list[int], rows: list[dict[str, Any]]) -> Late | None:
        """Find the first keys that no object of the first MiB has."""
        first, found = 0, dict[str, bool]()
        for offset, row in zip(offsets, rows, strict=True):
            if not self._known.issuperset(row):
                first = first if found else offset
                for key in sorted(row.keys() - self._known - found.keys()):
                    found[key] = type(row[key]) in _NUMBERS
                if len(found) >= MOST_LATE:
                    break
        columns = dict(itertools.islice(found.items(), MOST_LATE))
        return Late(chunk.line_of(first), columns) if found else None

    def _passed(self, chunk: Chunk, offsets: Sequence[int], extra: Sequence[int]) -> list[Any]:
        """Return passed columns of the lines that begin at offsets."""
        if not extra:
            return []
        ends = (chunk.data.find(b"\n", offset) for offset in offsets)
        lines = [chunk.data[a : b if b >= 0 else None] for a, b in zip(offsets, ends, strict=True)]
        texts = [texts_of(line.decode()) for line in lines]
        return [self._types[j].array([row.get(self.column_names[j]) for row in texts]) for j in extra]

    def _check_features(
        self, chunk: Chunk, offset: int, row: dict[str, Any], features: Sequence[int]
    ) -> None:
        """Raise `TableUnusable` about the first value of a row that is not a finite number."""
        for column in features:
            key = self.column_names[column]
            value = row.get(key)
            if _is_missing(value):
                continue
            if type(value) not in _NUMBERS:
                raise self._not_a_number(chunk.line_of(offset), column, value)
            if _is_too_large(value):
                written = json.loads(chunk.data[offset:].partition(b"\n")[0], parse_float=str)[key]
                fact = f"does not fit a double: {wording.shown(str(written))}"
                if isinstance(written, float):  # a word for infinity
                    fact = "infinite value"
                raise TableUnusable(chunk.line_of(offset), f"{wording.column(key)}: {fact}")

    def _not_a_number(self, place: str, column: int, value: Any) -> TableUnusable:
        """Return the error about a value."""
        name = self.column_names[column]
        fact = f"{wording.column(name)}: not a number: {wording.shown(_as_json(value))}"
        return TableUnusable(place, fact, Exclude((name,)))


def _is_missing(value: Any) -> bool:
    """Tell whether a text is a word for a missing value."""
    return isinstance(value, str) and value in numbers.MISSING


def _is_nearly_number(value: Any) -> bool:
    """Tell whether a value is a number, or a text that is one in whatever notation."""
    if isinstance(value, str):
        return is_number_as_text(value)
    return type(value) in _NUMBERS


def _by_key(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each key, in order of appearance; no place is held for an absent one."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in row.items():
            values.setdefault(key, []).append(value)
    return values


def _peek_lines(stream: ByteStream) -> bytes:
    """Return the whole lines of the first MiB, and at least one however long."""
    n_bytes = INFERENCE_BYTES
    while True:
        head = stream.peek(n_bytes)
        if len(head) < n_bytes or n_bytes > MAX_RECORD_BYTES:
            return head
        if end := _find_end(head):
            return head[:end]
        n_bytes *= 2


def _find_end(data: bytes) -> int:
    """Return how many bytes are whole lines."""
    return data.rfind(b"\n") + 1


def _iter_objects(chunk: Chunk) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield offset and object of each line that is not blank."""
    offset = 0
    for line in chunk.data.split(b"\n"):
        if line.strip():
            yield offset, _parse_line(chunk, offset, line)
        offset += len(line) + 1


def _parse_line(chunk: Chunk, offset: int, line: bytes) -> dict[str, Any]:
    """Return the object on a line."""
    try:
        value = json.loads(line.decode())
        if b"\\u" in line:
            _as_json(value).encode()  # half a surrogate pair has no UTF-8
    except UnicodeError:
        fact = "not UTF-8"
    except (ValueError, RecursionError):
        fact = f"not JSON: {wording.shown(line)}"
    else:
        if isinstance(value, dict):
            if (key := _find_repeated(line, value)) is None:
                return value
            raise TableUnusable(chunk.line_of(offset), f'the key "{wording.shown(key)}" is there twice')
        fact = f"not a JSON object: {wording.shown(line)}"
    raise TableUnusable(chunk.line_of(offset), fact)


def _find_repeated(line: bytes, found: dict[str, Any]) -> str | None:
    """Return a key that an object has twice: Python would keep only its last value."""
    # Each key has a colon behind it: with as many colons as keys there is none to find.
    if line.count(b":") == len(found) or len(_COLON.findall(line)) == len(found):
        return None
    objects = list[list[tuple[str, Any]]]()
    json.loads(line, object_pairs_hook=objects.append)
    counts = Counter(key for key, _ in objects[-1])  # the outermost object comes last
    return next((key for key, count in counts.items() if count > 1), None)


def _fill(target: Array, values: list[Any]) -> bool:
    """Set an array to values, null and words for missing to NaN; False where one is not a finite number."""
    if not _NUMBERS.issuperset(map(type, values)):
        values = [None if _is_missing(value) else value for value in values]
        if not _NUMBERS.issuperset(map(type, values)):
            return False
    try:
        target[:] = np.array(values, dtype=np.float64)
    except OverflowError:
        return False
    return not np.isinf(target).any()


def _is_too_large(value: float | None) -> bool:
    """Tell whether a number is infinite, or an integer that no double comes near to."""
    try:
        return value is not None and math.isinf(value)
    except OverflowError:
        return True


def _as_json(value: Any) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, ensure_ascii=False)
