"""A table in memory in place of a file. Does not load pyarrow."""

from dataclasses import dataclass
from typing import Any

NAME = "x"


@dataclass(frozen=True, eq=False)
class InMemory:
    """An operand that is the table itself.

    Parameters
    ----------
    content : pyarrow.Table
    name : str
        For messages and checkpoints.
    """

    content: Any
    name: str = NAME

    def __str__(self) -> str:
        return self.name
