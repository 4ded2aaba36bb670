"""How likely a table is under a mixture, in the table's units, and the criteria that follow."""

from dataclasses import dataclass

from gmmcli.core import selection
from gmmcli.store.checkpoint import Checkpoint


@dataclass(frozen=True)
class Fitness:
    """A log-likelihood with what it was summed over.

    Parameters
    ----------
    log_likelihood : float
        Nats, table's units.
    rows : int
    total_weight : float
    n_parameters : int
    """

    log_likelihood: float
    rows: int
    total_weight: float
    n_parameters: int

    @property
    def mean_log_likelihood(self) -> float:
        """Per unit weight."""
        return self.log_likelihood / self.total_weight

    @property
    def aic(self) -> float:
        """2p − 2L."""
        return selection.aic(self.log_likelihood, self.n_parameters)

    @property
    def bic(self) -> float:
        """p·ln n − 2L."""
        return selection.bic(self.log_likelihood, self.n_parameters, self.total_weight)

    def icl(self, log_max_posterior: float) -> float:
        """Return bic − 2 Σ ln max posterior."""
        return selection.icl(self.log_likelihood, self.n_parameters, self.total_weight, log_max_posterior)


def fitness_of(checkpoint: Checkpoint) -> Fitness:
    """Return the fitness that a checkpoint's own E found."""
    statistics = checkpoint.statistics
    log_likelihood = statistics.log_likelihood - statistics.total_weight * checkpoint.units.log_jacobian
    return Fitness(log_likelihood, statistics.rows, statistics.total_weight, checkpoint.mixture.n_parameters)
