"""The model as other programs get it."""

from dataclasses import dataclass

from gmmcli.core.mixture import Mixture


@dataclass(frozen=True, eq=False)
class PortableModel:
    """A mixture in the table's units with the names it needs.

    Parameters
    ----------
    mixture : Mixture
        In the table's units.
    features : tuple of str
    global_step : int
    converged : bool
    log_likelihood : float
        Of the table it was fitted to, nats, table's units.
    rows : int
    total_weight : float
    """

    mixture: Mixture
    features: tuple[str, ...]
    global_step: int
    converged: bool
    log_likelihood: float
    rows: int
    total_weight: float
