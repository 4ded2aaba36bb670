"""What a part of the suite is, and how its figures are written down.

A part measures once and says in JSON what it saw; everything that a reader sees is worked out from that, so
that a page can be written again without measuring again.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Result: TypeAlias = dict[str, Any]
# Says on stderr what is being measured.
Tell: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A figure, what was asked of it, and what was measured.

    Parameters
    ----------
    figure, asked : str
    measured : str or None
        None where it was not measured.
    is_met : bool
    """

    figure: str
    asked: str
    measured: str | None = None
    is_met: bool = False

    @property
    def verdict(self) -> str:
        """One word, or two."""
        if self.measured is None:
            return "not measured"
        return "met" if self.is_met else "**missed**"


@dataclass(frozen=True)
class Part:
    """One topic of the suite.

    Parameters
    ----------
    name : str
        Of its file of results, and on the command line.
    title : str
    is_short : bool
        Whether it belongs to `make bench`; otherwise to `make bench-full`.
    measure : callable
        Called with whether to use sizes that only show that it works. Its result can be written as JSON and
        holds, under "machine", what the figures depend on.
    targets : callable
        Returns the targets of a result; of None those that were not measured.
    render : callable
        Returns the section of a result as lines of Markdown, without its heading.
    """

    name: str
    title: str
    is_short: bool
    measure: Callable[[bool, Tell], Result]
    targets: Callable[[Result | None], list[Target]]
    render: Callable[[Result], list[str]]

    @property
    def command(self) -> str:
        """What to type to measure it."""
        return "make bench" if self.is_short else "make bench-full"


def at_least(figure: str, wanted: float, measured: float | None, unit: str = "") -> Target:
    """Return a target that larger figures meet."""
    return _compare(figure, "≥", wanted, measured, unit, is_met=measured is not None and measured >= wanted)


def at_most(figure: str, wanted: float, measured: float | None, unit: str = "") -> Target:
    """Return a target that smaller figures meet."""
    return _compare(figure, "≤", wanted, measured, unit, is_met=measured is not None and measured <= wanted)


def _compare(
    figure: str, sign: str, wanted: float, measured: float | None, unit: str, *, is_met: bool
) -> Target:
    """Return a target in words."""
    text = None if measured is None else f"{significant(measured)}{unit}"
    return Target(figure, f"{sign} {wanted:g}{unit}", text, is_met)


def median(seconds: Sequence[float]) -> float:
    """Return the median of some turns."""
    return float(statistics.median(seconds))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean, the one that ratios have."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def significant(x: float) -> str:
    """Return a figure with three digits that count, without an exponent where it is of daily size."""
    if x == 0 or not 1e-4 <= abs(x) < 1e7:
        return f"{x:.2g}"
    return f"{x:,.{max(0, 2 - math.floor(math.log10(abs(x))))}f}"


def megabytes(n_bytes: float) -> str:
    """Return a size as a whole number of 10⁶ bytes."""
    return f"{n_bytes / 1e6:,.0f} MB"


def plural(count: int, noun: str) -> str:
    """Return "1 thread", "2 threads"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], n_words: int = 1) -> list[str]:
    """Return a table in Markdown.

    Parameters
    ----------
    heads : sequence of str
    rows : iterable of sequence of str
    n_words : int
        Columns at the left that hold words; the others hold figures.
    """
    rule = ["---"] * n_words + ["---:"] * (len(heads) - n_words)
    return [
        f"| {' | '.join(heads)} |",
        f"|{'|'.join(rule)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
