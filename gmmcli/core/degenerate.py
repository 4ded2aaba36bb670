"""Covariances that only the regularisation keeps from collapsing, and tables that make them so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.family import covariances_of
from gmmcli.core.kernel.constants import EPS
from gmmcli.core.mixture import Array, Mixture
from gmmcli.core.statistics import Statistics

# At the floor: the data themselves contribute less than the regularisation does.
_FLOOR_FACTOR = 2.0
# A column takes part in a direction where its share of it is at least so much of the largest.
_SHARE = 0.3


def find_floored(mixture: Mixture, reg_covar: float) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Yield each component that is flat in some direction, with the columns of that direction.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    reg_covar : float
        What was added to the variances; with 0 there is no floor.

    Yields
    ------
    component : int or None
        None for a covariance that all share.
    columns : tuple of int
    """
    floor = _FLOOR_FACTOR * reg_covar
    if mixture.covariance_type in ("diag", "spherical"):
        flat = mixture.covariances.reshape(mixture.n_components, -1) <= floor
        for k in map(int, np.flatnonzero(flat.any(axis=1))):
            yield k, tuple(map(int, np.flatnonzero(np.broadcast_to(flat[k], mixture.n_features))))
        return
    tied = mixture.covariance_type == "tied"
    for k, covariance in enumerate(covariances_of(mixture)[: 1 if tied else None]):
        if not _is_above(covariance, floor):
            variances, directions = np.linalg.eigh(covariance)
            shares = np.abs(directions[:, variances <= floor]).max(axis=1, initial=0.0)
            if shares.any():
                taking_part = np.flatnonzero(shares >= _SHARE * shares.max())
                yield None if tied else k, tuple(map(int, taking_part))


def rows_needed(covariance_type: str, n_features: int, n_components: int) -> int:
    """Return the fewest rows that determine the covariances of so many components."""
    match covariance_type:
        case "full":
            return n_components * (n_features + 1)
        case "tied":
            return n_components + n_features
        case _:
            return n_components * 2


@dataclass(frozen=True)
class Dependent:
    """A column that the columns before it determine.

    Parameters
    ----------
    column : int
    others : tuple of int
        Those whose part is more than the variance that is left; none if the column is constant.
    """

    column: int
    others: tuple[int, ...]


@np.errstate(over="ignore", invalid="ignore")  # coefficients that leave the doubles are rounding
def find_dependent(covariance: Array, floor: float) -> list[Dependent]:
    """Return the columns of which those before leave at most `floor` of variance.

    Parameters
    ----------
    covariance : ndarray of shape (d, d), float64
        Of a whole table, in standard units.
    floor : float

    Notes
    -----
    A Cholesky factorisation that passes over such columns: d³ work, and d³/3 where there is none.
    """
    if _is_above(covariance, floor):
        return []
    found, kept = [], list[int]()
    inverse = np.zeros_like(covariance)  # of the factor of the columns kept
    for j, variance in enumerate(np.diagonal(covariance)):
        m = len(kept)
        whitened = inverse[:m, :m] @ covariance[kept, j]
        coefficients = whitened @ inverse[:m, :m]
        rest = variance - whitened @ whitened
        if variance <= floor:
            found.append(Dependent(j, ()))
        elif rest <= max(floor, EPS * (1 + np.abs(coefficients).sum()) ** 2):  # less is rounding
            parts = coefficients**2 * np.diagonal(covariance)[kept]
            taking_part = np.flatnonzero(parts > floor)  # without it, more than that may be left
            found.append(Dependent(j, tuple(kept[i] for i in taking_part)))
        else:
            inverse[m, :m] = -coefficients / np.sqrt(rest)
            inverse[m, m] = 1 / np.sqrt(rest)
            kept.append(j)
    return found


def find_dependent_columns(statistics: Statistics, floor: float) -> list[Dependent]:
    """Return the columns that others determine, about the means of components as about the common mean.

    Clusters that are small beside their distance lie on a line, or in a plane, however round they are: their
    columns are not dependent.
    """
    n = statistics.counts.sum()
    mean = (statistics.counts @ statistics.reference + statistics.sums.sum(axis=0)) / n
    pooled = pooled_covariance(statistics, np.broadcast_to(mean, statistics.sums.shape))
    if pooled.ndim == 1:  # variances alone: no column has a part in another
        return [Dependent(int(j), ()) for j in np.flatnonzero(pooled <= floor)]
    found = find_dependent(pooled, floor)
    if not any(one.others for one in found):
        return found
    counts = np.where(statistics.counts > 0, statistics.counts, 1.0)
    within = pooled_covariance(statistics, statistics.reference + statistics.sums / counts[:, None])
    sds = np.sqrt(np.maximum(np.diagonal(within), 0.0))
    correlation = within / np.where(sds > 0, sds, np.inf) / np.where(sds > 0, sds, np.inf)[:, None]
    np.fill_diagonal(correlation, 1.0)
    dependent_within = {one.column for one in find_dependent(correlation, floor)}
    return [one for one in found if not one.others or one.column in dependent_within]


def pooled_covariance(statistics: Statistics, means: Array) -> Array:
    """Return the covariance of all rows about given means, one per component.

    Parameters
    ----------
    statistics : Statistics
    means : ndarray of shape (n_components, n_features), float64

    Returns
    -------
    ndarray of shape (n_features, n_features), float64
        Its diagonal, shape (n_features,), where the type knows no products.
    """
    pooled = statistics.shifted(means).squares / statistics.counts.sum()
    match statistics.covariance_type:
        case "full":
            return np.asarray(pooled.sum(axis=0))
        case "tied":
            return np.asarray(pooled)
        case "diag":
            return np.asarray(pooled.sum(axis=0))
        case "spherical":
            return np.full(means.shape[1], pooled.sum() / means.shape[1])


def restricted(mixture: Mixture, columns: Sequence[int]) -> Mixture:
    """Return the marginal mixture of some columns, at least one."""
    covariances = mixture.covariances
    match mixture.covariance_type:
        case "full" | "tied":
            covariances = covariances[..., columns, :][..., columns]
        case "diag":
            covariances = covariances[:, columns]
    return replace(mixture, means=mixture.means[:, columns], covariances=covariances)


def _is_above(covariance: Array, floor: float) -> bool:
    """Tell whether every variance is above the floor, at a tenth of the cost of the eigenvalues."""
    try:
        np.linalg.cholesky(covariance - floor * np.eye(covariance.shape[0]))
    except np.linalg.LinAlgError:
        return False
    return True
