"""Tables: operands in, batches of rows out, whatever the format. Knows no mixture."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from gmmcli.errors import NotFound, TableUnusable, Usage, from_os_error
from gmmcli.tables import wording
from gmmcli.tables.batch import Batch, Late, Reader
from gmmcli.tables.formats import open_reader
from gmmcli.tables.held import InMemory
from gmmcli.tables.numbers import Doubt
from gmmcli.tables.operands import STDIN, Operand, expand

__all__ = ["Batch", "Operand", "Tables", "find_columns", "open_tables"]


class Tables:
    """One table in several operands, opened. A context manager.

    Parameters
    ----------
    operands : tuple of Operand
        At least one.
    input_format : str or None
        One of `suffixes.FORMATS`; None to recognise it.
    stdin : binary file or None
    n_threads : int
        That parse.

    Attributes
    ----------
    column_names : tuple of str
        Of the first operand.
    late : Late or None
        The first columns that came too late in what has been read so far.
    """

    def __init__(
        self, operands: tuple[Operand, ...], input_format: str | None, stdin: BinaryIO | None, n_threads: int
    ) -> None:
        self.operands = operands
        self._input_format = input_format
        self._stdin = stdin
        self._n_threads = n_threads
        self._spent: set[int] = set()
        self._first: Reader = self._open(0)
        self._is_fresh = True
        self.late: Late | None = None
        self.column_names = self._first.column_names

    def __enter__(self) -> "Tables":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The first operand's name."""
        return self.operands[0].name

    @property
    def paths(self) -> list[Path]:
        """Paths of the operands that have one."""
        return [operand.path for operand in self.operands if operand.path is not None]

    @property
    def n_rows(self) -> int | None:
        """How many rows there are, if all of them are in the first operand and it knows."""
        return self._first.n_rows if len(self.operands) == 1 else None

    @cached_property
    def positions(self) -> dict[str, list[int]]:
        """Positions of every name of the first operand's columns."""
        return positions_of(self.column_names)

    @cached_property
    def numeric_columns(self) -> frozenset[int]:
        """Positions of the first operand's columns of numbers."""
        return self._first.numeric

    @property
    def numeric(self) -> frozenset[str]:
        """Names of the first operand's columns of numbers."""
        return frozenset(self.column_names[column] for column in self.numeric_columns)

    @cached_property
    def index_columns(self) -> frozenset[int]:
        """Positions of the first operand's columns that are the index of a pandas frame."""
        return self._first.index_columns

    def doubts(self, columns: Sequence[int]) -> dict[int, Doubt]:
        """Return why columns of the first operand that are not of numbers might be meant as such."""
        return self._first.doubts(columns)

    def explain(self, column: int) -> TableUnusable:
        """Return the error that says why a column of the first operand is not one of numbers."""
        return self._first.explain(column)

    def iter_batches(
        self,
        features: Sequence[str],
        extra: Sequence[str] = (),
        *,
        max_rows: int | None = None,
    ) -> Iterator[Batch]:
        """Yield the rows in order; from each operand at least one batch, if only of no rows.

        Parameters
        ----------
        features, extra : sequence of str
            Columns to read as numbers, and to pass; a column may be both.
        max_rows : int or None
            Longer batches are divided.

        Raises
        ------
        TableUnusable
            An operand lacks a column, or its content is not what it must be: what comes first in the table.
        Usage
            A second pass, but stdin or a pipe among the operands.
        GmmError
            An operand cannot be read.
        """
        for index, operand in enumerate(self.operands):
            reader = self._take_reader(index)
            try:
                found = find_columns(reader.column_names, features, operand.name)
                passed = find_columns(reader.column_names, extra, operand.name)
                first_row = 0
                for found_rows in _at_least_one(reader, found, passed):
                    self.late = self.late or found_rows.late
                    batch = replace(found_rows, operand=index, first_row=first_row)
                    first_row += batch.n_rows
                    yield from _divide(batch, max_rows or batch.n_rows)
            finally:
                reader.close()

    def close(self) -> None:
        """Close the first operand, which is open from the start."""
        self._first.close()

    def _take_reader(self, index: int) -> Reader:
        """Return the reader of an operand, open and at its start."""
        if index == 0 and self._is_fresh:
            self._is_fresh = False
            return self._first
        return self._open(index)

    def _open(self, index: int) -> Reader:
        """Open an operand."""
        operand = self.operands[index]
        if operand.size_bytes < 0 and index in self._spent:
            raise Usage(operand.name, "can be read only once", "save it to a file")
        self._spent.add(index)
        if operand.held is not None:
            from gmmcli.tables.memory import open_memory

            return open_memory(operand.held)
        file = _open_file(operand, self._stdin)
        try:
            return open_reader(file, operand.name, self._input_format, self._n_threads)
        except BaseException:
            if operand.path is not None:
                file.close()
            raise


def open_tables(
    operands: Sequence[str | InMemory],
    *,
    input_format: str | None = None,
    stdin: BinaryIO | None = None,
    n_threads: int = 1,
) -> Tables:
    """Open tables that are to be read as one.

    Parameters
    ----------
    operands : sequence of str or InMemory
        Paths, globs that the shell did not expand, directories of Parquet files, "-"; none is stdin.
    input_format : str or None
        One of `suffixes.FORMATS`; None to recognise each operand's, by content, then by suffix.
    stdin : binary file or None
        None is a closed one.
    n_threads : int
        That parse.

    Raises
    ------
    Usage
        stdin is named twice.
    NotFound
        An operand does not exist, a glob matches nothing, stdin is closed.
    TableUnusable
        The first operand is not a table, or a directory has no Parquet files.
    GmmError
        The operating system refuses.
    """
    return Tables(expand(operands), input_format, stdin, n_threads)


def find_columns(column_names: Sequence[str], wanted: Sequence[str], subject: str) -> list[int]:
    """Return the positions of columns.

    Raises
    ------
    TableUnusable
        Naming all that are absent, or one that there is more than once.
    """
    positions = positions_of(column_names)
    absent = [name for name in wanted if name not in positions]
    if absent:
        word = "column" if len(absent) == 1 else "columns"
        raise TableUnusable(
            subject,
            f"no {word} {wording.listed(absent)}: it has {wording.listed(column_names)}",
        )
    for name in wanted:
        if len(positions[name]) > 1:
            fact = f'{len(positions[name])} columns are named "{wording.shown(name)}"'
            raise TableUnusable(subject, fact)
    return [positions[name][0] for name in wanted]


def positions_of(column_names: Sequence[str]) -> dict[str, list[int]]:
    """Return the positions of every name: several where columns share it."""
    positions: dict[str, list[int]] = {}
    for i, name in enumerate(column_names):
        positions.setdefault(name, []).append(i)
    return positions


def _open_file(operand: Operand, stdin: BinaryIO | None) -> BinaryIO:
    """Open the file of an operand."""
    if operand.path is None:
        if stdin is None:
            raise NotFound(STDIN, "stdin is closed", "name a table, or pipe one in")
        return stdin
    try:
        return operand.path.open("rb")
    except OSError as error:
        raise from_os_error(operand.name, error) from error


def _at_least_one(reader: Reader, features: list[int], extra: list[int]) -> Iterator[Batch]:
    """Yield the batches of a reader, or an empty one."""
    is_empty = True
    for batch in reader.batches(features, extra):
        is_empty = False
        yield batch
    if is_empty:
        yield reader.empty(features, extra)


def _divide(batch: Batch, max_rows: int) -> Iterator[Batch]:
    """Yield batches of at most so many rows."""
    if batch.n_rows <= max_rows:
        yield batch
        return
    for begin in range(0, batch.n_rows, max_rows):
        yield batch.slice(begin, min(begin + max_rows, batch.n_rows))
