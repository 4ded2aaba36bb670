"""The quantities of rows under a mixture that predict writes and score sums. numpy only."""

from collections.abc import Collection

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.kernel.block import Block
from gmmcli.core.kernel.kernel import Kernel, normalise

# The quantities: arrays of shape (n,), or of shape (K, n) in PER_COMPONENT, for a block of n rows.
PER_ROW = ("assignment", "probability", "distance", "log_density", "log_max_posterior", "entropy")
PER_COMPONENT = ("probabilities", "distances")


def evaluate(kernel: Kernel, block: Block, wanted: Collection[str]) -> dict[str, Array | Integers]:
    """Return the wanted quantities of the rows in a block.

    Parameters
    ----------
    kernel : Kernel
    block : Block
        From a workspace for the kernel, with finite rows in standard units.
    wanted : collection of str
        Names from PER_ROW and PER_COMPONENT.

    Returns
    -------
    dict of ndarray
        assignment : the most probable component, 0-based, int64; the first one among ties.
        probability : posterior of the assigned component; probabilities : of every component.
        distances : Mahalanobis distance to every component, in sd; distance : to the assigned component.
        log_density : nats, standard units.
        log_max_posterior, entropy : nats.
    """
    shift = kernel.log_joint(block)
    assignment = block.per_row(block.log_resp.argmax(axis=1))
    normalise(block, shift)
    log_max_posterior = -block.per_row(block.total)
    found: dict[str, Array | Integers] = {
        "assignment": assignment,
        "log_density": block.per_row(block.peak) - log_max_posterior,
        "log_max_posterior": log_max_posterior,
    }
    if "probabilities" in wanted:
        found["probabilities"] = block.per_component(block.log_resp)
    if "probability" in wanted:
        found["probability"] = np.exp(log_max_posterior)
    if "entropy" in wanted:
        found["entropy"] = entropy(block.per_component(block.log_resp))
    if "distances" in wanted or "distance" in wanted:
        found["distances"] = kernel.distances(block)
        found["distance"] = np.take_along_axis(found["distances"], assignment[None], axis=0)[0]
    return {name: found[name] for name in wanted}


def entropy(resp: Array) -> Array:
    """Return −Σ r ln r over the components of each row, nats; 0 ln 0 is 0."""
    logs = np.log(np.where(resp > 0, resp, 1.0))
    return np.asarray(-np.einsum("kn,kn->n", resp, logs))
