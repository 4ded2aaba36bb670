"""Components that hardly any row belongs to are moved to where the mixture explains rows worst."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.em.loop import Origin, Step
from gmmcli.core.mixture import Array, CovarianceType, Integers, Mixture
from gmmcli.core.passes import Table
from gmmcli.core.quantiles import sampled_rows

# How often in the life of a model: a component that starves again and again is one too many.
MOST_TIMES = 3


def least_count(covariance_type: CovarianceType, n_features: int) -> int:
    """Return how many rows a component needs for a covariance of its own."""
    return {"full": n_features + 1, "diag": 2, "spherical": 2, "tied": 1}[covariance_type]


@dataclass(frozen=True)
class Reseeding:
    """The re-seeding of a run: a `loop.Mend`.

    Parameters
    ----------
    table : Table
    tell : callable
        Called with the components and the step that moves them.
    """

    table: Table
    tell: Callable[[list[int], int], None]

    def __call__(self, step: Step, stepped: Mixture) -> Origin | None:
        """Move the starved components of a step to another place in the mixture that follows it.

        Parameters
        ----------
        step : Step
        stepped : Mixture
            The mixture that M makes of the step.

        Returns
        -------
        Origin or None
            None where no component starves, the model was re-seeded `MOST_TIMES` times, or the table has too
            few rows for every component.

        Notes
        -----
        Rows in ascending order of log density, r of them a component's least count and t the number of
        re-seedings so far: the i-th starved component moves to row r (t K + 1 + i), beyond rows that may be
        outliers. It takes the weighted mean of the other covariances, and weight 1/K.
        """
        K, d = step.mixture.means.shape
        least = least_count(step.mixture.covariance_type, d)
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
    """Return the mixture with some of its components moved to rows."""
    K = mixture.n_components
    others = np.setdiff1d(np.arange(K), components)
    weights, means, covariances = mixture.weights.copy(), mixture.means.copy(), mixture.covariances
    weights[components] = 0.0
    weights *= (1 - components.size / K) / weights.sum()
    weights[components] = 1 / K
    means[components] = rows
    if mixture.covariance_type != "tied":
        covariances = covariances.copy()
        shares = weights[others] / weights[others].sum()
        covariances[components] = np.tensordot(shares, covariances[others], axes=1)
    return replace(mixture, weights=weights, means=means, covariances=covariances)
