"""Learning from rows that the stored statistics do not know yet, without the rows that they do know."""

from collections.abc import Mapping

import numpy as np

from gmmcli.core import em
from gmmcli.core.em import Expect, Expectation
from gmmcli.core.mixture import Array, Mixture
from gmmcli.core.statistics import Statistics

_KEY = "approximate"


def absorb(
    mixture: Mixture,
    stored: Statistics,
    expectation: Expect,
    *,
    steps: int,
    params: str = em.PARAMS,
    reg_covar: float = 0.0,
) -> tuple[Mixture, Statistics, Expectation]:
    """Update a mixture with new rows.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    stored : Statistics
        Of all earlier rows, each batch under the mixture of its time: they stay as they are.
    expectation : callable
        One E over the new rows.
    steps : int
        How often M and the E of the new rows are repeated.
    params, reg_covar
        As in `em.maximise`.

    Returns
    -------
    mixture : Mixture
    statistics : Statistics
        The stored ones and those of the new rows under the returned mixture.
    found : Expectation
        Of the new rows alone.

    Raises
    ------
    CovarianceNotPositive

    Notes
    -----
    `steps` + 1 passes over the new rows. Incremental EM: Neal and Hinton (1998).
    """
    found = expectation(mixture)
    for _ in range(steps):
        mixture = em.maximise(stored + found.statistics, mixture, params, reg_covar)
        found = expectation(mixture)
    return mixture, stored + found.statistics, found


def is_approximate(run: Mapping[str, Array]) -> bool:
    """Tell by a pair's run state whether its statistics were gathered under several mixtures."""
    return _KEY in run


def marked(run: Mapping[str, Array]) -> dict[str, Array]:
    """Return a run state that says so."""
    return {**run, _KEY: np.ones(1)}
