"""Covariances that only the regularisation keeps from collapsing."""

from collections.abc import Iterator

import numpy as np

from gmmcli.core.family import covariances_of
from gmmcli.core.mixture import Mixture

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
    tied = mixture.covariance_type == "tied"
    for k, covariance in enumerate(covariances_of(mixture)[: 1 if tied else None]):
        variances, directions = np.linalg.eigh(covariance)
        flat = np.abs(directions[:, variances <= _FLOOR_FACTOR * reg_covar])
        if flat.size:
            yield None if tied else k, tuple(map(int, np.flatnonzero(flat.max(axis=1) >= _SHARE)))
