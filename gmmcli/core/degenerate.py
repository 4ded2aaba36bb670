"""Covariances that only the regularisation keeps from collapsing."""

from collections.abc import Iterator

import numpy as np

from gmmcli.core.family import covariances_of
from gmmcli.core.mixture import Array, Mixture

# At the floor: the data themselves contribute less than the regularisation does.
_FLOOR_FACTOR = 2.0
# A column takes part in a direction where its share of it is at least this.
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
            flat = np.abs(directions[:, variances <= floor]).max(axis=1, initial=0.0) >= _SHARE
            if flat.any():
                yield None if tied else k, tuple(map(int, np.flatnonzero(flat)))


def _is_above(covariance: Array, floor: float) -> bool:
    """Tell whether every variance is above the floor, at a tenth of the cost of the eigenvalues."""
    try:
        np.linalg.cholesky(covariance - floor * np.eye(covariance.shape[0]))
    except np.linalg.LinAlgError:
        return False
    return True
