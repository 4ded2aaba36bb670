"""The fitness that a checkpoint's own E found."""

from gmmcli.core.selection import Fitness
from gmmcli.store.checkpoint import Checkpoint


def fitness_of(checkpoint: Checkpoint) -> Fitness:
    """Return the fitness of a checkpoint to its own table, in the table's units."""
    statistics = checkpoint.statistics
    return Fitness(
        checkpoint.log_likelihood,
        statistics.log_max_posterior,
        statistics.rows,
        statistics.total_weight,
        checkpoint.mixture.n_parameters,
    )
