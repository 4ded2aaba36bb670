"""When a run to convergence may stop."""

from collections.abc import Sequence

import numpy as np

from gmmcli.core.kernel.constants import EPS


def remaining_gain(likelihoods: Sequence[float]) -> float | None:
    """Estimate how far three consecutive mean log-likelihoods are from their limit.

    Returns
    -------
    float or None
        None with fewer than three values, or where the gains grow.

    Notes
    -----
    Aitken's extrapolation of a linearly converging sequence; Böhning et al. (1994). "The gain is small"
    alone would stop early wherever EM is slow.
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
    """Tell whether three consecutive mean log-likelihoods are within `tol` of their limit.

    Notes
    -----
    The last gain has to be below `tol` as well as what is estimated to remain. A rate below ½ says that less
    remains than was gained last; where the first of the two gains is that of a first step, which is out of
    proportion, it says nothing at all (docs/decisions/0011).
    """
    gain = remaining_gain(likelihoods)
    return gain is not None and gain < tol and (gain == 0 or abs(likelihoods[-1] - likelihoods[-2]) < tol)
