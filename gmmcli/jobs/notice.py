"""What a job tells beside its result: warnings, which always show, and information."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gmmcli.tables import wording

if TYPE_CHECKING:
    from gmmcli.tables.batch import Late


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


def rows_dropped(rows: int, consequence: str = "dropped") -> Notice:
    """Return the warning about rows with missing values."""
    text = f"{rows} {'row' if rows == 1 else 'rows'} with missing values: {consequence}"
    return Notice("rows_dropped", text, details={"rows": rows})


def columns_late(late: "Late", columns: Sequence[str]) -> Notice:
    """Return the warning about columns that came too late to be some."""
    text = f"{late.place}: not among the keys of the first MiB, left out: {wording.listed(columns)}"
    return Notice("columns_late", text, details={"columns": list(columns)})


Notify = Callable[[Notice], None]
# Told of progress, one line for people each time.
Progress = Callable[[str], None]


def untold(_text: str) -> None:
    """Tell nobody of progress."""
