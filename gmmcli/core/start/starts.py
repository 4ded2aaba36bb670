"""Starting mixtures: from partitions of the rows, from random rows, or around given means."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import PARAMS, Rules, maximise
from gmmcli.core.families import FAMILIES, CovarianceType
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, ParallelEngine, Table
from gmmcli.core.rows import Rows
from gmmcli.core.start.centers import lloyd, nearest, spread_rows, ward
from gmmcli.core.start.race import Optimum, Race
from gmmcli.core.start.spaces import points_in
from gmmcli.core.start.together import Together
from gmmcli.core.statistics import Statistics

# If a table has more than twice as many rows, starts are found and compared on this many, evenly spaced.
START_ROWS = 20_000
# Ward's linkage takes at most this many rows, evenly spaced.
_WARD_ROWS = 1000
# On a table larger than the sample, so many optima make so many passes before one is chosen.
_FINALISTS, _FINAL_PASSES = 3, 5
# Rows tried for each seed of k-means.
_SEEDS_TRIED = 4
# The most and the fewest starts of `auto`; the steps that a start is expected to make; the flops that all of
# them may cost.
MOST_STARTS, FEWEST_STARTS = 64, 12
_EXPECTED_STEPS, _AFFORDABLE = 40, 6e9


class Kind(NamedTuple):
    """How a start is made, and the space in which it looks for clusters."""

    method: str
    space: str = "standard"


# The first starts of `auto`; each method and space finds the best optimum of some tables that no other finds.
_FALLBACK = Kind("ward")
_ONCE = (_FALLBACK, Kind("ward", "whitened"))
_AGAIN = (
    Kind("kmeans"),
    Kind("kmeans++"),
    Kind("random"),
    Kind("kmeans", "robust"),
    Kind("kmeans", "whitened"),
    Kind("kmeans", "table"),
    Kind("kmeans", "principal"),
    Kind("kmeans", "principal"),
    Kind("kmeans", "principal"),
    Kind("kmeans++", "whitened"),
)


def portfolio(init: str, n_starts: int) -> list[Kind]:
    """Return the kinds of as many starts, for `auto` or the name of a method."""
    if init != "auto":
        return [Kind(init)] * n_starts
    repeated = [_AGAIN[i % len(_AGAIN)] for i in range(max(n_starts - len(_ONCE), len(_AGAIN)))]
    return [*repeated[: len(_AGAIN)], *_ONCE, *repeated[len(_AGAIN) :]][:n_starts]


def automatic_starts(covariance_type: CovarianceType, n_components: int, n_features: int, n_rows: int) -> int:
    """Return the number of starts of `auto`: many where they cost little."""
    if n_components == 1:
        return 1
    D = FAMILIES[covariance_type].structure.expanded_length(n_features)
    cost = 4.0 * n_components * D * min(n_rows, 2 * START_ROWS) * _EXPECTED_STEPS
    return int(np.clip(_AFFORDABLE / cost, FEWEST_STARTS, MOST_STARTS))


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
    scale : ndarray of shape (n_features,), float64
        One standard unit of each column, in the table's units.
    """

    engine: ParallelEngine
    table: Table
    sample: Table
    covariance_type: CovarianceType
    n_components: int
    rules: Rules
    scale: Array

    def draw(self, method: str, rng: np.random.Generator) -> Mixture:
        """Return one starting mixture, learnt from the whole table.

        Parameters
        ----------
        method : {"kmeans", "kmeans++", "random"}
        rng : numpy.random.Generator
        """
        if method == "random":
            return self.around_means(distinct_rows(self.table, self.n_components, rng))
        rows = rows_of(self.sample)
        centers = self._centers(method, rows.X, rows.weights, rng)
        return from_partition(self.engine, self.table, centers, self.covariance_type, self.rules)

    def _centers(self, method: str, points: Array, weights: Array | None, rng: np.random.Generator) -> Array:
        """Return the centres of a method."""
        if method == "kmeans++":
            return spread_rows(points, weights, self.n_components, rng)
        seeds = spread_rows(points, weights, self.n_components, rng, _SEEDS_TRIED)
        return lloyd(points, weights, seeds)

    def around_means(self, means: Array) -> Mixture:
        """Return a mixture of equal weights, the given means, and the table's unbiased covariance for each.

        Parameters
        ----------
        means : ndarray of shape (n_components, n_features), float64
            In standard units.
        """
        (K, d), kind, n = means.shape, self.covariance_type, self.table.n_rows
        whole = from_partition(self.engine, self.table, np.zeros((1, d)), kind, Rules())
        # Divisor n − 1 for weights that are rescaled to sum to n.
        structure = whole.structure
        unbiased = self.rules.regularise(structure, whole.covariances * (n / max(n - 1, 1)))
        if not structure.is_shared:
            unbiased = np.broadcast_to(unbiased, (K, *unbiased.shape[1:]))
        return Mixture(np.full(K, 1 / K), means, unbiased, kind)

    def choose(self, init: str, n_starts: int, seed: int, tell: Callable[[str], None]) -> Mixture:
        """Return the best of some starts, in canonical order; a single one is returned as it is.

        Parameters
        ----------
        init : {"auto", "kmeans", "kmeans++", "random"}
        n_starts : int
        seed : int
            The i-th start of a kind is the same in every portfolio.
        tell : callable
            Called with a line of text about the race.
        """
        kinds = portfolio(init, n_starts)
        if len(kinds) == 1:
            method = "kmeans" if init == "auto" else init
            return in_canonical_order(self.draw(method, np.random.default_rng([seed, 0])))
        family = FAMILIES[self.covariance_type]
        if self.table.n_rows < family.rows_needed(self.n_components, self.table.n_features):
            # No start can be sound, and likelihoods tell nothing.
            rows = rows_of(self.sample)
            labels = self._labels(_FALLBACK, rows, 0, np.random.default_rng([seed, 0]))
            return in_canonical_order(self._from_labels(rows, labels))
        return in_canonical_order(self._best(self._race(kinds, seed, tell)))

    def _race(self, kinds: list[Kind], seed: int, tell: Callable[[str], None]) -> list[Optimum]:
        """Return the optima that starts reach on the sample, the best one first."""
        rows = rows_of(self.sample)
        mixtures, turns = list[Mixture](), dict[Kind, int]()
        here = replace(self, table=self.sample)
        for kind in kinds:
            turn = turns[kind] = turns.get(kind, -1) + 1
            rng = np.random.default_rng([seed, turn])
            if kind.method == "random":
                mixtures.append(here.draw("random", rng))
            else:
                mixtures.append(self._from_labels(rows, self._labels(kind, rows, turn, rng)))
        structure = FAMILIES[self.covariance_type].structure
        together = Together(self.engine, self.sample, rows, structure, self.rules)
        n_rows = rows.n_rows if rows.weights is None else int(np.count_nonzero(rows.weights))
        fallback = kinds.index(_FALLBACK) if _FALLBACK in kinds else 0
        return Race(together, self.rules, n_rows, rows.total_weight, fallback).run(mixtures, tell)

    def _labels(self, kind: Kind, rows: Rows, turn: int, rng: np.random.Generator) -> Integers:
        """Return the partition of a start, as the cluster of each row."""
        points = points_in(kind.space, rows.X, self.scale, turn)
        if kind.method != "ward":
            return nearest(points, self._centers(kind.method, points, rows.weights, rng))
        some = points[:, :: -(-points.shape[1] // _WARD_ROWS)]
        label = ward(some, self.n_components)
        if some.shape == points.shape:
            return label
        return nearest(points, np.array([some[:, label == k].mean(axis=1) for k in range(label.max() + 1)]))

    def _from_labels(self, rows: Rows, labels: Integers) -> Mixture:
        """Return the mixture that one M-step makes of a partition."""
        K, d = self.n_components, rows.X.shape[0]
        none = Statistics.empty(self.covariance_type, K, d)
        structure = FAMILIES[self.covariance_type].structure
        counts, means, squares = none.counts, np.zeros((K, d)), none.squares
        for k in range(K):
            is_here = labels == k
            X = rows.X[:, is_here]
            weights = np.ones(X.shape[1]) if rows.weights is None else rows.weights[is_here]
            counts[k] = weights.sum()
            if counts[k] > 0:
                means[k] = X @ weights / counts[k]
                structure.add_squares((X - means[k][:, None]) * np.sqrt(weights), squares, k)
        previous = Mixture(np.full(K, 1 / K), means, structure.unit(K, d), self.covariance_type)
        statistics = replace(none, squares=squares, reference=means, total_weight=rows.total_weight)
        return maximise(statistics, previous, replace(self.rules, params=PARAMS))

    def _best(self, optima: list[Optimum]) -> Mixture:
        """Return the optimum that is best on the whole table; the race was on a sample of it."""
        if self.sample is self.table or len(optima) == 1:
            return optima[0].mixture
        finalists = [one for one in optima if one.is_sound == optima[0].is_sound][:_FINALISTS]
        found = []
        for one in finalists:
            steps = islice(iterate(Origin(one.mixture), self.engine, self.table, self.rules), _FINAL_PASSES)
            *_, last = steps
            found.append((last.likelihoods[-1], last.mixture))
        return max(found, key=lambda pair: pair[0])[1]


def rows_of(table: Table) -> Rows:
    """Return all rows of a table as one block."""
    blocks = list(table.blocks(table.n_rows))
    weights = [block.weights for block in blocks]
    together = None
    if any(one is not None for one in weights):
        together = np.concatenate(
            [np.ones(b.n_rows) if w is None else w for b, w in zip(blocks, weights, strict=True)]
        )
    return Rows(np.concatenate([block.X for block in blocks], axis=1), together)


def in_canonical_order(mixture: Mixture) -> Mixture:
    """Return the mixture with its components sorted by weight, descending, then by mean."""
    order = np.lexsort((*mixture.means.T[::-1], -mixture.weights))
    covariances = mixture.covariances
    if not mixture.structure.is_shared:
        covariances = covariances[order]
    return replace(
        mixture, weights=mixture.weights[order], means=mixture.means[order], covariances=covariances
    )


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


def from_partition(
    engine: Engine, table: Table, centers: Array, covariance_type: CovarianceType, rules: Rules
) -> Mixture:
    """Assign every row to its nearest centre, shared equally among ties, and take one M-step."""
    K, d = centers.shape
    unit = FAMILIES[covariance_type].structure.unit(K, d)
    nearest = Mixture(np.full(K, 1 / K), centers, unit, covariance_type)
    found = engine.expectation(table, nearest, hard=True)
    return maximise(found.statistics, nearest, replace(rules, params=PARAMS))
