"""Fewer passes to the same optimum: squared extrapolation of EM, held to a likelihood that never falls.

Where EM is slow, its steps shrink by nearly the same factor each time, in nearly the same direction. Two of
them tell both, and one extrapolation does the work of many. Varadhan and Roland (2008), scheme S3, with a
bound on the length of a jump, and with a judgement that asks whether a jump has paid, not only what it costs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np

from gmmcli.core import em, family
from gmmcli.core.em import Expect, Pair, Rules
from gmmcli.core.mixture import Array, Mixture
from gmmcli.core.reseed import least_count
from gmmcli.core.statistics import Statistics
from gmmcli.errors import CovarianceNotPositive

# Plain steps before the first jump: far from an optimum EM is fast, and extrapolation is blind.
FIRST_PLAIN = 5
# Plain EM that is expected to end within so many passes is left alone.
FEW_PASSES = 10
# By what the bound on a jump is multiplied after one that reached it, and divided after one that failed.
GROWTH = 4.0
# Plain steps after a jump until their gains are those of the slow direction again; then those that judge.
SETTLING = 3
JUDGING = 2
# Cycles in a row that gain less than the tolerance before a run may end: a jump is the best judge of what is
# left in the slow direction.
CALM = 2
# After so many plain steps since a jump they are like those of a run without jumps.
LONG = 32
# A measured length below this is that of steps that more than halve, or turn: nothing to jump along.
FAST = 2.0
# What a jump measures of the slowest direction is less than the truth where faster ones are mixed in.
MARGIN = 10.0
# Slower than this only rounding is.
SLOWEST = 1e4
_KEYS = ("cycle", "cycle_base")


@dataclass(frozen=True, eq=False)
class Cycle:
    """Where an accelerated run stands between two pairs: enough to go on as if it had never stopped.

    Parameters
    ----------
    plain : int
        Plain steps still to be made before a jump is thought of.
    since : int
        Plain steps since the last jump; −1 before the first.
    calm : int
        Cycles in a row that gained less than the tolerance.
    longest : float
        Bound on the length of a jump; 1 is that of two plain steps.
    slowest : float
        The greatest length that was measured so far, up to `SLOWEST`: about 1 / (1 − rate) of the slowest
        direction.
    failures : int
        Jumps in a row that did not pay.
    is_fast : bool
        Whether the last length measured was below `FAST`.
    likelihood : float
        Mean log-likelihood where the cycle began.
    base : ndarray of shape (n,), float64
        Parameters (see `pack`) before the step just made; empty where no jump is being prepared.
    """

    plain: int = FIRST_PLAIN
    since: int = -1
    calm: int = 0
    longest: float = 1.0
    slowest: float = 1.0
    failures: int = 0
    is_fast: bool = False
    likelihood: float = 0.0
    base: Array = field(default_factory=lambda: np.empty(0))

    def kept_in(self, run: Mapping[str, Array]) -> dict[str, Array]:
        """Return the run state of a pair with this cycle in place of an older one."""
        numbers = [float(getattr(self, one.name)) for one in fields(self) if one.name != "base"]
        others = {name: array for name, array in run.items() if name not in _KEYS}
        own = {"cycle": np.array(numbers)} | ({"cycle_base": self.base} if self.base.size else {})
        return others | own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return what a checkpoint stored; the beginning where it stored nothing, or other numbers."""
        stored = arrays.get("cycle", np.empty(0)).tolist()
        if len(stored) != len(fields(cls)) - 1:
            return cls()
        plain, since, calm, longest, slowest, failures, fast, likelihood = stored
        whole = (int(plain), int(since), int(calm), longest, slowest, int(failures), bool(fast))
        return cls(*whole, likelihood, arrays.get("cycle_base", np.empty(0)))


def remembered(run: Mapping[str, Array]) -> dict[str, Array]:
    """Return what of a run state is this module's."""
    return em.part_of(run, _KEYS)


def iterate(
    pair: Pair,
    expectation: Expect,
    rules: Rules,
    mend: em.Mend = em.leave_alone,
    last_step: int | None = None,
) -> Iterator[Pair]:
    """Yield the pairs of a run, without end, by plain steps and by jumps.

    Parameters
    ----------
    pair : Pair
        The first; its run state may be that of a pair yielded here.
    expectation : callable
        One E over this run's table.
    rules : Rules
        Cycles that gain less than its `tol` per unit weight are followed by plain steps, which decide on
        convergence (docs/decisions/0008).
    mend : callable
        As in `em.iterate`; after it the run begins anew with plain steps.
    last_step : int, optional
        Where the run ends at the latest: a jump, which may take two steps, does not pass over it.

    Raises
    ------
    CovarianceNotPositive
        From a plain step, while the next pair is asked for.
    """
    cycle = Cycle.from_arrays(pair.run)
    while True:
        pair = replace(pair, run=cycle.kept_in(pair.run))
        yield pair
        stepped = rules.maximise(pair.expectation.statistics, pair.mixture)
        mended = mend(pair, stepped)
        if mended is not None:
            pair, cycle = em.restarted(mended, expectation), Cycle()
        elif cycle.plain:
            pair, cycle = _plain(pair, cycle, stepped, expectation, rules.tol)
            left = cycle.plain - 1
            cycle = replace(cycle, plain=left if left or _is_slow(pair, rules.tol) else 1)
        elif not cycle.base.size:
            cycle = replace(cycle, base=pack(pair.mixture, rules.params), likelihood=pair.likelihoods[-1])
            pair, cycle = _plain(pair, cycle, stepped, expectation, rules.tol)
        elif pair.step + 1 == last_step:
            cycle = replace(cycle, base=np.empty(0))
            pair, cycle = _plain(pair, cycle, stepped, expectation, rules.tol)
        else:
            pair, cycle = _jump(pair, cycle, stepped, expectation, rules)


def _plain(pair: Pair, cycle: Cycle, stepped: Mixture, expectation: Expect, tol: float) -> tuple[Pair, Cycle]:
    """Make a plain step; keep the likelihoods before it where they may judge of convergence."""
    pair = pair.followed_by(stepped, expectation(stepped))
    if cycle.since >= 0:
        cycle = replace(cycle, since=cycle.since + 1)
        if not _may_judge(pair, cycle, tol):
            pair = replace(pair, likelihoods=pair.likelihoods[-1:])
    return pair, cycle


def _may_judge(pair: Pair, cycle: Cycle, tol: float) -> bool:
    """Tell whether the likelihoods of plain steps after a jump may say that the run has converged."""
    if cycle.since < SETTLING + JUDGING:
        return cycle.since > SETTLING
    last_gain = pair.likelihoods[-1] - pair.likelihoods[-2]
    # What the slowest direction might still bring, were all of the last gain its own: gains shrink with the
    # square of the rate, so that gain / (2 (1 − rate)) is left.
    left_over = MARGIN * 0.5 * last_gain * cycle.slowest
    return left_over <= tol and (cycle.calm >= CALM or cycle.since >= LONG or cycle.is_fast)


def _jump(
    pair: Pair, cycle: Cycle, stepped: Mixture, expectation: Expect, rules: Rules
) -> tuple[Pair, Cycle]:
    """Extrapolate the last two steps; where that does not pay, be content with them."""
    second, third = pack(pair.mixture, rules.params), pack(stepped, rules.params)
    bound = cycle.longest
    measured, length, target = _extrapolate(cycle.base, second, third, bound)
    cycle = replace(
        cycle,
        longest=bound * GROWTH if length == bound else bound,
        slowest=max(min(measured, SLOWEST), cycle.slowest),
        is_fast=measured < FAST,
        base=np.empty(0),
    )
    gain = pair.expectation.mean_log_likelihood - cycle.likelihood
    if length <= 1 or (cycle.is_fast and gain < rules.tol):
        return _plain(pair, cycle, stepped, expectation, rules.tol)
    found, base, n_lost = _land(pair, unpack(target, stepped, rules.params), expectation, rules)
    if found is None:
        found = pair.followed_by(stepped, expectation(stepped))
        found = replace(found, step=found.step + n_lost)
        failures, longest = cycle.failures + 1, max(bound / GROWTH, 1.0)
    else:
        failures, longest = 0, cycle.longest
    likelihood = found.expectation.mean_log_likelihood
    plain, calm = 2 ** min(failures, 10) if failures > 1 else 0, 0
    if likelihood - cycle.likelihood < rules.tol:
        plain, calm = max(plain, SETTLING + JUDGING), cycle.calm + 1
    return replace(found, likelihoods=(likelihood,)), replace(
        cycle,
        plain=plain,
        since=0,
        calm=calm,
        longest=longest,
        failures=failures,
        likelihood=likelihood,
        base=np.empty(0) if plain else base,
    )


def _land(
    pair: Pair, mixture: Mixture | None, expectation: Expect, rules: Rules
) -> tuple[Pair | None, Array, int]:
    """Return the pair of a jump that reaches the likelihood before it, at once or by one step more.

    A long jump often lands beside the ridge that it follows: what it has won shows after a plain step.

    Returns
    -------
    pair : Pair or None
    base : ndarray
        Where that step was needed, the parameters before it: the next jump is half prepared.
    n_lost : int
        Steps that were made for nothing.
    """
    n_lost = 0
    if mixture is None:
        return None, np.empty(0), n_lost
    try:
        landed = expectation(mixture)
        if _starves(landed.statistics, pair.expectation.statistics):
            return None, np.empty(0), n_lost
        if landed.mean_log_likelihood >= pair.likelihoods[-1]:
            return pair.followed_by(mixture, landed), np.empty(0), n_lost
        stepped = rules.maximise(landed.statistics, mixture)
        n_lost = 1
        found = expectation(stepped)
    except CovarianceNotPositive:
        return None, np.empty(0), n_lost
    if found.mean_log_likelihood >= pair.likelihoods[-1]:
        return replace(pair.followed_by(stepped, found), step=pair.step + 2), pack(mixture, rules.params), 0
    return None, np.empty(0), n_lost


def _starves(found: Statistics, before: Statistics) -> bool:
    """Tell whether a jump leaves a component fewer rows than it needs, which had them before."""
    least = least_count(found.covariance_type, found.sums.shape[1]) * found.total_weight / found.rows
    return bool(((found.counts < least) & (before.counts >= least)).any())


def _is_slow(pair: Pair, tol: float) -> bool:
    """Tell whether plain EM would need many more passes, as far as three likelihoods tell."""
    gain = pair.remaining_gain
    if gain is None:
        return True
    if gain <= tol:
        return False
    l0, l1, l2 = pair.likelihoods[-3:]
    if l1 == l0:
        return True
    ratio = (l2 - l1) / (l1 - l0)
    return tol == 0 or (ratio > 0 and bool(np.log(tol / gain) / np.log(ratio) > FEW_PASSES))


def _extrapolate(first: Array, second: Array, third: Array, longest: float) -> tuple[float, float, Array]:
    """Return the length that was measured, that of the jump (1 leads to the third), and where it leads."""
    r = second - first
    v = (third - second) - r
    norm = float(np.linalg.norm(v))
    measured = float(np.linalg.norm(r)) / norm if norm > 0 else 1.0
    length = min(max(measured, 1.0), longest)
    return measured, length, first + 2 * length * r + length**2 * v


def pack(mixture: Mixture, params: str) -> Array:
    """Return the free parameters as a vector without constraints.

    Log weights, means, and of each covariance its Cholesky factor with the diagonal in logs (of diag and
    spherical: the log of its root).

    Raises
    ------
    CovarianceNotPositive
    """
    parts = []
    if "w" in params:
        parts.append(np.log(np.maximum(mixture.weights, np.finfo(float).tiny)))
    if "m" in params:
        parts.append(mixture.means.reshape(-1))
    if "c" in params:
        if mixture.covariance_type in ("diag", "spherical"):
            parts.append(-np.log(family.precision_factors(mixture)).reshape(-1))
        else:
            lower = family.cholesky(mixture)
            i = np.arange(lower.shape[-1])
            lower[..., i, i] = np.log(lower[..., i, i])
            parts.append(lower[..., *np.tril_indices(lower.shape[-1])].reshape(-1))
    return np.concatenate(parts)


def unpack(vector: Array, like: Mixture, params: str) -> Mixture | None:
    """Return the mixture of a vector, its frozen blocks those of `like`; None where it leaves the doubles."""
    weights, means, covariances = like.weights, like.means, like.covariances
    K = like.n_components
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if "w" in params:
            logs, vector = vector[:K], vector[K:]
            weights = np.where(like.weights > 0, np.exp(logs - logs.max()), 0.0)
            weights /= weights.sum()
        if "m" in params:
            means, vector = vector[: means.size].reshape(means.shape), vector[means.size :]
        if "c" in params and like.covariance_type in ("diag", "spherical"):
            covariances = np.exp(2 * vector).reshape(covariances.shape)
        elif "c" in params:
            d = like.n_features
            lower = np.zeros(covariances.shape)
            lower[..., *np.tril_indices(d)] = vector.reshape(*covariances.shape[:-2], -1)
            i = np.arange(d)
            lower[..., i, i] = np.exp(lower[..., i, i])
            covariances = lower @ np.swapaxes(lower, -1, -2)
            covariances = 0.5 * (covariances + np.swapaxes(covariances, -1, -2))
    if not all(np.isfinite(block).all() for block in (weights, means, covariances)):
        return None
    return Mixture(weights, means, covariances, like.covariance_type)
