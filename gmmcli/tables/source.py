"""Tables: operands in, batches of rows out, whatever the format. Knows no mixture."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO

from gmmcli.errors import NotFound, TableUnusable, Usage, reporting
from gmmcli.tables import wording
from gmmcli.tables.batch import Batch, Late, Reader
from gmmcli.tables.formats import open_reader
from gmmcli.tables.held import InMemory
from gmmcli.tables.operands import STDIN, Operand, expand


class Tables(AbstractContextManager["Tables"]):
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
    first : Reader
        The first operand: its columns and what they hold.
    column_names : tuple of str
        Of the first operand.
    positions : dict of str to list of int
        Positions of every name of the first operand's columns.
    name : str
        The first operand's.
    paths : list of Path
        Of the operands that have one.
    n_rows : int or None
        How many rows there are, if all of them are in the first operand and it knows.
    late : Late or None
        The first columns that came too late in what has been read so far.
    """

    def __init__(
        self, operands: tuple[Operand, ...], input_format: str | None, stdin: BinaryIO | None, n_threads: int
    ) -> None:
        self.operands = operands
        self.name = operands[0].name
        self.paths = [operand.path for operand in operands if operand.path is not None]
        self._input_format = input_format
        self._stdin = stdin
        self._n_threads = n_threads
        self._spent: set[int] = set()
        self.first: Reader = self._open(0)
        self._is_fresh = True
        self.late: Late | None = None
        self.column_names = self.first.column_names
        self.positions = positions_of(self.column_names)
        self.n_rows = self.first.n_rows if len(operands) == 1 else None

    def __exit__(self, *_: object) -> None:
        self.first.close()  # open from the start

    def iter_batches(self, features: Sequence[str], extra: Sequence[str] = ()) -> Iterator[Batch]:
        """Yield the rows in order; from each operand at least one batch, if only of no rows.

        Parameters
        ----------
        features, extra : sequence of str
            Columns to read as numbers, and to pass; a column may be both.

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
                    yield replace(found_rows, operand=index, first_row=first_row)
                    first_row += found_rows.n_rows
            finally:
                reader.close()

    def _take_reader(self, index: int) -> Reader:
        """Return the reader of an operand, open and at its start."""
        if index == 0 and self._is_fresh:
            self._is_fresh = False
            return self.first
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
        file = self._stdin
        if operand.path is not None:
            with reporting(operand.name):
                file = operand.path.open("rb")
        if file is None:
            raise NotFound(STDIN, "stdin is closed", "name a table, or pipe one in")
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
        fact = f"no {word} {wording.listed(absent)}: it has {wording.listed(column_names)}"
        raise TableUnusable(subject, fact)
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


def _at_least_one(reader: Reader, features: list[int], extra: list[int]) -> Iterator[Batch]:
    """Yield the batches of a reader, or an empty one."""
    is_empty = True
    for batch in reader.batches(features, extra):
        is_empty = False
        yield batch
    if is_empty:
        yield reader.empty(features, extra)
