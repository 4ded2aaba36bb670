"""Some consecutive rows of one operand, as every reader hands them on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from gmmcli.core.arrays import Array
from gmmcli.errors import TableUnusable
from gmmcli.remedies import Exclude
from gmmcli.tables.numbers import Doubt


class Late(NamedTuple):
    """Keys of JSON lines first seen after the first MiB, from which the columns were inferred.

    Parameters
    ----------
    place : str
        Of the first.
    columns : dict of str to bool
        The first `MOST_LATE` of them, and whether their first value is a number.
    """

    place: str
    columns: dict[str, bool]


MOST_LATE = 12


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive rows of one operand.

    Parameters
    ----------
    X : ndarray of shape (n_features, n_rows), float64
        C order, feature-major; NaN is missing, never infinite.
    extra : mapping of str to pyarrow.Array
        Passed columns. CSV and TSV: verbatim strings, null where a cell is empty; JSON lines: `JsonText`;
        others: their own type.
    locate : callable
        Returns where a row of the batch is: "data.csv:7", "-:3" or "flights.parquet: row 7".
    late : Late or None
        Keys first seen after those from which the columns were inferred.
    operand : int
        Position among the operands.
    first_row : int
        0-based number of the first row in its operand.
    """

    X: Array
    extra: Mapping[str, Any]
    locate: Callable[[int], str]
    late: Late | None = None
    operand: int = 0
    first_row: int = 0

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[1])

    def slice(self, begin: int, end: int) -> "Batch":
        """Return the rows from `begin` up to `end`, sharing memory."""
        return replace(
            self,
            X=self.X[:, begin:end],
            extra={name: values[begin:end] for name, values in self.extra.items()},
            first_row=self.first_row + begin,
            locate=lambda row: self.locate(begin + row),
        )


def of_model(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches whose columns are a model's: an error about a column cannot advise to leave it out."""
    try:
        yield from batches
    except TableUnusable as error:
        error.without(Exclude)
        raise


class Reader(Protocol):
    """One operand, opened: its columns, and its rows once."""

    column_names: tuple[str, ...]
    index_columns: frozenset[int]
    """Positions of the columns that are the index of a pandas frame."""
    n_rows: int | None
    """Known before they are read, or None."""

    @property
    def numeric(self) -> frozenset[int]:
        """Positions of the columns of numbers."""

    def explain(self, column: int) -> TableUnusable:
        """Return the error that says why a column is not one of numbers; its remedy is to leave it out."""

    def doubts(self, columns: Sequence[int]) -> dict[int, Doubt]:
        """Return why columns that hold numbers, or nearly, are not columns of numbers."""

    def rename(self) -> str | None:
        """Return what to type so that no two columns have the same name; None where no filter can do that."""

    def batches(self, features: Sequence[int], extra: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows as those of operand 0; the first problem of the table leaves as `TableUnusable`."""

    def empty(self, features: Sequence[int], extra: Sequence[int]) -> Batch:
        """Return a batch without rows, its columns typed like any other's."""

    def close(self) -> None:
        """Let go of the file."""
