"""Starting mixtures: k-means, k-means++, random rows, given means; and the best of several.

Every pass over the rows is an E-step: Lloyd's algorithm is EM with hard responsibilities and spheres of
unit variance, and squared distances to a centre are the log densities of such a sphere.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from gmmcli.core import em, family
from gmmcli.core.mixture import Array, CovarianceType, Integers, Mixture, covariances_shape
from gmmcli.core.quantiles import sample_size, sampled_rows

LLOYD_MAX_PASSES = 20
# Lloyd stops when the squares of all moves come to no more than this, in standard units.
LLOYD_TOLERANCE = 1e-4
SHORT_GAIN = 1e-3
# Of a short EM, until half of the starts is given up each time: 10, 25, 50 in all.
SHORT_PASSES = (10, 16, 26)
# Starts look at so many rows, evenly spaced, where a table has more than twice as many.
START_ROWS = 2**15
# What `auto` tries, in turn, until it has as many starts as asked for.
AUTO_KINDS = ("kmeans", "kmeans++")
AUTO_STARTS = 8


class Rows(Protocol):
    """The rows of a table in standard units, as an engine offers them."""

    @property
    def n_rows(self) -> int:
        """Rows in use."""

    @property
    def n_features(self) -> int:
        """Features."""

    def expectation(self, mixture: Mixture, *, hard: bool = False) -> em.Expectation:
        """Return one E over all rows."""

    def take(self, indices: Integers) -> Array:
        """Return some rows, shape (len(indices), n_features)."""


def enough_rows(n_components: int, n_features: int) -> int:
    """Return how many rows tell starts apart: per component 64 times what a covariance needs at least."""
    return max(START_ROWS, 64 * n_components * (n_features + 1))


def draw(rows: Rows, kind: str, covariance_type: CovarianceType, n_components: int, reg_covar: float,
         rng: np.random.Generator, sample: Rows | None = None) -> Mixture:  # fmt: skip
    """Return one starting mixture.

    Parameters
    ----------
    rows : Rows
    kind : {"kmeans", "kmeans++", "random"}
    covariance_type : str
    n_components : int
        At most `rows.n_rows`.
    reg_covar : float
    rng : numpy.random.Generator
    sample : Rows, optional
        Some of the rows, to find centres in; all of them if not given.
    """
    if kind == "random":
        return around_means(rows, distinct_rows(rows, n_components, rng), covariance_type, reg_covar)
    sample = sample or rows
    centers = spread_rows(sample, n_components, rng)
    if kind == "kmeans":
        centers = lloyd(sample, centers)
    return from_partition(rows, centers, covariance_type, reg_covar)


def best_of(rows: Rows, starts: Iterable[Mixture], params: str, reg_covar: float) -> Mixture:
    """Return the mixture that a short EM from each start finds most likely.

    Notes
    -----
    Each runs until it has converged to 1e-3 nats per row, or for 50 passes; but after the
    tenth and the 25th pass the less likely half is given up.
    """
    rules = em.Rules(params, reg_covar)
    runs = [em.iterate(em.begin(mixture, rows.expectation), rows.expectation, rules) for mixture in starts]
    if not runs:
        raise ValueError("best_of needs at least one start")
    for passes in SHORT_PASSES:
        reached = [(_follow(run, passes), run) for run in runs]
        reached.sort(
            key=lambda pair_and_run: pair_and_run[0].likelihoods[-1], reverse=True
        )  # of equals, the first
        runs = [
            itertools.chain([pair], () if pair.has_converged(SHORT_GAIN) else run)
            for pair, run in reached[: -(-len(reached) // 2)]
        ]
    return reached[0][0].mixture


def _follow(run: Iterator[em.Pair], passes: int) -> em.Pair:
    """Return the pair that a run reaches: at its end, at convergence, or after so many passes."""
    for pair in itertools.islice(run, passes):
        last = pair
        if pair.has_converged(SHORT_GAIN):
            break
    return last


def kinds_of(init: str, restarts: int) -> tuple[str, ...]:
    """Return the kind of every start."""
    kinds: Sequence[str] = AUTO_KINDS if init == "auto" else (init,)
    return tuple(kinds[i % len(kinds)] for i in range(restarts))


def choose(rows: Rows, kinds: Sequence[str], seed: int, params: str, reg_covar: float,
           make: Callable[[str, np.random.Generator], Mixture]) -> Mixture:  # fmt: skip
    """Draw one start of each kind, each from its own random stream; keep the best, in canonical order."""
    starts = (make(kind, np.random.default_rng([seed, i])) for i, kind in enumerate(kinds))
    chosen = next(starts) if len(kinds) == 1 else best_of(rows, starts, params, reg_covar)
    return in_canonical_order(chosen)


def in_canonical_order(mixture: Mixture) -> Mixture:
    """Return the mixture with components by weight, descending, then by means."""
    order = np.lexsort((*mixture.means.T[::-1], -mixture.weights))
    covariances = mixture.covariances
    if mixture.covariance_type != "tied":
        covariances = covariances[order]
    return replace(
        mixture, weights=mixture.weights[order], means=mixture.means[order], covariances=covariances
    )


def spheres(centers: Array) -> Mixture:
    """Return equal weights and unit variances: −2 log density is squared distance plus a constant."""
    K = centers.shape[0]
    return Mixture(np.full(K, 1 / K), centers, np.ones(K), "spherical")


def distinct_rows(rows: Rows, n_components: int, rng: np.random.Generator) -> Array:
    """Return K rows drawn at random, all different where the table has that many; else repeated.

    Returns
    -------
    ndarray of shape (n_components, n_features), float64
    """
    found: dict[bytes, Array] = {}
    order = rng.permutation(rows.n_rows)
    for first in range(0, rows.n_rows, 4096):
        for row in rows.take(order[first : first + 4096]):
            found.setdefault((row + 0.0).tobytes(), row)  # −0 + 0 is 0: equal rows, equal bytes
            if len(found) == n_components:
                return np.array(list(found.values()))
    repeated = list(found.values())
    return np.array([repeated[i % len(repeated)] for i in range(n_components)])


def spread_rows(rows: Rows, n_components: int, rng: np.random.Generator) -> Array:
    """Return K rows, each drawn with probability proportional to its squared distance from those before.

    Rows are drawn from the sample of at most 2²⁰ whose log densities an E returns.

    Returns
    -------
    ndarray of shape (n_components, n_features), float64

    Notes
    -----
    The seeds of k-means++; Arthur and Vassilvitskii (2007). One pass of n·d work per component.
    """
    m = sample_size(rows.n_rows)
    places = [int(rng.integers(m))]
    squared = np.full(m, np.inf)
    while len(places) < n_components:
        center = rows.take(sampled_rows(np.array(places[-1:]), rows.n_rows, m))
        peak = -0.5 * rows.n_features * family.LOG_2PI
        distances = 2 * (peak - rows.expectation(spheres(center)).log_densities)
        # Rows equal to the centre come out as rounding, not as zero.
        distances[distances < 1e-12 * (1 + (center**2).sum())] = 0.0
        np.minimum(squared, distances, out=squared)
        cumulated = np.cumsum(squared)
        if cumulated[-1] > 0:
            drawn = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
        else:
            drawn = int(rng.integers(m))
        places.append(min(drawn, m - 1))
    return rows.take(sampled_rows(np.array(places), rows.n_rows, m))


def lloyd(rows: Rows, centers: Array) -> Array:
    """Move every centre to the mean of the rows nearest to it until they rest.

    Returns
    -------
    ndarray of shape (n_components, n_features), float64
        A centre that no row is nearest to stays where it is.
    """
    for _ in range(LLOYD_MAX_PASSES):
        statistics = rows.expectation(spheres(centers), hard=True).statistics
        moved = em.maximise(statistics, spheres(centers), "m").means
        shift = ((moved - centers) ** 2).sum()
        centers = moved
        if shift <= LLOYD_TOLERANCE:
            break
    return centers


def from_partition(rows: Rows, centers: Array, covariance_type: CovarianceType, reg_covar: float) -> Mixture:
    """Give every row to its nearest centre, ties shared, and take one M-step."""
    K, d = centers.shape
    unit = family.add_to_variances(np.zeros(covariances_shape(covariance_type, K, d)), 1.0, covariance_type)
    nearest = Mixture(np.full(K, 1 / K), centers, unit, covariance_type)
    return em.maximise(rows.expectation(nearest, hard=True).statistics, nearest, reg_covar=reg_covar)


def around_means(rows: Rows, means: Array, covariance_type: CovarianceType, reg_covar: float) -> Mixture:
    """Return equal weights, the given means, and for every covariance the table's unbiased one.

    Parameters
    ----------
    rows : Rows
    means : ndarray of shape (n_components, n_features), float64
        In standard units.
    covariance_type : str
    reg_covar : float
        Added to the variances.
    """
    K, d = means.shape
    whole = from_partition(rows, np.zeros((1, d)), covariance_type, 0.0)
    n = rows.n_rows
    unbiased = family.add_to_variances(whole.covariances * (n / max(n - 1, 1)), reg_covar, covariance_type)
    if covariance_type != "tied":
        unbiased = np.broadcast_to(unbiased, (K, *unbiased.shape[1:]))
    return Mixture(np.full(K, 1 / K), means, unbiased, covariance_type)
