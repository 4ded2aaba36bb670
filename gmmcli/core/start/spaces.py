"""The spaces in which starts look for clusters: no single one shows the clusters of every table."""

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.narrowest import NORMAL_RANGE

# Distances to the median beyond so many robust sds count as this many: outliers do not attract centres.
_FURTHEST = 4.0
# A principal direction with a smaller share of the largest variance is rounding error.
_LEAST_VARIANCE = 1e-8
# The numbers of leading principal directions that starts try in turn.
DIRECTIONS = (1, 2, 3, 5)


def points_in(space: str, X: Array, scale: Array, turn: int) -> Array:
    """Return rows in a space.

    Parameters
    ----------
    space : {"standard", "robust", "table", "whitened", "principal", "column"}
        Standard units; units of the robust sd of each column, with outliers moved near; the table's units;
        units in which the table has covariance 1; the leading principal directions of standard units; one
        column alone.
    X : ndarray of shape (n_features, n_rows), float64
        In standard units.
    scale : ndarray of shape (n_features,), float64
        One standard unit of each column, in the table's units.
    turn : int
        Counts the starts in this space; decides the number of principal directions, or the column.

    Returns
    -------
    ndarray of shape (n_dimensions, n_rows), float64
    """
    match space:
        case "robust":
            lower, median, upper = np.quantile(X, (0.25, 0.5, 0.75), axis=1)[:, :, None]
            ranges = (upper - lower) / NORMAL_RANGE
            robust = (X - median) / np.where(ranges > 0, ranges, 1.0)
            return np.asarray(np.clip(robust, -_FURTHEST, _FURTHEST))
        case "column":
            return np.asarray(X[turn % len(X)][None])
        case "table":
            return np.asarray(X * (scale / scale.max())[:, None])
        case "whitened" | "principal":
            centred = X - X.mean(axis=1, keepdims=True)
            variances, directions = np.linalg.eigh(centred @ centred.T / X.shape[1])
            variances, directions = variances[::-1], directions[:, ::-1]
            if space == "whitened":
                kept = variances > _LEAST_VARIANCE * variances[0]
                sds = np.sqrt(variances[kept])[:, None] if kept.any() else 1.0
                return np.asarray(directions[:, kept].T @ centred / sds) if kept.any() else centred
            n_directions = min(DIRECTIONS[turn % len(DIRECTIONS)], len(X))
            return np.asarray(directions[:, :n_directions].T @ centred)
        case _:
            return X
