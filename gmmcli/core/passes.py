"""The protocols `Table` and `Engine`: what the algorithms of core need of a table and of passes over it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.statistics import Statistics

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Expectation:
    """The result of one pass over a table: an E-step.

    Parameters
    ----------
    statistics : Statistics
    log_densities : ndarray of shape (m,), float64, with m = min(n, 2²⁰)
        Of rows ⌊i·n/m⌋, in standard units: the sample for the quantiles.
    """

    statistics: Statistics
    log_densities: Array

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit weight, nats, standard units."""
        return self.statistics.log_likelihood / self.statistics.total_weight


class Table(Protocol):
    """Rows in standard units, for any number of passes."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def n_features(self) -> int:
        """Number of features."""

    @property
    def total_weight(self) -> float:
        """Σ of the row weights."""

    def blocks(self, longest: int, shortest: int | None = None) -> Iterator[Rows]:
        """Yield the rows in blocks of at most `longest` rows, with `first_row` numbered through the table.

        The last blocks are shorter, down to `shortest` rows, so that no worker waits long for another.
        """

    def take(self, indices: Integers) -> Rows:
        """Return the rows of these numbers, with their weights."""

    def part(self, first: int, count: int) -> Self:
        """Return consecutive rows as a table; the first row of the table follows its last."""

    def sample(self, n_rows: int) -> Self:
        """Return rows ⌊i·n/m⌋, i < m = n_rows, as a table."""


class Engine(Protocol):
    """Where passes over tables run."""

    def expectation(self, table: Table, mixture: Mixture, *, hard: bool = False) -> Expectation:
        """Return one E over all rows of a table.

        Parameters
        ----------
        table : Table
        mixture : Mixture
            In standard units.
        hard : bool
            Assign each row to its most probable component alone: see `Kernel.expectation`.

        Raises
        ------
        CovarianceNotPositive
        OutOfMemory
        """


class ParallelEngine(Engine, Protocol):
    """An engine that also runs functions in threads."""

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return the results of a function, in order. Threads call it at the same time."""
