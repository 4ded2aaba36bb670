"""How narrow a component may be in each column, by its spread and its rounding: the bound of `--min-sd`.

A constant added to variances biases every component. A bound changes only covariances that violate it.
"""

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import EPS, NARROWEST_SD

# A column is rounded if more than this share of its rows have the value of another row.
_ROUNDED_SHARE = 0.1
# The interquartile range of a normal distribution, in sd.
NORMAL_RANGE = 1.349
# Values nearer to each other than so many ulps of the largest differ by the rounding of doubles alone.
_ULPS = 16


@np.errstate(over="ignore")  # a range that overflows is wider than the sd
def narrowest_sds(sample: Array, sds: Array, factor: float) -> Array:
    """Return how narrow a component may be in each column.

    Parameters
    ----------
    sample : ndarray of shape (n_features, n_rows), float64
        Some rows of the table, at least one, in any units.
    sds : ndarray of shape (n_features,), float64
        Of the columns of the whole table, in the same units; positive.
    factor : float
        Of a column's robust spread: the smaller of its sd and its interquartile range / 1.349, the sd where
        that range is 0.

    Returns
    -------
    ndarray of shape (n_features,), float64
        The larger of factor · spread and, in a rounded column, its resolution / √12, which is the sd of what
        rounding removes; at most the sd of the column.

    Notes
    -----
    One sort per column.
    """
    lower, upper = np.quantile(sample, (0.25, 0.75), axis=1)
    ranges = (upper - lower) / NORMAL_RANGE
    spreads = np.where(ranges > 0, np.minimum(ranges, sds), sds)
    resolutions = np.array([resolution(column) for column in sample])
    least = np.maximum(factor * spreads, NARROWEST_SD * sds)
    return np.asarray(np.minimum(np.maximum(least, resolutions / np.sqrt(12)), sds))


def resolution(column: Array) -> float:
    """Return the smallest difference of two values of a rounded column; 0 if it is not rounded."""
    ordered = np.sort(column)
    steps = np.diff(ordered)
    is_step = steps > _ULPS * EPS * max(-ordered[0], ordered[-1], 0.0)
    starts = np.concatenate([[True], is_step])  # of runs of equal values
    sizes = np.diff(np.append(np.flatnonzero(starts), ordered.size))
    if not is_step.any() or sizes[sizes > 1].sum() <= _ROUNDED_SHARE * ordered.size:
        return 0.0
    return float(steps[is_step].min())
