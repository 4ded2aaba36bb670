"""Re-seeding: a starved component moves to a row that the mixture explains badly."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.em.loop import Origin, Step
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Table
from gmmcli.core.quantiles import sampled_rows

# Re-seedings in the life of a model. If components starve again after that, the model has too many.
MOST_TIMES = 3


@dataclass(frozen=True)
class Reseeding:
    """The re-seeding of a run: a `loop.Mend`.

    Parameters
    ----------
    table : Table
    tell : callable
        Called with the starved components and the number of the step that moves them.
    """

    table: Table
    tell: Callable[[list[int], int], None]

    def __call__(self, step: Step, stepped: Mixture) -> Origin | None:
        """Return the mixture that follows a step with its starved components moved, as a new origin.

        Parameters
        ----------
        step : Step
        stepped : Mixture
            The mixture that the M-step makes of the step.

        Returns
        -------
        Origin or None
            None if no component starves, the model was re-seeded `MOST_TIMES` times, or the table has too few
            rows for all components.

        Notes
        -----
        Sort the rows by log density, ascending. Let r be the least count of a component and t the number of
        earlier re-seedings. The i-th starved component moves to row r (t K + 1 + i), which skips the rows
        that may be outliers. It gets the weighted mean of the other covariances, and weight 1/K.
        """
        K, d = step.mixture.means.shape
        least = step.mixture.family.least_count(d)
        statistics, done = step.expectation.statistics, step.memory.reseeded
        counts = statistics.counts * (statistics.rows / statistics.total_weight)
        starved = np.flatnonzero(counts < least)
        if not starved.size or starved.size == K or done >= MOST_TIMES or K * least > self.table.n_rows:
            return None
        log_densities = step.expectation.log_densities
        order = np.argsort(log_densities, kind="stable")
        places = order[np.minimum(least * (done * K + 1 + np.arange(starved.size)), order.size - 1)]
        worst = self.table.take(sampled_rows(places, self.table.n_rows, log_densities.size)).X.T
        self.tell(starved.tolist(), step.number + 1)
        memory = replace(step.memory, reseeded=done + 1)
        return Origin(_replaced(stepped, starved, worst), step.number + 1, (), memory)


def _replaced(mixture: Mixture, components: Integers, rows: Array) -> Mixture:
    """Return the mixture with the given components moved to the given rows."""
    K = mixture.n_components
    others = np.setdiff1d(np.arange(K), components)
    weights, means, covariances = mixture.weights.copy(), mixture.means.copy(), mixture.covariances
    weights[components] = 0.0
    weights *= (1 - components.size / K) / weights.sum()
    weights[components] = 1 / K
    means[components] = rows
    if not mixture.family.is_equal:
        covariances = covariances.copy()
        shares = weights[others] / weights[others].sum()
        covariances[components] = np.tensordot(shares, covariances[others], axes=1)
    return replace(mixture, weights=weights, means=means, covariances=covariances)
