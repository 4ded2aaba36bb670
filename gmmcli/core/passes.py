"""What the algorithms of core ask of a table and of the engine that passes over it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from gmmcli.core.mixture import Array, Integers, Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.statistics import Statistics


@dataclass(frozen=True, eq=False)
class Expectation:
    """What one pass over a table returns: an E-step.

    Parameters
    ----------
    statistics : Statistics
    log_densities : ndarray of shape (min(n, 2²⁰),), float64
        Of rows ⌊i·n/m⌋, standard units: the sample for the quantiles.
    """

    statistics: Statistics
    log_densities: Array

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit weight, nats, standard units."""
        return self.statistics.log_likelihood / self.statistics.total_weight


class Table(Protocol):
    """Rows in standard units that may be passed over many times."""

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
        """Yield the rows in blocks of at most `longest` rows; `first_row` counts through the table.

        The last blocks are shorter, down to `shortest` rows, so that no worker waits long for another.
        """

    def take(self, indices: Integers) -> Rows:
        """Return some rows."""

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
            Give each row to its most probable component alone: see `Kernel.expectation`.

        Raises
        ------
        CovarianceNotPositive
        OutOfMemory
        """
