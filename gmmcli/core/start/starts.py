"""Starting mixtures: from partitions of the rows, from random rows, or around given means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import PARAMS, Rules, maximise
from gmmcli.core.families import FAMILIES, CovarianceType
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, ParallelEngine, Table
from gmmcli.core.start.leave_one_out import labels_without_self
from gmmcli.core.start.partitions import START_ROWS, Kind, Partitions
from gmmcli.core.start.race import Optimum, Race
from gmmcli.core.start.together import Together
from gmmcli.core.statistics import Statistics

# On a table larger than the sample, so many optima make so many passes before one is chosen.
_FINALISTS, _FINAL_PASSES = 3, 5
# If fewer starts agree on the best optimum, there are so many heats of starts instead of one.
AGREEING, _HEATS = 2, 3
# So many of the best optima are refined at a time, at most so often, while the best gains so many nats.
_REFINED, _REFINEMENTS, _BETTER = 3, 5, 1e-3
# The most and the fewest starts of `auto`; the steps that a start is expected to make; the flops that all of
# them may cost.
MOST_STARTS, FEWEST_STARTS = 64, 13
_EXPECTED_STEPS, _AFFORDABLE = 40, 6e9
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
    Kind("kmeans", "column"),
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
class Choice:
    """A starting mixture, and the race that chose it.

    Parameters
    ----------
    mixture : Mixture
        In canonical order.
    n_starts : int
        How many starts there were.
    optima : sequence of Optimum
        What they reached, the best first; empty if there was no race.
    """

    mixture: Mixture
    n_starts: int = 1
    optima: Sequence[Optimum] = ()


@dataclass(frozen=True, eq=False)
class Starts:
    """Makes starting mixtures for one table.

    Parameters
    ----------
    engine : Engine
    table : Table
        The rows that mixtures are learnt from.
    partitions : Partitions
        Of some or all rows of the table.
    covariance_type : str
    n_components : int
        At most `table.n_rows`.
    rules : Rules
    """

    engine: ParallelEngine
    table: Table
    partitions: Partitions
    covariance_type: CovarianceType
    n_components: int
    rules: Rules

    def draw(self, method: str, rng: np.random.Generator) -> Mixture:
        """Return one starting mixture, learnt from the whole table.

        Parameters
        ----------
        method : {"kmeans", "kmeans++", "random"}
        rng : numpy.random.Generator
        """
        if method == "random":
            return self.around_means(distinct_rows(self.table, self.n_components, rng))
        centers = self.partitions.centers(Kind(method), self.n_components, 0, rng)
        return from_partition(self.engine, self.table, centers, self.covariance_type, self.rules)

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

    def choose(
        self,
        init: str,
        n_starts: int,
        seed: int,
        tell: Callable[[str], None],
        *,
        may_repeat: bool = False,
        also: Sequence[Mixture] = (),
    ) -> Choice:
        """Return the best of some starts; a single one as it is.

        Parameters
        ----------
        init : {"auto", "kmeans", "kmeans++", "random"}
        n_starts : int
        seed : int
            The i-th start of a kind is the same in every portfolio.
        tell : callable
            Called with a line of text about the race.
        may_repeat : bool
            Whether to make as many starts again if hardly any agree on the best optimum.
        also : sequence of Mixture
            More starts for the race.
        """
        kinds = portfolio(init, n_starts)
        if len(kinds) == 1:
            method = "kmeans" if init == "auto" else init
            return Choice(in_canonical_order(self.draw(method, np.random.default_rng([seed, 0]))))
        family = FAMILIES[self.covariance_type]
        if self.table.n_rows < family.rows_needed(self.n_components, self.table.n_features):
            # No start can be sound, and likelihoods tell nothing.
            rng = np.random.default_rng([seed, 0])
            labels = self.partitions.labels(_FALLBACK, self.n_components, 0, rng)
            return Choice(in_canonical_order(self._from_labels(labels)))
        race, heat = self._race_of(kinds), partial(self._made, seed=seed, turns={})
        optima = race.run([*heat(kinds), *also], tell)
        if may_repeat and optima[0].n_starts < AGREEING:
            optima = race.run(heat(portfolio(init, _HEATS * n_starts)[n_starts:]), tell)
        if init == "auto":
            optima = self._refined(race, optima, tell)
        optima = self._best_first(optima)
        return Choice(in_canonical_order(optima[0].mixture), race.n_starts, optima)

    def _race_of(self, kinds: list[Kind]) -> Race:
        """Return a race on the sample."""
        sample, rows = self.partitions.sample, self.partitions.rows
        structure = FAMILIES[self.covariance_type].structure
        together = Together(self.engine, sample, rows, structure, self.rules)
        n_rows = rows.n_rows if rows.weights is None else int(np.count_nonzero(rows.weights))
        fallback = kinds.index(_FALLBACK) if _FALLBACK in kinds else 0
        return Race(together, self.rules, n_rows, rows.total_weight, fallback)

    def _made(self, kinds: list[Kind], seed: int, turns: dict[Kind, int]) -> list[Mixture]:
        """Return the starts of some kinds on the sample; `turns` counts those of each kind."""
        mixtures, here = list[Mixture](), replace(self, table=self.partitions.sample)
        for kind in kinds:
            turn = turns[kind] = turns.get(kind, -1) + 1
            rng = np.random.default_rng([seed, turn])
            if kind.method == "random":
                mixtures.append(here.draw("random", rng))
            else:
                labels = self.partitions.labels(kind, self.n_components, turn, rng)
                mixtures.append(self._from_labels(labels))
        return mixtures

    def _refined(self, race: Race, optima: list[Optimum], tell: Callable[[str], None]) -> list[Optimum]:
        """Start again from the best optima, without the pull of each row on its own component.

        Only full covariances have so many parameters that a row can hold its component in place.
        """
        family, rows = FAMILIES[self.covariance_type], self.partitions.rows
        if family.is_equal or not family.structure.has_correlations:
            return optima
        least, K = family.least_count(rows.X.shape[0]), self.n_components
        for _ in range(_REFINEMENTS):
            starts = []
            for one in [one for one in optima if one.is_sound][:_REFINED]:
                before, after = labels_without_self(one.mixture, rows)
                if (before != after).any() and np.bincount(after, rows.weights, K).min() >= least:
                    starts.append(self._from_labels(after))
            if not starts:
                break
            best, optima = optima[0].log_likelihood, race.run(starts, tell)
            if optima[0].log_likelihood <= best + _BETTER:
                break
        return optima

    def _from_labels(self, labels: Integers) -> Mixture:
        """Return the mixture that one M-step makes of a partition."""
        rows = self.partitions.rows
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

    def _best_first(self, optima: list[Optimum]) -> list[Optimum]:
        """Put the optimum first that is best on the whole table; the race was on a sample of it."""
        finalists = [one for one in optima if one.is_sound == optima[0].is_sound][:_FINALISTS]
        if self.partitions.sample is self.table or len(finalists) == 1:
            return optima
        found = []
        for one in finalists:
            steps = islice(iterate(Origin(one.mixture), self.engine, self.table, self.rules), _FINAL_PASSES)
            *_, last = steps
            found.append((last.likelihoods[-1], replace(one, mixture=last.mixture)))
        best = max(found, key=lambda pair: pair[0])[1]
        return [best, *(one for one in optima if one.number != best.number)]


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
