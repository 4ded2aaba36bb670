"""Batches as feature-major float64 chunks: in memory for fit, re-cut to fixed rows for score.

A chunk never spans two operands, and its rows do not depend on how the reader cut its batches.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from gmmcli.core.mixture import Array
from gmmcli.errors import TableUnusable
from gmmcli.tables.source import Batch, Tables

CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class LoadedOperand:
    """One operand as it was read.

    Parameters
    ----------
    name : str
    size_bytes : int
        −1 where unknown.
    rows : int
        All of them, before any are dropped.
    digest : str
        SHA-256 over the feature names and all rows, independent of the format: 64 hexadecimal digits.
    """

    name: str
    size_bytes: int
    rows: int
    digest: str


@dataclass(frozen=True, eq=False)
class Loaded:
    """A table in memory, in its own units.

    Parameters
    ----------
    features : tuple of str
    chunks : list of list of ndarray
        Per operand, arrays of shape (n_features, n_rows), float64: rows without missing values.
    operands : tuple of LoadedOperand
    rows_dropped : int
    empty_columns : tuple of str
        Columns that were asked for and have no value in any operand.
    """

    features: tuple[str, ...]
    chunks: list[list[Array]]
    operands: tuple[LoadedOperand, ...]
    rows_dropped: int
    empty_columns: tuple[str, ...]


@dataclass(eq=False)
class _Gathering:
    """What is known while batches arrive."""

    seen: np.ndarray[Any, np.dtype[np.bool_]]
    first_missing: dict[int, tuple[int, int, str]] = field(default_factory=dict)

    def note(self, batch: Batch) -> None:
        """Note which columns have values, and where each first lacks one."""
        missing = np.isnan(batch.X)
        self.seen |= ~missing.all(axis=1)
        for j in np.flatnonzero(missing.any(axis=1)):
            if int(j) not in self.first_missing:
                row = int(missing[j].argmax())
                self.first_missing[int(j)] = (batch.operand, batch.first_row + row, batch.locate(row))


def load(
    tables: Tables,
    features: Sequence[str],
    *,
    missing: Literal["error", "drop"] | str,
    skip_empty_columns: bool,
) -> Loaded:
    """Read a table into memory, once.

    Parameters
    ----------
    tables : Tables
    features : sequence of str
    missing : {"error", "drop"}
        What to do about rows with missing values.
    skip_empty_columns : bool
        Leave out columns without any value.

    Raises
    ------
    TableUnusable
        A missing value under "error", no column with a value, or what reading finds.
    """
    gathering = _Gathering(np.zeros(len(features), dtype=np.bool_))
    gathered: list[list[Array]] = [[] for _ in tables.operands]
    for batch in rechunk(tables.iter_batches(features), CHUNK_ROWS):
        gathering.note(batch)
        gathered[batch.operand].append(np.ascontiguousarray(batch.X))
    kept = np.arange(len(features))
    if skip_empty_columns and any(chunk.shape[1] for chunks in gathered for chunk in chunks):
        kept = np.flatnonzero(gathering.seen)
        if not kept.size:
            raise TableUnusable(tables.name, "no column has a value")
    names = tuple(features[int(j)] for j in kept)
    if missing == "error":
        _refuse_missing(gathering, kept, features)
    operands, dropped = [], 0
    for operand, chunks in zip(tables.operands, gathered, strict=True):
        if kept.size < len(features):
            chunks[:] = [chunk[kept] for chunk in chunks]
        rows = sum(chunk.shape[1] for chunk in chunks)
        operands.append(LoadedOperand(operand.name, operand.size_bytes, rows, digest(names, chunks)))
        if missing == "drop":
            dropped += _drop_incomplete(chunks)
    empty = tuple(name for name in features if name not in names)
    return Loaded(names, gathered, tuple(operands), dropped, empty)


def digest(features: Sequence[str], chunks: Sequence[Array]) -> str:
    """Return the digest of an operand: SHA-256 of names and values, independent of its format.

    Parameters
    ----------
    features : sequence of str
        Each goes in as UTF-8 and a NUL byte.
    chunks : sequence of ndarray of shape (n_features, n_rows), float64
        Of 65,536 rows but for the last, little-endian, −0 as 0, one NaN.
    """
    found = hashlib.sha256()
    for name in features:
        found.update(name.encode() + b"\0")
    for chunk in chunks:
        plain = chunk + 0.0  # −0 + 0 is 0
        plain[np.isnan(plain)] = np.nan
        found.update(np.ascontiguousarray(plain, dtype="<f8").data)
    return found.hexdigest()


def check_complete(batch: Batch, features: Sequence[str]) -> None:
    """Raise for the first missing value of a batch.

    Raises
    ------
    TableUnusable
    """
    missing = np.isnan(batch.X)
    if missing.any():
        row = int(missing.any(axis=0).argmax())
        raise _missing(batch.locate(row), features[int(missing[:, row].argmax())])


def rechunk(batches: Iterator[Batch], n_rows: int = CHUNK_ROWS) -> Iterator[Batch]:
    """Yield the same rows in batches of `n_rows`; the last of an operand may have fewer."""
    waiting: list[Batch] = []
    held = 0
    for batch in batches:
        if waiting and batch.operand != waiting[0].operand:
            yield _joined(waiting)
            waiting, held = [], 0
        start = 0
        while held + batch.n_rows - start >= n_rows:
            stop = start + n_rows - held
            yield _joined([*waiting, batch.slice(start, stop)])
            waiting, held, start = [], 0, stop
        if start < batch.n_rows or (not batch.first_row and not batch.n_rows):
            waiting.append(batch.slice(start, batch.n_rows))
            held += batch.n_rows - start
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[Batch]) -> Batch:
    """Return consecutive batches of one operand as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    starts = np.cumsum([0, *(batch.n_rows for batch in batches)])

    def locate(row: int) -> str:
        i = int(np.searchsorted(starts, row, side="right")) - 1
        return batches[i].locate(row - int(starts[i]))

    extra = {name: pa.concat_arrays([_plain(batch.extra[name]) for batch in batches]) for name in first.extra}
    return replace(
        first, X=np.concatenate([batch.X for batch in batches], axis=1), extra=extra, locate=locate
    )


def _plain(column: Any) -> Any:
    """Return a column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _refuse_missing(gathering: _Gathering, kept: Any, features: Sequence[str]) -> None:
    """Raise for the first missing value, in the order of rows, then of columns."""
    found = [
        (*gathering.first_missing[int(j)], features[j]) for j in kept if int(j) in gathering.first_missing
    ]
    if found:
        _, _, where, column = min(found, key=lambda item: item[:2])
        raise _missing(where, column)


def _missing(where: str, column: str) -> TableUnusable:
    """Return the error about a missing value."""
    return TableUnusable(where, f'column "{column}": missing value', "--missing drop")


def _drop_incomplete(chunks: list[Array]) -> int:
    """Take rows with missing values out, close the gaps chunk by chunk; return how many."""
    complete = [chunk[:, ~np.isnan(chunk).any(axis=0)] for chunk in chunks]
    dropped = sum(int(chunk.shape[1]) for chunk in chunks) - sum(int(chunk.shape[1]) for chunk in complete)
    if dropped:
        batches = (Batch(chunk, {}, 0, i, str) for i, chunk in enumerate(complete))
        chunks[:] = [np.ascontiguousarray(batch.X) for batch in rechunk(batches)]
    return dropped
