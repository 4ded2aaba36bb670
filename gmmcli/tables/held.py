"""A table in memory in place of a file. Does not load pyarrow."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gmmcli.errors import TableUnusable

NAME = "x"


@dataclass(frozen=True, eq=False)
class InMemory:
    """An operand that is the table itself.

    Parameters
    ----------
    content : pyarrow.Table, or ndarray of shape (n_samples, n_features)
    column_names : tuple of str, optional
        Of an array's columns; x0, x1 and so on if not given. A pyarrow.Table has its own.
    name : str
        For messages and checkpoints.
    """

    content: Any
    column_names: tuple[str, ...] | None = None
    name: str = NAME

    def __str__(self) -> str:
        return self.name

    def __len__(self) -> int:
        return len(self.content)

    @property
    def is_array(self) -> bool:
        """Whether it is an array, whose columns have no names of their own."""
        return isinstance(self.content, np.ndarray)

    def part(self, begin: int, end: int) -> "InMemory":
        """Return some consecutive rows, sharing memory."""
        return replace(self, content=self.content[begin:end])

    def named(self, features: tuple[str, ...]) -> "InMemory":
        """Return the table with the columns of an array named, in their order.

        Raises
        ------
        TableUnusable
            There are not as many.
        """
        found, expected = self.content.shape[1], len(features)
        if found != expected:
            # Words that callers of estimators know, and scikit-learn's tools look for.
            fact = f"X has {found} features, but GMM is expecting {expected} features as input"
            raise TableUnusable(self.name, fact)
        return replace(self, column_names=features)
