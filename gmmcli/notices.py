"""What a command says beside its result: warnings, which always show, and information."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Notice:
    """One remark.

    Parameters
    ----------
    name : str
        For programs, e.g. "rows_dropped".
    text : str
        For people: one line.
    is_warning : bool
        Information (False) shows on a terminal or with -v only.
    details : dict
        Further keys of the JSON.
    """

    name: str
    text: str
    is_warning: bool = True
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the element of the report's list of warnings."""
        level = "warning" if self.is_warning else "information"
        return {"name": self.name, "text": self.text, "level": level, **self.details}


Notify = Callable[[Notice], None]
# Told of progress, one line for people each time.
Progress = Callable[[str], None]


def untold(_text: str) -> None:
    """Tell nobody of progress."""
