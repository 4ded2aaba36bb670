"""What evaluating a large mixture needs, found by several processes: each takes a part if it is in time."""

from collections.abc import Sequence

import numpy as np

from gmmcli.core.kernel.block import choose_layout
from gmmcli.core.kernel.constants import Constants
from gmmcli.core.mixture import Array, Mixture
from gmmcli.engine.processes.exchange import split

# Work, K·d³, that one process has done before others have been told of it.
LEAST_WORK = 1e7


def is_worth_sharing(mixture: Mixture) -> bool:
    """Tell whether several processes find a mixture's constants sooner than one."""
    return mixture.covariance_type == "full" and mixture.means.size * mixture.n_features**2 > LEAST_WORK


def parts_of(n_components: int, n_processes: int) -> list[slice]:
    """Return the components of each part: one part for each process, as far as there are components."""
    count = -(-n_components // n_processes)
    return [slice(first, first + count) for first in range(0, n_components, count)]


def find_part(part: slice, arrays: Sequence[Array], memory: Array) -> bool:
    """Write the constants of some components to their places in memory.

    Parameters
    ----------
    part : slice
    arrays : sequence of ndarray
        Weights, means and full covariances.
    memory : ndarray of shape (n,), float64
        For `Layout.most_sums` numbers.

    Returns
    -------
    bool
        False where a covariance is not positive definite.
    """
    weights, means, covariances = arrays
    K, d = means.shape
    layout = choose_layout("full", d, K)
    factors, natural, is_unsafe = split(memory, Constants.shapes("full", K, d, layout))
    try:
        found = Constants.of_components(weights[part], means[part], covariances[part], layout)
    except np.linalg.LinAlgError:
        return False
    factors[part], natural[part], is_unsafe[part] = found.factors, found.natural, found.is_unsafe
    return True


def read(memory: Array, n_components: int, n_features: int) -> Constants:
    """Return a copy of the constants that lie in memory; factors that no evaluation reads are not copied."""
    K, d = n_components, n_features
    factors, natural, is_unsafe = split(memory, Constants.shapes("full", K, d, choose_layout("full", d, K)))
    unsafe = is_unsafe != 0.0
    are_read = unsafe.any() or not natural.size  # by the centred form alone
    return Constants(factors.copy() if are_read else factors, natural.copy(), unsafe)
