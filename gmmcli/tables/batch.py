"""Some consecutive rows of one operand, and the readers' common shape."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gmmcli.core.mixture import Array


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive rows of one operand.

    Parameters
    ----------
    X : ndarray of shape (n_features, n_rows), float64
        Feature-major, in the table's units; NaN is missing, nothing is infinite.
    extra : mapping of str to pyarrow.Array
        Columns to pass through: text as it stands in CSV and TSV, else typed; null is an empty cell.
    operand : int
        Which of the tables.
    first_row : int
        Number of the first row in its operand, from 0.
    locate : callable
        From the number of a row in the batch to where a person finds it: "data.csv:7".
    """

    X: Array
    extra: Mapping[str, Any]
    operand: int
    first_row: int
    locate: Callable[[int], str]

    @property
    def n_rows(self) -> int:
        """Rows in the batch."""
        return int(self.X.shape[1])

    def slice(self, start: int, stop: int) -> "Batch":
        """Return some of the rows; nothing is copied."""
        return replace(
            self,
            X=self.X[:, start:stop],
            extra={name: column[start:stop] for name, column in self.extra.items()},
            first_row=self.first_row + start,
            locate=lambda row: self.locate(row + start),
        )

    def head(self, n_rows: int) -> "Batch":
        """Return the first rows."""
        return self.slice(0, min(n_rows, self.n_rows))


class Reader(Protocol):
    """One operand, opened: its columns, and its rows once."""

    @property
    def column_names(self) -> Sequence[str]:
        """Columns in order."""

    @property
    def is_typed(self) -> bool:
        """Whether the columns bring their types."""

    def numeric_columns(self) -> set[int]:
        """Return the positions of the numeric columns."""

    def find_text_cell(self, column: str) -> tuple[str, str] | None:
        """Return where, and what, keeps a column from being numeric; None if it is numeric."""

    def iter_batches(self, features: Sequence[str], extra: Sequence[str], operand: int) -> Iterator[Batch]:
        """Yield all rows; at least one batch, which may be empty."""

    def close(self) -> None:
        """Let go of the operand."""
