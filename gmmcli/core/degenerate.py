"""Degenerate covariances: components that only a bound keeps from collapsing, and their cause."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import EPS
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.statistics import Statistics

# A column takes part in a direction if its coefficient is at least this fraction of the largest one.
_SHARE = 0.3
# How many times eps rounding may leave of a residual variance, for coefficients of 1.
_ROUNDING = 8.0


def find_narrow(mixture: Mixture, limits: Array) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Yield each component that is as narrow as the limits in some direction, and its columns.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    limits : ndarray of shape (n_features,), float64
        Sds, of columns; nothing is narrow if one of them is 0.

    Yields
    ------
    component : int or None
        None for a covariance that all components share.
    columns : tuple of int
    """
    if not (limits > 0).all():
        return
    is_equal = mixture.family.is_equal
    for k, covariance in enumerate(mixture.matrices[: 1 if is_equal else None]):
        whitened = covariance / limits / limits[:, None]
        if not _is_above(whitened, 1.0):
            variances, directions = np.linalg.eigh(whitened)
            shares = np.abs(directions[:, variances <= 1.0]).max(axis=1, initial=0.0)
            if shares.any():
                taking_part = np.flatnonzero(shares >= _SHARE * shares.max())
                yield None if is_equal else k, tuple(map(int, taking_part))


@dataclass(frozen=True)
class Dependent:
    """A column that is a linear combination of earlier columns.

    Parameters
    ----------
    column : int
    others : tuple of int
        The earlier columns that contribute more than the residual variance; empty for a constant column.
    """

    column: int
    others: tuple[int, ...]


@np.errstate(over="ignore", invalid="ignore")  # a coefficient that overflows is rounding error
def find_dependent(covariance: Array, floor: float) -> list[Dependent]:
    """Return the columns whose residual variance, given the columns before them, is at most `floor`.

    Parameters
    ----------
    covariance : ndarray of shape (d, d), float64
        Of a whole table, in standard units.
    floor : float

    Notes
    -----
    A Cholesky factorisation that skips such columns: d³ work, or d³/3 if there are none.
    """
    if _is_above(covariance, floor):
        return []
    found, kept = [], list[int]()
    inverse = np.zeros_like(covariance)  # of the Cholesky factor of the columns kept
    for j, variance in enumerate(np.diagonal(covariance)):
        m = len(kept)
        whitened = inverse[:m, :m] @ covariance[kept, j]
        coefficients = whitened @ inverse[:m, :m]
        rest = variance - whitened @ whitened
        if variance <= floor:
            found.append(Dependent(j, ()))
        elif rest <= max(
            floor, _ROUNDING * EPS * (1 + np.abs(coefficients).sum()) ** 2
        ):  # or rounding error alone
            parts = coefficients**2 * np.diagonal(covariance)[kept]
            taking_part = np.flatnonzero(parts > floor)  # without these the residual could exceed the floor
            found.append(Dependent(j, tuple(kept[i] for i in taking_part)))
        else:
            inverse[m, :m] = -coefficients / np.sqrt(rest)
            inverse[m, m] = 1 / np.sqrt(rest)
            kept.append(j)
    return found


def find_dependent_columns(statistics: Statistics, floor: float) -> list[Dependent]:
    """Return the columns that are dependent both about the common mean and about the component means.

    Clusters that are small compared with their distance lie nearly on a line or in a plane, even if each one
    is round. Their columns are dependent about the common mean only, and are not returned.
    """
    n = statistics.counts.sum()
    mean = (statistics.counts @ statistics.reference + statistics.sums.sum(axis=0)) / n
    pooled = pooled_covariance(statistics, np.broadcast_to(mean, statistics.sums.shape))
    if pooled.ndim == 1:  # variances alone: only constant columns can be found
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
    """Return the covariance of all rows, each about the mean of its component.

    Parameters
    ----------
    statistics : Statistics
    means : ndarray of shape (n_components, n_features), float64

    Returns
    -------
    ndarray of shape (n_features, n_features), float64
        For diag and spherical: the diagonal alone, shape (n_features,).
    """
    pooled = statistics.shifted(means).squares / statistics.counts.sum()
    return FAMILIES[statistics.covariance_type].structure.pool(pooled, means.shape[1])


def restricted(mixture: Mixture, columns: Sequence[int]) -> Mixture:
    """Return the marginal mixture of one or more columns."""
    covariances = mixture.structure.restrict(mixture.covariances, columns)
    return replace(mixture, means=mixture.means[:, columns], covariances=covariances)


def _is_above(covariance: Array, floor: float) -> bool:
    """Return whether every eigenvalue is above the floor, at a tenth of the cost of computing them."""
    try:
        np.linalg.cholesky(covariance - floor * np.eye(covariance.shape[0]))
    except np.linalg.LinAlgError:
        return False
    return True
