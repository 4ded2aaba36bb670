"""The tables of a command line as one: operands in, batches out."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

from gmmcli.errors import NotFound, TableUnusable, Usage
from gmmcli.tables.batch import Batch, Reader
from gmmcli.tables.stream import FORMATS, Operand, Stream, expand_operands

__all__ = ["FORMATS", "Batch", "Tables", "open_tables"]


class Tables:
    """Operands that are one table, in the order given. A context manager.

    Parameters
    ----------
    operands : list of Operand
    stdin : binary stream or None
    input_format : str or None
    n_threads : int

    Raises
    ------
    GmmError
        The first operand cannot be opened, or is no table.
    """

    def __init__(
        self, operands: list[Operand], stdin: BinaryIO | None, input_format: str | None, n_threads: int
    ) -> None:
        self.operands = tuple(operands)
        self._stdin, self._input_format, self._n_threads = stdin, input_format, n_threads
        self._first: Reader = self._open(operands[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._first.close()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of the first operand."""
        return tuple(self._first.column_names)

    @cached_property
    def numeric(self) -> frozenset[int]:
        """Positions of the numeric columns of the first operand, in the sense of its format."""
        return frozenset(self._first.numeric_columns())

    @property
    def is_typed(self) -> bool:
        """Whether the first operand's columns bring their types."""
        return self._first.is_typed

    @property
    def name(self) -> str:
        """The first operand, for messages."""
        return self.operands[0].name

    @property
    def paths(self) -> list[Path]:
        """The files that are read."""
        return [operand.path for operand in self.operands if operand.path is not None]

    def find_text_cell(self, column: str) -> tuple[str, str] | None:
        """Return where, and what, keeps a column of the first operand from being numeric."""
        return self._first.find_text_cell(column)

    def iter_batches(
        self, features: Sequence[str], extra: Sequence[str] = (), *, max_rows: int | None = None
    ) -> Iterator[Batch]:
        """Yield all rows, once, operand by operand; each has at least one batch, which may be empty.

        Parameters
        ----------
        features : sequence of str
        extra : sequence of str
            Columns to pass through.
        max_rows : int, optional
            Rows of a batch; the last of an operand may have fewer. As they come, if not given.

        Raises
        ------
        TableUnusable
            Naming file, line and column.
        ReadWriteFailed
        """
        from gmmcli.tables.blocks import rechunk

        batches = self._iter_operands(features, extra)
        yield from batches if max_rows is None else rechunk(batches, max_rows)

    def _iter_operands(self, features: Sequence[str], extra: Sequence[str]) -> Iterator[Batch]:
        """Yield the batches of every operand."""
        for i, operand in enumerate(self.operands):
            reader = self._open(operand) if i else self._first
            try:
                check_columns(reader.column_names, (*features, *extra), operand.name)
                yield from reader.iter_batches(features, extra, i)
            finally:
                reader.close()

    def _open(self, operand: Operand) -> Reader:
        """Return a reader for what the operand turns out to be."""
        stream = Stream(operand, self._stdin, self._input_format)
        if stream.format in ("csv", "tsv"):
            from gmmcli.tables.text import TextReader

            return TextReader(stream, "," if stream.format == "csv" else "\t", self._n_threads)
        if stream.format == "jsonl":
            from gmmcli.tables.json_lines import JsonLinesReader

            return JsonLinesReader(stream)
        from gmmcli.tables.typed import TypedReader

        return TypedReader(stream)


def open_tables(
    operands: Sequence[str],
    *,
    input_format: str | None = None,
    stdin: BinaryIO | None = None,
    n_threads: int = 1,
) -> Tables:
    """Open the tables that a command line names; none, or `-`, is stdin.

    Raises
    ------
    NotFound
        A path does not exist, a glob matches nothing, or stdin is closed.
    Usage
        stdin is named twice.
    TableUnusable
        The first operand is no table.
    PermissionRefused, ReadWriteFailed
    """
    expanded = expand_operands(tuple(operands))
    n_stdin = sum(operand.path is None for operand in expanded)
    if n_stdin > 1:
        raise Usage("-", "stdin can be read once only", "name it once")
    if n_stdin and stdin is None:
        raise NotFound("-", "stdin is closed", "name a table, or pipe one in")
    return Tables(expanded, stdin, input_format, n_threads)


def check_columns(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Raise `TableUnusable` where a wanted column is absent, or its name stands for several."""
    absent = [name for name in dict.fromkeys(wanted) if name not in names]
    if absent:
        listed = ", ".join(f'"{name}"' for name in absent)
        there = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise TableUnusable(where, f"no column {listed}", f"the table has {there}")
    for name in wanted:
        count = list(names).count(name)
        if count > 1:
            raise TableUnusable(
                where, f'{count} columns are named "{name}"', f"--exclude {name}, or rename them"
            )
