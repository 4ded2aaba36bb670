"""Starting mixtures from k-means, k-means++, random rows or given means, and the choice of the best.

Every pass over the rows is an E-step. Lloyd's algorithm is EM with hard responsibilities and spheres of unit
variance, and the log density of such a sphere gives the squared distance to its centre.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import LOG_2PI
from gmmcli.core.em.loop import Origin, Step, iterate
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.families import FAMILIES, CovarianceType
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, Table
from gmmcli.core.quantiles import sample_size, sampled_rows

LLOYD_MAX_PASSES = 20
# Lloyd stops when the sum of the squared moves of all centres is at most this, in standard units.
LLOYD_TOLERANCE = 1e-4
SHORT_GAIN = 1e-3
# Passes of the rounds of a short EM; after each round half of the starts are dropped. The first pass of a
# later round repeats the last step of the round before: 10, 25 and 50 passes in all.
SHORT_PASSES = (10, 16, 26)
# If a table has more than twice as many rows, starts use this many, evenly spaced.
START_ROWS = 2**15
# The kinds of start that `auto` takes in turn.
AUTO_KINDS = ("kmeans", "kmeans++")


def enough_rows(n_components: int, n_features: int) -> int:
    """Return the sample size for comparing starts: at least 64 · (d + 1) rows per component."""
    return max(START_ROWS, 64 * n_components * (n_features + 1))


@dataclass(frozen=True, eq=False)
class Starts:
    """Makes starting mixtures for one table.

    Parameters
    ----------
    engine : Engine
    table : Table
        The rows that mixtures are learnt from.
    sample : Table
        The rows that centres are found in: some or all rows of the table.
    covariance_type : str
    n_components : int
        At most `table.n_rows`.
    rules : Rules
    """

    engine: Engine
    table: Table
    sample: Table
    covariance_type: CovarianceType
    n_components: int
    rules: Rules

    def draw(self, kind: str, rng: np.random.Generator) -> Mixture:
        """Return one starting mixture.

        Parameters
        ----------
        kind : {"kmeans", "kmeans++", "random"}
        rng : numpy.random.Generator
        """
        if kind == "random":
            return self.around_means(distinct_rows(self.table, self.n_components, rng))
        centers = spread_rows(self.engine, self.sample, self.n_components, rng)
        if kind == "kmeans":
            centers = lloyd(self.engine, self.sample, centers)
        return from_partition(self.engine, self.table, centers, self.covariance_type, self.rules.reg_covar)

    def around_means(self, means: Array) -> Mixture:
        """Return a mixture of equal weights, the given means, and the table's unbiased covariance for each.

        Parameters
        ----------
        means : ndarray of shape (n_components, n_features), float64
            In standard units.
        """
        (K, d), kind, n = means.shape, self.covariance_type, self.table.n_rows
        whole = from_partition(self.engine, self.table, np.zeros((1, d)), kind, 0.0)
        # Divisor n − 1 for weights that are rescaled to sum to n.
        structure = whole.structure
        unbiased = structure.lift(whole.covariances * (n / max(n - 1, 1)), self.rules.reg_covar)
        if not structure.is_shared:
            unbiased = np.broadcast_to(unbiased, (K, *unbiased.shape[1:]))
        return Mixture(np.full(K, 1 / K), means, unbiased, kind)

    def choose(self, kinds: Sequence[str], seed: int, tell: Callable[[int, str], None]) -> Mixture:
        """Draw one start of each kind, each from its own random stream; return the best in canonical order.

        Parameters
        ----------
        kinds : sequence of str
        seed : int
        tell : callable
            Called with the number of each start, counted from 1, and its kind.
        """

        def drawn() -> Iterator[Mixture]:
            for i, kind in enumerate(kinds):
                tell(i + 1, kind)
                yield self.draw(kind, np.random.default_rng([seed, i]))

        chosen = next(drawn()) if len(kinds) == 1 else self.best_of(drawn())
        return in_canonical_order(chosen)

    def best_of(self, mixtures: Iterable[Mixture]) -> Mixture:
        """Run a short EM from each start and return the mixture with the greatest likelihood.

        Notes
        -----
        Each run ends when it has converged to 1e-3 nats per row, or after 50 passes. After 10 and after 25
        passes the less likely half of the runs is dropped.
        """
        runs = [iterate(Origin(mixture), self.engine, self.table, self.rules) for mixture in mixtures]
        if not runs:
            raise ValueError("best_of needs at least one start")
        for passes in SHORT_PASSES:
            reached = [(_follow(run, passes), run) for run in runs]
            # The sort is stable: among equal likelihoods the first start wins.
            reached.sort(key=lambda step_and_run: step_and_run[0].likelihoods[-1], reverse=True)
            runs = [
                itertools.chain([step], () if step.has_converged(SHORT_GAIN) else run)
                for step, run in reached[: -(-len(reached) // 2)]
            ]
        return reached[0][0].mixture


def _follow(run: Iterator[Step], passes: int) -> Step:
    """Return the step that a run reaches at its end, at convergence, or after `passes` passes."""
    for step in itertools.islice(run, passes):
        last = step
        if step.has_converged(SHORT_GAIN):
            break
    return last


def kinds_of(init: str, restarts: int) -> tuple[str, ...]:
    """Return the kind of every start."""
    kinds: Sequence[str] = AUTO_KINDS if init == "auto" else (init,)
    return tuple(kinds[i % len(kinds)] for i in range(restarts))


def in_canonical_order(mixture: Mixture) -> Mixture:
    """Return the mixture with its components sorted by weight, descending, then by mean."""
    order = np.lexsort((*mixture.means.T[::-1], -mixture.weights))
    covariances = mixture.covariances
    if not mixture.structure.is_shared:
        covariances = covariances[order]
    return replace(
        mixture, weights=mixture.weights[order], means=mixture.means[order], covariances=covariances
    )


def spheres(centers: Array) -> Mixture:
    """Return spheres of equal weight and unit variance: −2 log density is squared distance + constant."""
    K = centers.shape[0]
    return Mixture(np.full(K, 1 / K), centers, np.ones(K), "spherical")


def distinct_rows(table: Table, n_components: int, rng: np.random.Generator) -> Array:
    """Return K distinct rows drawn at random; if the table has fewer, rows are repeated.

    Returns
    -------
    ndarray of shape (n_components, n_features), float64
    """
    found: dict[bytes, Array] = {}
    order = rng.permutation(table.n_rows)
    for first in range(0, table.n_rows, 4096):
        for row in table.take(order[first : first + 4096]).X.T:
            found.setdefault((row + 0.0).tobytes(), row)  # −0 + 0 is 0: equal rows, equal bytes
            if len(found) == n_components:
                return np.array(list(found.values()))
    repeated = list(found.values())
    return np.array([repeated[i % len(repeated)] for i in range(n_components)])


def spread_rows(engine: Engine, table: Table, n_components: int, rng: np.random.Generator) -> Array:
    """Return K rows; each is drawn with probability proportional to its squared distance to earlier ones.

    Rows are drawn from the sample of at most 2²⁰ rows whose log densities an E-step returns.

    Returns
    -------
    ndarray of shape (n_components, n_features), float64

    Notes
    -----
    The seeds of k-means++: Arthur and Vassilvitskii (2007). One pass of n·d work per component.
    """
    m = sample_size(table.n_rows)
    places = [int(rng.integers(m))]
    squared = np.full(m, np.inf)
    while len(places) < n_components:
        center = table.take(sampled_rows(np.array(places[-1:]), table.n_rows, m)).X.T
        peak = -0.5 * table.n_features * LOG_2PI
        distances = 2 * (peak - engine.expectation(table, spheres(center)).log_densities)
        # The distance of a row that equals the centre is rounding error, not zero.
        distances[distances < 1e-12 * (1 + (center**2).sum())] = 0.0
        np.minimum(squared, distances, out=squared)
        cumulated = np.cumsum(squared)
        if cumulated[-1] > 0:
            drawn = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
        else:
            drawn = int(rng.integers(m))
        places.append(min(drawn, m - 1))
    return table.take(sampled_rows(np.array(places), table.n_rows, m)).X.T


def lloyd(engine: Engine, table: Table, centers: Array) -> Array:
    """Move every centre to the mean of its nearest rows, until the centres stop moving.

    Returns
    -------
    ndarray of shape (n_components, n_features), float64
        A centre that is nearest to no row keeps its place.
    """
    for _ in range(LLOYD_MAX_PASSES):
        statistics = engine.expectation(table, spheres(centers), hard=True).statistics
        moved = maximise(statistics, spheres(centers), Rules("m")).means
        shift = ((moved - centers) ** 2).sum()
        centers = moved
        if shift <= LLOYD_TOLERANCE:
            break
    return centers


def from_partition(
    engine: Engine, table: Table, centers: Array, covariance_type: CovarianceType, reg_covar: float
) -> Mixture:
    """Assign every row to its nearest centre, shared equally among ties, and take one M-step."""
    K, d = centers.shape
    unit = FAMILIES[covariance_type].structure.unit(K, d)
    nearest = Mixture(np.full(K, 1 / K), centers, unit, covariance_type)
    found = engine.expectation(table, nearest, hard=True)
    return maximise(found.statistics, nearest, Rules(reg_covar=reg_covar))
