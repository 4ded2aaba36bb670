"""Components that hardly any row belongs to are moved to where the mixture explains rows worst."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.em import Pair, part_of
from gmmcli.core.mixture import Array, CovarianceType, Integers, Mixture
from gmmcli.core.quantiles import sampled_rows
from gmmcli.core.start import Rows

# How often in the life of a model: a component that starves again and again is one too many.
MOST_TIMES = 3
_KEY = "reseeded"


def least_count(covariance_type: CovarianceType, n_features: int) -> int:
    """Return how many rows a component needs for a covariance of its own."""
    return {"full": n_features + 1, "diag": 2, "spherical": 2, "tied": 1}[covariance_type]


def times(run: Mapping[str, Array]) -> int:
    """Return how often components have been re-seeded, by the run state of a pair."""
    return int(run[_KEY][0]) if _KEY in run else 0


def remembered(run: Mapping[str, Array]) -> dict[str, Array]:
    """Return what of a run state counts for the life of the model."""
    return part_of(run, (_KEY,))


@dataclass(frozen=True)
class Reseeding:
    """The re-seeding of a run: an `em.Mend`.

    Parameters
    ----------
    rows : Rows
    tell : callable
        Told the components and the step that moves them.
    """

    rows: Rows
    tell: Callable[[list[int], int], None]

    def __call__(self, pair: Pair, stepped: Mixture) -> Pair | None:
        """Give the starved components of a pair another place in the mixture that follows it.

        Parameters
        ----------
        pair : Pair
        stepped : Mixture
            What M makes of it.

        Returns
        -------
        Pair or None
            The next mixture; its E is still to be made. None where no component starves, the model has been
            mended often enough, or the table has too few rows for every component to thrive.

        Notes
        -----
        In the order of densities, lowest first, a new component stands on the row that comes after as many as
        a component needs: those may be outliers. Further ones follow at that distance. It has the mean of the
        other covariances, and an equal share of the weight.
        """
        K, d = pair.mixture.means.shape
        least = least_count(pair.mixture.covariance_type, d)
        statistics, done = pair.expectation.statistics, times(pair.run)
        counts = statistics.counts * (statistics.rows / statistics.total_weight)
        starved = np.flatnonzero(counts < least)
        if not starved.size or starved.size == K or done >= MOST_TIMES or K * least > self.rows.n_rows:
            return None
        log_densities = pair.expectation.log_densities
        order = np.argsort(log_densities, kind="stable")
        places = order[np.minimum(least * (done * K + 1 + np.arange(starved.size)), order.size - 1)]
        worst = self.rows.take(sampled_rows(places, self.rows.n_rows, log_densities.size))
        mixture = _replaced(stepped, starved, worst)
        run = {**pair.run, _KEY: np.array([done + 1.0])}
        self.tell(starved.tolist(), pair.step + 1)
        return Pair(mixture, pair.expectation, pair.step + 1, (), run)


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
