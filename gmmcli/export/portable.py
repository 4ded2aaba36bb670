"""The content of an export."""

from dataclasses import dataclass

from gmmcli.core.mixture import Mixture


@dataclass(frozen=True, eq=False)
class PortableModel:
    """A mixture in the table's units, its columns, and facts about its training.

    Parameters
    ----------
    log_likelihood : float
        Of the training rows, in nats and the table's units.
    """

    mixture: Mixture
    features: tuple[str, ...]
    global_step: int
    converged: bool
    log_likelihood: float
    rows: int
    total_weight: float
