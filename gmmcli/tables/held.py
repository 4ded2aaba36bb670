"""A table in memory in place of a file. Does not load pyarrow."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

NAME = "x"


def made_up_names(n_columns: int) -> tuple[str, ...]:
    """Return names for columns that have none: x0, x1 and so on."""
    return tuple(f"{NAME}{j}" for j in range(n_columns))


@dataclass(frozen=True, eq=False)
class InMemory:
    """An operand that is the table itself.

    Parameters
    ----------
    content : pyarrow.Table, or ndarray of shape (n_samples, n_features)
    column_names : tuple of str, optional
        Of an array's columns; x0, x1 and so on if not given. A pyarrow.Table has its own.
    keys : tuple of str, optional
        Of an array that was a mapping of columns: theirs, in order.
    name : str
        For messages and checkpoints.
    first_row : int
        Number of the first row, for messages.
    """

    content: Any
    column_names: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    name: str = NAME
    first_row: int = 0

    def __str__(self) -> str:
        return self.name

    def __len__(self) -> int:
        return len(self.content)

    @property
    def is_array(self) -> bool:
        """Whether it is an array, whose columns have no names of their own."""
        return isinstance(self.content, np.ndarray)

    def named(self, column_names: tuple[str, ...]) -> "InMemory":
        """Return the table with the columns of an array named, in their order or by the same keys.

        Names that were made up for columns without any are places, whatever keys there are.
        """
        is_made_up = column_names == made_up_names(len(column_names))
        if self.keys is None or is_made_up or set(self.keys) != set(column_names):
            return replace(self, column_names=column_names)
        order = [self.keys.index(name) for name in column_names]
        return replace(self, content=self.content[:, order], keys=None, column_names=column_names)

    def part(self, begin: int, end: int) -> "InMemory":
        """Return some consecutive rows, sharing memory."""
        return replace(self, content=self.content[begin:end], first_row=self.first_row + begin)
