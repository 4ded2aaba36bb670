"""What a mixture says about rows: the quantities that predict writes and score sums. numpy only."""

from collections.abc import Collection

import numpy as np

from gmmcli.core.kernel import Kernel, Workspace, normalise
from gmmcli.core.mixture import Array, Integers

# Each quantity and its shape for a block of n rows: (n,) or, in PER_COMPONENT, (K, n).
PER_ROW = ("assignment", "probability", "distance", "log_density", "log_max_posterior", "entropy")
PER_COMPONENT = ("probabilities", "distances")


def evaluate(
    kernel: Kernel, X: Array, work: Workspace, wanted: Collection[str]
) -> dict[str, Array | Integers]:
    """Return the wanted quantities of one block.

    Parameters
    ----------
    kernel : Kernel
    X : ndarray of shape (n_features, n_rows), float64
        Finite, in standard units.
    work : Workspace
    wanted : collection of str
        Of PER_ROW and PER_COMPONENT.

    Returns
    -------
    dict of ndarray
        assignment : int64, 0-based, the most probable component (the first of equals).
        probability : its posterior; probabilities : all of them.
        distances : Mahalanobis, in sd; distance : to the assigned component.
        log_density : nats, standard units.
        log_max_posterior, entropy : nats.
    """
    log_joint, shift = kernel.log_joint(X, work)
    assignment = log_joint.argmax(axis=0)
    resp = log_joint
    log_density, log_max_posterior = normalise(resp, work)
    if shift is not None:
        log_density += shift
    found: dict[str, Array | Integers] = {
        "assignment": assignment,
        "log_density": log_density,
        "log_max_posterior": log_max_posterior,
    }
    if "probabilities" in wanted:
        found["probabilities"] = resp.copy()
    if "probability" in wanted:
        found["probability"] = np.exp(log_max_posterior)
    if "entropy" in wanted:
        found["entropy"] = entropy(resp)
    if "distances" in wanted or "distance" in wanted:
        found["distances"] = kernel.distances(X, work)
        found["distance"] = np.take_along_axis(found["distances"], assignment[None], axis=0)[0]
    return {name: found[name] for name in wanted}


def entropy(resp: Array) -> Array:
    """Return −Σ r ln r over the components of each row, nats; 0 ln 0 is 0."""
    logs = np.log(np.where(resp > 0, resp, 1.0))
    return np.asarray(-np.einsum("kn,kn->n", resp, logs))
