"""Which optima look spurious: the likelihood is high because a component fits a few rows by chance."""

from typing import Literal, NamedTuple

import numpy as np

from gmmcli.core.arrays import Array, PerComponent
from gmmcli.core.covariances.structure import LEAST_VARIANCE
from gmmcli.core.degenerate import find_narrow
from gmmcli.core.mixture import Mixture

# A component is far smaller than the others if its log-determinant is lower than each of theirs by the first
# per feature, and if its narrowest sd is less than theirs by the second as a factor.
_FAR_SMALLER, _FAR_NARROWER = 1.5, 3.0
# A mixture is nearly as likely as another if its log-likelihood is lower by less, in nats.
NEARLY = 6.0


class Flaw(NamedTuple):
    """Why an optimum looks spurious.

    Parameters
    ----------
    kind : {"few_rows", "narrow", "small"}
        A component has fewer rows than its covariance needs, is as narrow as its bound, or is far smaller
        than the others and nearly flat, although a mixture without such a component is nearly as likely.
    component : int or None
        None for a covariance that all components share.
    rows : float
        Effective rows of the component, or of all.
    """

    kind: Literal["few_rows", "narrow", "small"]
    component: int | None
    rows: float


def find_flaw(mixture: Mixture, counts: PerComponent, limits: Array) -> Flaw | None:
    """Return what is wrong with a component, whatever other optima there are; None if all are sound.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    counts : ndarray of shape (K,), float64
        Effective rows of the components.
    limits : ndarray of shape (d,), float64
        See `Rules.limits`.
    """
    d = mixture.n_features
    for component, _ in find_narrow(mixture, limits):
        return Flaw("narrow", component, float(counts.sum() if component is None else counts[component]))
    k = int(np.argmin(counts))
    return Flaw("few_rows", k, float(counts[k])) if counts[k] < mixture.family.least_count(d) else None


def find_small(mixture: Mixture) -> int | None:
    """Return the component that is far smaller than all others, and nearly flat; None if there is none.

    Only covariances with correlations can be flat in any direction that a few rows happen to share.
    """
    if mixture.n_components == 1 or mixture.family.is_equal or not mixture.structure.has_correlations:
        return None
    variances = np.linalg.eigvalsh(mixture.matrices)
    log_determinants, narrowest = np.log(np.maximum(variances, LEAST_VARIANCE)).sum(axis=1), variances[:, 0]
    smallest = int(np.argmin(log_determinants))
    others = np.arange(mixture.n_components) != smallest
    gap = log_determinants[others].min() - log_determinants[smallest]
    is_flat = narrowest[smallest] * _FAR_NARROWER**2 < narrowest[others].min()
    return smallest if is_flat and gap > _FAR_SMALLER * mixture.n_features else None
