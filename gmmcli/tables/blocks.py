"""Batches re-chunked to a fixed length, and a whole table in memory. Knows no mixture, no format."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Literal

import numpy as np
import pyarrow as pa

from gmmcli.core.arrays import Array, Booleans
from gmmcli.core.rows import Rows
from gmmcli.errors import TableUnusable
from gmmcli.notices import Notice
from gmmcli.remedies import Set
from gmmcli.tables import wording
from gmmcli.tables.batch import Batch, of_model
from gmmcli.tables.digest import digest, make_canonical
from gmmcli.tables.source import Tables

CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class LoadedOperand:
    """One operand in memory.

    Parameters
    ----------
    name : str
    size_bytes : int
        -1 where it is not known.
    n_rows : int
        All, before any was dropped.
    digest : str
    pieces : list of Rows
        The rows without a missing value, in the table's units: CHUNK_ROWS in each but the last; C order.
    """

    name: str
    size_bytes: int
    n_rows: int
    digest: str
    pieces: list[Rows]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A table in memory.

    Parameters
    ----------
    features : tuple of str
        Those asked for, less `empty_columns`.
    operands : tuple of LoadedOperand
    rows_dropped : int
    empty_columns : tuple of str
        Columns left out, because no operand has a value there.
    """

    features: tuple[str, ...]
    operands: tuple[LoadedOperand, ...]
    rows_dropped: int
    empty_columns: tuple[str, ...]


def load(
    tables: Tables,
    features: Sequence[str],
    *,
    missing: Literal["error", "drop"],
    skip_empty_columns: bool,
    follow: Callable[[int], None] = lambda rows: None,
) -> Loaded:
    """Read a table into memory, where it exists once.

    Parameters
    ----------
    tables : Tables
    features : sequence of str
    missing : {"error", "drop"}
        How to treat rows with a missing value.
    skip_empty_columns : bool
        Leave out columns without any value, as a first run does.
    follow : callable
        Told how many rows of an operand have been read, batch by batch; may raise to end it.

    Raises
    ------
    TableUnusable
        A value is missing under "error" (the first in order of rows, then of columns), no column has a
        value, or what `Tables.iter_batches` finds.
    GmmError
    """
    pieces: list[list[Array]] = [[] for _ in tables.operands]
    gaps = _Gaps(features, skip_empty_columns)
    batches = tables.iter_batches(features)
    if not skip_empty_columns:
        batches = of_model(batches)
    for batch in rechunk(_followed(batches, follow)):
        if batch.n_rows:
            gaps.add(batch)
            if missing == "error":
                gaps.check(is_last=False)
            pieces[batch.operand].append(make_canonical(batch.X))
    if missing == "error":
        gaps.check(is_last=True)
    kept = gaps.kept(tables.name)
    names = np.array(features, dtype=object)
    used, empty = tuple(names[kept]), tuple(names[~kept])
    operands = []
    rows_dropped = 0
    for operand, blocks in zip(tables.operands, pieces, strict=True):
        n_rows = sum(block.shape[1] for block in blocks)
        if not kept.all():
            for i, block in enumerate(blocks):
                blocks[i] = block[kept]
        operand_digest = digest(used, blocks)
        if missing == "drop":
            rows_dropped += _drop_incomplete(blocks)
        found = list(map(Rows, blocks))
        operands.append(LoadedOperand(operand.name, operand.size_bytes, n_rows, operand_digest, found))
    return Loaded(used, tuple(operands), rows_dropped, empty)


def _followed(batches: Iterable[Batch], follow: Callable[[int], None]) -> Iterator[Batch]:
    """Yield batches as they are read, and tell how many rows that makes."""
    for batch in batches:
        follow(batch.first_row + batch.n_rows)
        yield batch


def check_complete(batch: Batch, features: Sequence[str]) -> None:
    """Raise `TableUnusable` about the first missing value of a batch, in order of rows, then of columns."""
    absent = np.isnan(batch.X)
    if absent.any():
        row = int(np.flatnonzero(absent.any(axis=0))[0])
        column = int(np.flatnonzero(absent[:, row])[0])
        raise _missing_value(batch.locate(row), features[column])


def rechunk(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the same rows in batches of CHUNK_ROWS; the last batch of each operand may be shorter.

    Their arrays are new ones in C order. An operand without rows gives one batch without rows.
    """
    for _, group in groupby(batches, key=lambda batch: batch.operand):
        waiting: list[Batch] = []
        n_waiting = 0
        for batch in group:
            begin = 0
            while n_waiting + batch.n_rows - begin >= CHUNK_ROWS:
                end = begin + CHUNK_ROWS - n_waiting
                yield _join([*waiting, batch.slice(begin, end)])
                waiting, n_waiting, begin = [], 0, end
            if begin < batch.n_rows or not batch.n_rows:
                waiting.append(batch.slice(begin, batch.n_rows))
                n_waiting += batch.n_rows - begin
        if waiting:
            yield _join(waiting)


def _join(batches: list[Batch]) -> Batch:
    """Return consecutive batches of one operand as one."""
    starts = [0, *accumulate(batch.n_rows for batch in batches)]

    def locate(row: int) -> str:
        i = int(np.searchsorted(starts, row, side="right")) - 1
        return batches[i].locate(row - starts[i])

    X = np.concatenate([batch.X for batch in batches], axis=1)
    first = batches[0]
    extra = {name: pa.concat_arrays([batch.extra[name] for batch in batches]) for name in first.extra}
    return Batch(X, extra, locate, operand=first.operand, first_row=first.first_row)


class _Gaps:
    """Which columns have a value, and where the first one is missing.

    Parameters
    ----------
    features : sequence of str
    may_be_empty : bool
        Whether a column without any value is left out rather than missed.
    """

    def __init__(self, features: Sequence[str], may_be_empty: bool) -> None:
        self._features = features
        self._has_value = np.full(len(features), not may_be_empty)
        self._n_rows = 0
        # A column without a value so far misses one in the very first row: no other need be remembered.
        self._absent_at_start = np.zeros(len(features), dtype=bool)
        self._start = ""
        # Place and column of the first missing value where others in the column are not.
        self._first: tuple[str, int] | None = None

    def add(self, batch: Batch) -> None:
        """Count the missing values of the next batch."""
        absent = np.isnan(batch.X)
        self._has_value |= ~absent.all(axis=1)
        if not self._n_rows:
            self._absent_at_start, self._start = absent[:, 0].copy(), batch.locate(0)
        if self._first is None:
            absent &= self._has_value[:, np.newaxis]
            rows = np.flatnonzero(absent.any(axis=0))
            if rows.size:
                self._first = (batch.locate(int(rows[0])), int(absent[:, rows[0]].argmax()))
        self._n_rows += batch.n_rows

    def check(self, *, is_last: bool) -> None:
        """Raise `TableUnusable` about the first missing value, if it is known which columns stay."""
        if is_last or self._has_value.all():
            at_start = np.flatnonzero(self._absent_at_start & self._has_value)
            first = (self._start, int(at_start[0])) if at_start.size else self._first
            if first is not None:
                place, column = first
                raise _missing_value(place, self._features[column])

    def kept(self, subject: str) -> Booleans:
        """Return which columns stay; all of a table without rows."""
        if self._n_rows and not self._has_value.any():
            raise TableUnusable(subject, "no column has a value")
        return self._has_value if self._n_rows else np.ones_like(self._has_value)


def _missing_value(place: str, feature: str) -> TableUnusable:
    """Return the error about a missing value."""
    return TableUnusable(place, f"{wording.column(feature)}: missing value or NaN", Set("--missing", "drop"))


def _drop_incomplete(blocks: list[Array]) -> int:
    """Repack blocks to the rows without a missing value, in place; return how many others there were."""
    n_rows = sum(int(block.shape[1]) for block in blocks)
    n_kept = 0
    for block in blocks:
        complete = block[:, ~np.isnan(block).any(axis=0)]
        taken = 0
        while taken < complete.shape[1]:
            target, place = divmod(n_kept, CHUNK_ROWS)
            count = min(complete.shape[1] - taken, blocks[target].shape[1] - place)
            blocks[target][:, place : place + count] = complete[:, taken : taken + count]
            taken += count
            n_kept += count
    if n_kept < n_rows:
        del blocks[-(-n_kept // CHUNK_ROWS) :]
        if n_kept % CHUNK_ROWS:
            blocks[-1] = np.ascontiguousarray(blocks[-1][:, : n_kept % CHUNK_ROWS])
    return n_rows - n_kept


def rows_dropped(rows: int, consequence: str = "dropped") -> Notice:
    """Return the warning about rows with missing values."""
    text = f"{wording.counted(rows, 'row')} with missing values: {consequence}"
    return Notice("rows_dropped", text, "serious", {"rows": rows})
