"""The log-likelihood of a table, and the information criteria that follow from it: lower is better."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Fitness:
    """A log-likelihood, and the rows that it was summed over.

    Parameters
    ----------
    log_likelihood : float
        Nats, table's units.
    log_max_posterior : float
        Σ over rows of the log of the largest responsibility.
    rows : int
    total_weight : float
    n_parameters : int
    """

    log_likelihood: float
    log_max_posterior: float
    rows: int
    total_weight: float
    n_parameters: int

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit weight."""
        return self.log_likelihood / self.total_weight

    @property
    def aic(self) -> float:
        """2p − 2L; Akaike (1974)."""
        return 2 * self.n_parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """p·ln n − 2L, n the total weight of the rows; Schwarz (1978)."""
        return self.n_parameters * math.log(self.total_weight) - 2 * self.log_likelihood

    @property
    def icl(self) -> float:
        """Bic − 2 Σ ln max posterior; Biernacki, Celeux and Govaert (2000)."""
        return self.bic - 2 * self.log_max_posterior
