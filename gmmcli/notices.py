"""Warnings and information that a command reports beside its result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

# A "serious" warning changes how the result may be used: only -qq hides it. -q hides a "warning".
# "information" shows on a terminal or with -v.
Level = Literal["information", "warning", "serious"]


@dataclass(frozen=True)
class Notice:
    """A warning or a piece of information.

    Parameters
    ----------
    name : str
        The name that programs look for, for example "rows_dropped".
    text : str
        The message, one line.
    level : str
    details : dict
        Further keys of the JSON.
    """

    name: str
    text: str
    level: Level
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the notice as it appears in the warnings of a JSON report."""
        return {"name": self.name, "text": self.text, "level": self.level, **self.details}


Notify = Callable[[Notice], None]
# Called with a line of text that says how far a job is.
Progress = Callable[[str], None]


def untold(_text: str) -> None:
    """Show no progress."""
