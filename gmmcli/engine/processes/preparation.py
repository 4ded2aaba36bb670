"""The constants of a large mixture, computed in parts by several processes."""

from collections.abc import Sequence

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.full import Full
from gmmcli.core.kernel.block import choose_layout
from gmmcli.core.kernel.constants import Constants
from gmmcli.core.mixture import Mixture
from gmmcli.engine.processes.exchange import split

# One process finishes work K·d³ below this before others have received the request.
LEAST_WORK = 1e7
# Other structures need less work.
_FULL = Full()


def is_worth_sharing(mixture: Mixture) -> bool:
    """Return whether several processes compute a mixture's constants sooner than one process."""
    return mixture.structure.has_products and mixture.means.size * mixture.n_features**2 > LEAST_WORK


def parts_of(n_components: int, n_processes: int) -> list[slice]:
    """Return the components of each part: at most one part per process."""
    count = -(-n_components // n_processes)
    return [slice(first, first + count) for first in range(0, n_components, count)]


def find_part(part: slice, arrays: Sequence[Array], memory: Array) -> bool:
    """Compute the constants of some components, and write them to their places in memory.

    Parameters
    ----------
    part : slice
    arrays : sequence of ndarray
        Weights, means and full covariances.
    memory : ndarray of shape (n,), float64
        With at least `Layout.most_sums` numbers.

    Returns
    -------
    bool
        False if a covariance is not positive definite.
    """
    weights, means, covariances = arrays
    K, d = means.shape
    layout = choose_layout(_FULL, d, K)
    factors, natural, is_unsafe = split(memory, Constants.shapes(_FULL, K, d, layout))
    try:
        found = Constants.of_components(weights[part], means[part], covariances[part], _FULL, layout)
    except np.linalg.LinAlgError:
        return False
    factors[part], natural[part], is_unsafe[part] = found.factors, found.natural, found.is_unsafe
    return True


def read(memory: Array, n_components: int, n_features: int) -> Constants:
    """Return a copy of the constants in memory; factors are copied only if an evaluation reads them."""
    K, d = n_components, n_features
    factors, natural, is_unsafe = split(memory, Constants.shapes(_FULL, K, d, choose_layout(_FULL, d, K)))
    unsafe = is_unsafe != 0.0
    are_read = unsafe.any() or not natural.size  # the centred form alone reads factors
    return Constants(factors.copy() if are_read else factors, natural.copy(), unsafe)
