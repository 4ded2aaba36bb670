"""Conversion between standard units and the table's units.

EM runs on z = (x − center) / scale, so that results do not depend on the units of the table. numpy only:
predict pays for this import.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.arrays import Array, Booleans, PerFeature
from gmmcli.core.covariances.structure import NARROWEST_SD, WIDEST_SD, Structure
from gmmcli.core.families import FAMILIES, CovarianceType
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows

# With a scale beyond 10^±150 its square, and so a covariance in the table's units, overflows or underflows.
MAX_LOG10_SCALE = 150.0
# The greatest distances from the centre whose squares do not overflow: in standard units, in the table's.
FURTHEST_SD, FURTHEST = 1e100, 1e150


@dataclass(frozen=True, eq=False)
class Units:
    """Centre and scale of each column, fixed for the life of a model.

    Parameters
    ----------
    center, scale : ndarray of shape (n_features,), float64
        In the table's units; `scale` is positive.
    narrowest : ndarray of shape (n_features,), float64, or None
        No component is narrower in a column, in the table's units; None if there is no bound.
    """

    center: PerFeature
    scale: PerFeature
    narrowest: PerFeature | None = None

    @property
    def log_jacobian(self) -> float:
        """Σ log scale: log density in the table's units = log density in standard units − `log_jacobian`."""
        return float(np.log(self.scale).sum())

    def standardise(self, X: Array) -> Array:
        """Convert a block to standard units, in place, and return it.

        Parameters
        ----------
        X : ndarray of shape (n_features, n_rows), float64
            A value that overflows becomes infinite or NaN. The caller must compare the result with
            `FURTHEST_SD`.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            X -= self.center[:, None]
            X /= self.scale[:, None]
        return X

    def to_standard(self, mixture: Mixture) -> Mixture:
        """Convert a mixture from the table's units to standard units."""
        means, covariances = self.means_to_standard(mixture.means), self.covariances_to_standard(mixture)
        return replace(mixture, means=means, covariances=covariances)

    def means_to_standard(self, means: Array) -> Array:
        """Convert means, shape (K, n_features), to standard units; a mean that overflows is infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray((means - self.center) / self.scale)

    def covariances_to_standard(self, mixture: Mixture) -> Array:
        """Convert the covariances of a mixture to standard units; a value that overflows is infinite."""
        with np.errstate(over="ignore"):
            return np.asarray(mixture.covariances / self.covariance_scale(mixture.covariance_type))

    def to_table(self, mixture: Mixture) -> Mixture:
        """Convert a mixture from standard units to the table's units."""
        covariances = mixture.covariances * self.covariance_scale(mixture.covariance_type)
        return replace(mixture, means=mixture.means * self.scale + self.center, covariances=covariances)

    def covariance_scale(self, covariance_type: CovarianceType) -> Array:
        """Return the factor that converts covariances to the table's units, broadcastable to their shape."""
        return FAMILIES[covariance_type].structure.scale(self.scale)


@dataclass(frozen=True, eq=False)
class Spread:
    """Count, mean, range and centred squares of the columns of some rows. Spreads add without cancellation.

    Squares are kept relative to the square of `span`, so that values of 1e-200 or 1e+200 do not overflow.

    Parameters
    ----------
    weight : float
        Σ w of the rows.
    mean, low, high, squares : ndarray of shape (n_features,), float64
        `squares` is Σ w ((x − mean) / span)².
    span : ndarray of shape (n_features,), float64
        A power of two, at least high − low; 0 for a column that is constant so far.
    """

    weight: float
    mean: Array
    low: Array
    high: Array
    squares: Array
    span: Array

    @classmethod
    def of(cls, rows: Rows) -> "Spread":
        """Measure some rows.

        Parameters
        ----------
        rows : Rows
            Finite, in the table's units; at least one row of positive weight.
        """
        X, weights = rows.X, rows.weights
        if weights is not None:  # rows of weight 0 do not count
            X, weights = X[:, weights > 0], weights[weights > 0]
        low, high = X.min(axis=1), X.max(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            span = _power_of_two(high - low)
            step = np.where(span > 0, span, 1.0)
            relative = (X - low[:, None]) / step[:, None]
            if weights is None:
                mean = relative.mean(axis=1, keepdims=True)
                relative -= mean
                squares = np.einsum("ij,ij->i", relative, relative)
            else:
                mean = relative @ weights[:, None] / weights.sum()
                relative -= mean
                squares = np.einsum("ij,ij,j->i", relative, relative, weights)
            return cls(rows.total_weight, low + mean[:, 0] * step, low, high, squares, span)

    def __add__(self, other: "Spread") -> "Spread":
        """Return the spread of both sets of rows."""
        weight = self.weight + other.weight
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        with np.errstate(over="ignore", invalid="ignore"):
            span = _power_of_two(high - low)
            step = np.where(span > 0, span, 1.0)
            difference = (other.mean - self.mean) / step
            squares = (
                self.squares * (self.span / step) ** 2
                + other.squares * (other.span / step) ** 2
                + difference**2 * (self.weight * other.weight / weight)
            )
            mean = np.where(low == high, low, self.mean + difference * step * (other.weight / weight))
        return Spread(weight, mean, low, high, squares, span)

    @property
    def sds(self) -> Array:
        """The sd (divisor Σw) of each column, shape (n_features,)."""
        return np.asarray(self.span * np.sqrt(self.squares / self.weight))

    @property
    def is_constant(self) -> Booleans:
        """Whether each column is constant, shape (n_features,)."""
        return np.asarray(self.low == self.high)

    def units(self, *, common: bool) -> Units:
        """Return units with the mean and sd (divisor Σw) of each column; a constant column has scale 1.

        Parameters
        ----------
        common : bool
            Use one scale for all columns, the root of their mean variance: see `Structure.has_common_scale`.

        Notes
        -----
        If values overflow, a scale may be 0, infinite or NaN: see `find_extreme_column`.
        """
        has_none = self.is_constant
        with np.errstate(over="ignore", invalid="ignore"):
            scale = self.sds
            if common:
                has_none = np.full_like(has_none, has_none.all())
                largest = scale.max()
                if largest > 0:
                    scale = np.full_like(scale, largest * np.sqrt(((scale / largest) ** 2).mean()))
        scale[has_none] = 1.0
        return Units(self.mean, scale)


def measure(blocks: Iterable[Rows]) -> Spread:
    """Measure the columns of a table in one pass.

    Parameters
    ----------
    blocks : iterable of Rows
        With at least one row of positive weight.

    Notes
    -----
    Means and centred squares of blocks are merged (Chan, Golub and LeVeque, 1983), never E[x²] − E[x]².
    """
    spreads = (Spread.of(block) for block in blocks if block.total_weight)
    total = next(spreads)
    for spread in spreads:
        total = total + spread
    return total


def find_extreme_column(units: Units) -> int | None:
    """Return the first column whose scale is beyond 10^±150, or None."""
    with np.errstate(divide="ignore", invalid="ignore"):
        extreme = ~(np.abs(np.log10(units.scale)) <= MAX_LOG10_SCALE) | ~np.isfinite(units.center)
    found = np.flatnonzero(extreme)
    return int(found[0]) if found.size else None


def find_far_column(distances: Array, units: Units) -> int | None:
    """Return the first column where a distance from the centre is too far to be squared, or None.

    Parameters
    ----------
    distances : ndarray of shape (n_features,), float64
        The largest distance in each column, in standard units; NaN counts as too far.
    units : Units
    """
    with np.errstate(over="ignore"):
        is_near = (distances <= FURTHEST_SD) & (distances * units.scale <= FURTHEST)
    found = np.flatnonzero(~is_near)
    return int(found[0]) if found.size else None


def find_extreme_variance(covariances: Array, structure: Structure, n_features: int) -> int | None:
    """Return the first feature with a variance outside NARROWEST_SD² to WIDEST_SD², or None.

    Parameters
    ----------
    covariances : ndarray, float64
        In standard units, in the shape of the structure.
    structure : Structure
    n_features : int
    """
    by_feature = structure.by_feature(covariances, n_features)
    is_usable = (by_feature >= NARROWEST_SD**2) & (by_feature <= WIDEST_SD**2)
    found = np.flatnonzero(~is_usable.all(axis=0))
    return int(found[0]) if found.size else None


def _power_of_two(x: Array) -> Array:
    """Return the smallest power of two that is at least |x|; 0 for 0."""
    return np.where(x == 0, 0.0, np.exp2(np.ceil(np.log2(np.where(x == 0, 1.0, x)))))
