"""Rows of a table as a value, passed from readers to the kernel. numpy only."""

from dataclasses import dataclass

from gmmcli.core.arrays import Array


@dataclass(frozen=True, eq=False)
class Rows:
    """Consecutive rows of one operand.

    Parameters
    ----------
    X : ndarray of shape (n_features, n_rows), float64
        Feature-major.
    weights : ndarray of shape (n_rows,), float64, optional
        Non-negative frequencies: a row of weight 2 counts as two rows. None: every row has weight 1.
    first_row : int
        0-based number of the first row in its operand, or in the table if the owner says so.
    """

    X: Array
    weights: Array | None = None
    first_row: int = 0

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[1])

    @property
    def total_weight(self) -> float:
        """Σ of the weights."""
        return float(self.n_rows if self.weights is None else self.weights.sum())

    def __getitem__(self, where: slice) -> "Rows":
        """Return the rows of a slice with bounds and no step, sharing memory."""
        weights = None if self.weights is None else self.weights[where]
        return Rows(self.X[:, where], weights, self.first_row + where.start)
