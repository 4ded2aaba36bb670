"""Tables drawn from a seed and mixtures to start from: the same wherever they are drawn.

Nothing here knows a program that is measured, so that every one of them gets its table in the same way.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Of two Gaussians, in their standard deviations, whatever the number of columns: they overlap.
DISTANCE = 4.0
# Of tables that are written to files: what an instrument would give.
DECIMALS = 6


@dataclass(frozen=True)
class Shape:
    """The size of a problem, and the type of its covariances."""

    rows: int
    columns: int
    components: int
    covariance_type: str = "full"

    @property
    def expanded_length(self) -> int:
        """D: the terms of a quadratic polynomial in the columns (full covariances)."""
        return 1 + self.columns + self.columns * (self.columns + 1) // 2

    @property
    def flops(self) -> int:
        """Floating point operations of one pass of expectation maximisation: 4·K·D·n."""
        return 4 * self.components * self.expanded_length * self.rows

    def __str__(self) -> str:
        rows = f"{self.rows // 1000}k" if self.rows % 1000 == 0 else str(self.rows)
        kind = "" if self.covariance_type == "full" else f", {self.covariance_type}"
        return f"{rows}, {self.columns}, {self.components}{kind}"


@dataclass(frozen=True)
class Start:
    """A mixture to start from, in the units of the table.

    Parameters
    ----------
    weights : ndarray of shape (K,), float64
    means : ndarray of shape (K, d), float64
    covariances : ndarray, float64
        Shaped as the covariance type says: (K, d, d), (d, d), (K, d) or (K,).
    """

    weights: Array
    means: Array
    covariances: Array


@dataclass(frozen=True)
class Problem:
    """A table of shape (rows, columns), float64, and a mixture to start from."""

    X: Array
    start: Start


def draw(shape: Shape) -> Problem:
    """Draw a table from overlapping Gaussians, in standard units; the same one for every covariance type.

    Every component starts at the mean of the rows of one Gaussian, as likely as the others, with an identity
    for its covariance: far from the optimum, and yet no component starves, which a floor would have to mend.
    """
    n, d, K = shape.rows, shape.columns, shape.components
    rng = np.random.default_rng([n, d, K])
    labels = rng.integers(K, size=n)
    X = rng.normal(scale=DISTANCE / np.sqrt(2 * d), size=(K, d))[labels]
    # A Wishart matrix of 2 d degrees: correlated columns, none of them nearly a combination of others.
    wide = rng.normal(size=(K, d, 2 * d)) / np.sqrt(2 * d)
    factors = np.linalg.cholesky(wide @ wide.transpose(0, 2, 1))
    means = np.zeros((K, d))
    for k in range(K):
        rows = labels == k
        X[rows] += rng.normal(size=(int(rows.sum()), d)) @ factors[k].T
        means[k] = X[rows].mean(axis=0)
    center = X.mean(axis=0)
    X -= center
    scale = X.std(axis=0)
    X /= scale
    return Problem(X, Start(np.full(K, 1.0 / K), (means - center) / scale, _identities(shape)))


def _identities(shape: Shape) -> Array:
    """Return covariances that are identities, shaped as their type says."""
    d, K = shape.columns, shape.components
    return {
        "full": np.tile(np.eye(d), (K, 1, 1)),
        "tied": np.eye(d),
        "diag": np.ones((K, d)),
        "spherical": np.ones(K),
    }[shape.covariance_type]


def write_table(shape: Shape, path: Path) -> None:
    """Draw a table and write it with a header, as CSV or as Parquet by the suffix of the path."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    X = np.round(draw(shape).X, DECIMALS)
    table = pa.table({f"x{j + 1}": np.ascontiguousarray(column) for j, column in enumerate(X.T)})
    if path.suffix == ".csv":
        csv.write_csv(table, path, csv.WriteOptions(quoting_style="none"))
    else:
        parquet.write_table(table, path)
