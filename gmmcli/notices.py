"""What a command says beside its result: warnings and information."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

# "serious" changes how the result may be used: only -qq hides it. "warning" is hidden by -q; "information"
# shows on a terminal or with -v.
Level = Literal["information", "warning", "serious"]


@dataclass(frozen=True)
class Notice:
    """One remark.

    Parameters
    ----------
    name : str
        For programs, e.g. "rows_dropped".
    text : str
        For people: one line.
    level : str
    details : dict
        Further keys of the JSON.
    """

    name: str
    text: str
    level: Level
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the element of the report's list of warnings."""
        return {"name": self.name, "text": self.text, "level": self.level, **self.details}


Notify = Callable[[Notice], None]
# Told of progress, one line for people each time.
Progress = Callable[[str], None]


def untold(_text: str) -> None:
    """Tell nobody of progress."""
