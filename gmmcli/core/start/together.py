"""EM of many mixtures at once on one small table: each pass is two matrix products for all of them.

The rows are expanded to φ(z) once. A mixture that the expanded form would evaluate inexactly makes its steps
on its own, by the engine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from gmmcli.core.arrays import Array, Booleans
from gmmcli.core.covariances.full import Full
from gmmcli.core.covariances.products import pairs
from gmmcli.core.covariances.structure import Structure
from gmmcli.core.degenerate import find_narrow
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.kernel.kernel import LOWEST_EXPONENT
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import ParallelEngine, Table
from gmmcli.core.rows import Rows
from gmmcli.errors import CovarianceNotPositive

# Components that are evaluated together; with more, the matrix products are no faster.
_COMPONENTS = 64
# The error that a log density may have in the race, which compares likelihoods to a hundredth of a nat.
_ERROR = 1e-7
# Rows of a block: its log densities stay in the cache.
_BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Runner:
    """A start on its way.

    Parameters
    ----------
    number : int
        Of the start, in the order of the portfolio.
    mixture : Mixture
        Of its last step.
    likelihoods : tuple of float
        Mean log-likelihoods of its steps, nats per unit weight.
    counts : ndarray of shape (K,), float64
        Posterior mass of the components in its last step.
    n_starts : int
        How many starts are on the same way.
    """

    number: int
    mixture: Mixture
    likelihoods: tuple[float, ...] = ()
    counts: Array = field(default_factory=lambda: np.empty(0))
    n_starts: int = 1


class Together:
    """EM of many mixtures of one family on one table.

    Parameters
    ----------
    engine : Engine
    table : Table
    rows : Rows
        Those of the table, in standard units.
    structure : Structure
        Of the mixtures.
    rules : Rules
    """

    def __init__(
        self, engine: ParallelEngine, table: Table, rows: Rows, structure: Structure, rules: Rules
    ) -> None:
        self._engine, self._table, self._rows, self._rules = engine, table, rows, rules
        # Mixtures of different tables of covariances cannot share one.
        self._structure: Structure = Full() if structure.is_shared else structure
        self._phi = expanded(self._structure, rows.X)

    def advance(self, runners: Sequence[Runner], n_steps: int) -> list[Runner]:
        """Make steps of every runner; leave out those whose covariances stop being positive definite."""
        if not runners:
            return []
        size = max(_COMPONENTS // runners[0].mixture.n_components, 1)
        groups = [runners[first : first + size] for first in range(0, len(runners), size)]
        found = list[Runner]()
        for together, alone in self._engine.map(lambda group: self._advance(group, n_steps), groups):
            found += together
            for runner, n_left in alone:
                found += self._make_steps(runner, n_left)
        return sorted(found, key=lambda runner: runner.number)

    def _advance(
        self, group: Sequence[Runner], n_steps: int
    ) -> tuple[list[Runner], list[tuple[Runner, int]]]:
        """Make steps of a few runners together; return them, and those for which that became inexact.

        The latter come with the number of steps that they lack. Threads call this at the same time.
        """
        batch, alone = _Batch(group, self._structure), list[tuple[Runner, int]]()
        for step in range(n_steps + 1):
            if step:
                batch.maximise(self._rules)
            alone += [(runner, n_steps - step) for runner in batch.give_up_unsafe()]
            if not batch:
                break
            batch.evaluate(self._phi, self._rows)
        return batch.runners(), alone

    def _make_steps(self, runner: Runner, n_steps: int) -> Iterator[Runner]:
        """Make steps of one runner by the engine; yield it, unless it cannot be evaluated.

        One that has collapsed to its bound makes no more steps.
        """
        try:
            steps = iterate(Origin(runner.mixture), self._engine, self._table, self._rules)
            for step in islice(steps, n_steps + 1):
                found = step.expectation
                likelihoods = (*runner.likelihoods, found.mean_log_likelihood)
                counts = found.statistics.counts
                runner = replace(runner, mixture=step.mixture, likelihoods=likelihoods, counts=counts)
                if is_narrow(runner.mixture, self._rules):
                    break
        except CovarianceNotPositive:
            return
        yield runner


def is_narrow(mixture: Mixture, rules: Rules) -> bool:
    """Tell whether a component is as narrow as the rules allow, in some direction."""
    return next(find_narrow(mixture, rules.limits(mixture.n_features)), None) is not None


def expanded(structure: Structure, X: Array) -> Array:
    """Return φ(z) of rows, shape (D, n_rows)."""
    d, n = X.shape
    phi = np.empty((structure.expanded_length(d), n))
    structure.expand(X[None], phi[None])
    if structure.has_products:
        i, j = pairs(d)
        np.multiply(X[i], X[j], out=phi[1 + d :])
    return phi


class _Batch:
    """Mixtures of one family as S·K components, without a shared covariance.

    Parameters
    ----------
    group : sequence of Runner
        Not empty.
    structure : Structure
        How the covariances are kept here.
    """

    def __init__(self, group: Sequence[Runner], structure: Structure) -> None:
        mixtures = [runner.mixture for runner in group]
        self._structure, self._like = structure, mixtures[0]
        self._K = self._like.n_components
        self._group = list(group)
        self._likelihoods = [runner.likelihoods for runner in group]
        self._weights = np.concatenate([one.weights for one in mixtures])
        self._means = np.concatenate([one.means for one in mixtures])
        is_shared = self._like.structure.is_shared
        self._covariances = np.concatenate([m.matrices if is_shared else m.covariances for m in mixtures])
        self._T = self._factors = np.empty(0)

    def __len__(self) -> int:
        """Return the number of mixtures that are left."""
        return len(self._group)

    def give_up_unsafe(self) -> list[Runner]:
        """Drop mixtures that are not positive definite; drop and return those that would be inexact."""
        try:
            self._factors = self._structure.factors(self._covariances)
        except np.linalg.LinAlgError:
            self._keep(np.array([self._is_positive(s) for s in range(len(self))], dtype=bool))
            if not self:
                return []
            self._factors = self._structure.factors(self._covariances)
        with np.errstate(over="ignore", divide="ignore"):
            unsafe = self._structure.are_unsafe(self._means, self._covariances, self._factors, _ERROR)
        is_unsafe = np.asarray(unsafe.reshape(-1, self._K).any(axis=1))
        if not is_unsafe.any():
            return []
        given_up = [runner for runner, is_one in zip(self.runners(), is_unsafe, strict=True) if is_one]
        self._keep(~is_unsafe)
        return given_up

    def _is_positive(self, s: int) -> bool:
        """Tell whether the covariances of one mixture are positive definite."""
        try:
            self._structure.check(self._covariances[s * self._K : (s + 1) * self._K])
        except np.linalg.LinAlgError:
            return False
        return True

    def _keep(self, is_kept: Booleans) -> None:
        """Drop the other mixtures."""
        of_components = np.repeat(is_kept, self._K)
        self._group = [one for one, is_one in zip(self._group, is_kept, strict=True) if is_one]
        self._likelihoods = [one for one, is_one in zip(self._likelihoods, is_kept, strict=True) if is_one]
        for name in ("_weights", "_means", "_covariances", "_T", "_factors"):
            array = getattr(self, name)
            if len(array) == len(of_components):
                setattr(self, name, array[of_components])

    def evaluate(self, phi: Array, rows: Rows) -> None:
        """Do the E-step of every mixture: sum the posterior-weighted φ(z), and note the likelihood."""
        W = self._structure.natural(self._weights, self._means, self._factors)
        S, n = len(self), phi.shape[1]
        self._T, log_likelihoods = np.zeros(W.shape), np.zeros(S)
        for first in range(0, n, _BLOCK_ROWS):
            block = phi[:, first : first + _BLOCK_ROWS]
            log_resp = (W @ block).reshape(S, self._K, -1)
            peak = log_resp.max(axis=1, keepdims=True)
            log_resp -= peak
            np.maximum(log_resp, LOWEST_EXPONENT, out=log_resp)
            resp = np.exp(log_resp, out=log_resp)
            total = resp.sum(axis=1, keepdims=True)
            resp /= total
            densities = (peak + np.log(total))[:, 0]
            if rows.weights is None:
                log_likelihoods += densities.sum(axis=1)
            else:
                weights = rows.weights[first : first + _BLOCK_ROWS]
                log_likelihoods += densities @ weights
                resp *= weights
            self._T += resp.reshape(S * self._K, -1) @ block.T
        means = (log_likelihoods / rows.total_weight).tolist()
        self._likelihoods = [(*before, last) for before, last in zip(self._likelihoods, means, strict=True)]

    def maximise(self, rules: Rules) -> None:
        """Do the M-step of every mixture."""
        d = self._means.shape[1]
        counts = self._T[:, 0]
        is_used = counts > 0
        divisors = np.where(is_used, counts, 1.0)
        means = np.where(is_used[:, None], self._T[:, 1 : 1 + d] / divisors[:, None], self._means)
        squares = self._structure.squares_of(self._T, None, d)
        squares -= 0.5 * self._structure.cross(self._T[:, 1 : 1 + d], means)
        if self._like.family.is_equal:
            squares, divisors = self._pooled(squares), self._pooled(counts)
        covariances = rules.regularise(self._structure, self._structure.divide(squares, divisors, d))
        self._weights = (counts.reshape(-1, self._K) / self._pooled(counts).reshape(-1, self._K)).reshape(-1)
        self._means, self._covariances = means, covariances

    def _pooled(self, values: Array) -> Array:
        """Return the sum over the components of each mixture, for each component."""
        of_mixtures = values.reshape(-1, self._K, *values.shape[1:])
        return np.repeat(of_mixtures.sum(axis=1), self._K, axis=0)

    def runners(self) -> list[Runner]:
        """Return the mixtures as runners."""
        found = []
        for s, (runner, likelihoods) in enumerate(zip(self._group, self._likelihoods, strict=True)):
            of_one = slice(s * self._K, (s + 1) * self._K)
            covariances = self._covariances[of_one]
            if self._like.structure.is_shared:
                covariances = covariances[0]
            mixture = Mixture(
                self._weights[of_one], self._means[of_one], covariances, self._like.covariance_type
            )
            counts = self._T[of_one, 0] if self._T.size else np.empty(0)
            found.append(replace(runner, mixture=mixture, likelihoods=likelihoods, counts=counts))
        return found
