"""The convergence test."""

from collections.abc import Sequence

import numpy as np

from gmmcli.core.covariances.structure import EPS


def remaining_gain(likelihoods: Sequence[float]) -> float | None:
    """Estimate the distance of the last three mean log-likelihoods from their limit.

    Returns
    -------
    float or None
        In nats per unit weight; None if there are fewer than three values or the gains grow.

    Notes
    -----
    Aitken's extrapolation of a linearly converging sequence; Böhning et al. (1994). A bound on the last gain
    alone would stop too early where EM is slow.
    """
    if len(likelihoods) < 3:
        return None
    l0, l1, l2 = likelihoods[-3:]
    d1, d2 = l1 - l0, l2 - l1
    if abs(d2) <= 64 * EPS * abs(l2):
        return 0.0
    ratio = d2 / d1 if d1 else d2 * np.inf
    if ratio >= 1:
        return None
    return abs(d2) if ratio < 0 else abs(d2) * ratio / (1 - ratio)


def has_converged(likelihoods: Sequence[float], tol: float) -> bool:
    """Return whether the last three mean log-likelihoods are within `tol` of their limit.

    Notes
    -----
    Both the last gain and the estimated remaining gain must be below `tol`. The estimate alone is not enough:
    the gain of a first step is disproportionately large, and makes the remaining gain look small
    (docs/decisions/0011).
    """
    gain = remaining_gain(likelihoods)
    return gain is not None and gain < tol and (gain == 0 or abs(likelihoods[-1] - likelihoods[-2]) < tol)
