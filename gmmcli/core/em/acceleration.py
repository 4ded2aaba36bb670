"""Accelerated EM: fewer passes to the same optimum, by squared extrapolation. The likelihood never falls.

Where EM is slow, each step is nearly the last step times a constant factor. Two steps give the direction and
the factor, and one extrapolation, a jump, replaces many steps. Varadhan and Roland (2008), scheme S3, with a
bound on the length of a jump and a test of whether the jump was worth its passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.em.loop import Mend, Origin, Step, leave_alone
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.em.memory import Cycle
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, Table
from gmmcli.core.precision import blaming
from gmmcli.core.statistics import Statistics
from gmmcli.errors import CovarianceNotPositive

# If plain EM is expected to end within this many passes, there are no jumps.
FEW_PASSES = 10
# The bound on the length of a jump is multiplied by this after a jump that reached it, divided by it after a
# jump that failed.
GROWTH = 4.0
# Plain steps after a jump until gains come from the slow direction again, then plain steps that judge
# convergence.
SETTLING = 3
JUDGING = 2
# A run may converge after this many cycles in a row that gain less than the tolerance: a jump shows best how
# much gain remains in the slow direction.
CALM = 2
# After this many plain steps since a jump, their likelihoods judge as those of a run without jumps do.
LONG = 32
# A measured length below this means that steps more than halve, or turn: a jump would not pay.
FAST = 2.0
# Jumps underestimate how slow the slowest direction is, since faster directions are mixed in.
MARGIN = 10.0
# A measured length above this is rounding error.
SLOWEST = 1e4


def iterate(
    origin: Origin,
    engine: Engine,
    table: Table,
    rules: Rules,
    mend: Mend = leave_alone,
    last_step: int | None = None,
) -> Iterator[Step]:
    """Yield the plain steps and jumps of a run, without end.

    Parameters
    ----------
    origin : Origin
        With the memory of a step yielded here, the run continues as if it had not stopped.
    engine : Engine
    table : Table
    rules : Rules
        After a cycle that gains less than `tol` per unit weight, plain steps decide on convergence
        (docs/decisions/0008).
    mend : callable
        As in `loop.iterate`. After a mend the run starts again with plain steps.
    last_step : int, optional
        The last step of the run. A jump may count as two steps; no jump goes past this step.

    Raises
    ------
    CovarianceNotPositive
        From a plain step, when the caller asks for the next step.
    """
    step, cycle = origin.step(engine, table), origin.memory.cycle or Cycle()
    while True:
        step = replace(step, memory=replace(step.memory, cycle=cycle))
        yield step
        stepped = maximise(step.expectation.statistics, step.mixture, rules)
        mended = mend(step, stepped)
        if mended is not None:
            step, cycle = mended.step(engine, table), Cycle()
            continue
        landing, bound = None, cycle.longest
        if not cycle.plain:
            here = pack(step.mixture, rules.params)
            if cycle.base.size != here.size:  # a new cycle begins
                cycle = replace(cycle, base=here, likelihood=step.likelihoods[-1])
            elif step.number + 1 == last_step:
                cycle = replace(cycle, base=np.empty(0))
            else:
                cycle, target = _aim(step, cycle, here, stepped, rules)
                landing = None if target is None else _land(step, target, engine, table, rules)
        if landing is not None and landing.step is not None:
            step = landing.step
        else:
            step = step.followed_by(stepped, engine.expectation(table, stepped))
        if landing is None:
            step, cycle = _after_plain(step, cycle, rules.tol)
        else:
            step, cycle = _after_jump(step, cycle, landing, bound, rules.tol)


@dataclass(frozen=True, eq=False)
class _Landing:
    """The outcome of a jump.

    Parameters
    ----------
    step : Step or None
        None if the jump did not reach the likelihood before it.
    base : ndarray
        If a plain step followed the jump: the parameters before it, where the next cycle begins.
    n_lost : int
        M-steps whose result was discarded.
    """

    step: Step | None = None
    base: Array = field(default_factory=lambda: np.empty(0))
    n_lost: int = 0


def _aim(
    step: Step, cycle: Cycle, second: Array, stepped: Mixture, rules: Rules
) -> tuple[Cycle, Array | None]:
    """Extrapolate the last two steps; return the target, or None if a jump would not pay."""
    bound = cycle.longest
    measured, length, target = _extrapolate(cycle.base, second, pack(stepped, rules.params), bound)
    cycle = replace(
        cycle,
        longest=bound * GROWTH if length == bound else bound,
        slowest=min(max(cycle.slowest, measured), SLOWEST),
        is_fast=measured < FAST,
        base=np.empty(0),
    )
    gain = step.expectation.mean_log_likelihood - cycle.likelihood
    is_pointless = length <= 1 or (cycle.is_fast and gain < rules.tol)
    return cycle, None if is_pointless else target


def _land(step: Step, target: Array, engine: Engine, table: Table, rules: Rules) -> _Landing:
    """Make a jump; accept it if it reaches the likelihood before it, at once or after one plain step.

    A long jump often lands beside the ridge of the likelihood; a plain step leads back to it.
    """
    mixture = unpack(target, step.mixture, rules.params)
    if mixture is None:
        return _Landing()
    if rules.narrowest is not None and "c" in rules.params:
        bounded = mixture.structure.bound(mixture.covariances, rules.narrowest)
        mixture = replace(mixture, covariances=bounded)
    n_lost = 0
    try:
        landed = engine.expectation(table, mixture)
        if _starves(landed.statistics, step.expectation.statistics):
            return _Landing()
        if landed.mean_log_likelihood >= step.likelihoods[-1]:
            return _Landing(step.followed_by(mixture, landed))
        stepped = maximise(landed.statistics, mixture, rules)
        n_lost = 1
        found = engine.expectation(table, stepped)
    except CovarianceNotPositive:
        return _Landing(n_lost=n_lost)
    if found.mean_log_likelihood >= step.likelihoods[-1]:
        reached = replace(step.followed_by(stepped, found), number=step.number + 2)
        return _Landing(reached, pack(mixture, rules.params))
    return _Landing(n_lost=n_lost)


def _after_plain(step: Step, cycle: Cycle, tol: float) -> tuple[Step, Cycle]:
    """Count a plain step. Keep the earlier likelihoods only if they may judge convergence."""
    if cycle.since >= 0:
        cycle = replace(cycle, since=cycle.since + 1)
        if not _may_judge(step, cycle, tol):
            step = replace(step, likelihoods=step.likelihoods[-1:])
    if cycle.plain:
        left = cycle.plain - 1
        cycle = replace(cycle, plain=left if left or _is_slow(step, tol) else 1)
    return step, cycle


def _after_jump(step: Step, cycle: Cycle, landing: _Landing, bound: float, tol: float) -> tuple[Step, Cycle]:
    """Judge a jump of length at most `bound`, or the plain step that replaced it."""
    likelihood = step.expectation.mean_log_likelihood
    failures, longest, number = 0, cycle.longest, step.number
    if landing.step is None:
        failures, longest, number = cycle.failures + 1, max(bound / GROWTH, 1.0), step.number + landing.n_lost
    plain, calm = 2 ** min(failures, 10) if failures > 1 else 0, 0
    if likelihood - cycle.likelihood < tol:
        plain, calm = max(plain, SETTLING + JUDGING), cycle.calm + 1
    return replace(step, number=number, likelihoods=(likelihood,)), replace(
        cycle,
        plain=plain,
        since=0,
        calm=calm,
        longest=longest,
        failures=failures,
        likelihood=likelihood,
        base=np.empty(0) if plain else landing.base,
    )


def _may_judge(step: Step, cycle: Cycle, tol: float) -> bool:
    """Return whether the likelihoods of the plain steps since a jump may judge convergence."""
    if cycle.since < SETTLING + JUDGING:
        return cycle.since > SETTLING
    last_gain = step.likelihoods[-1] - step.likelihoods[-2]
    # The gain that may remain if all of the last gain came from the slowest direction: gains shrink with the
    # square of the rate, so gain / (2 (1 − rate)) remains.
    remaining = MARGIN * 0.5 * last_gain * cycle.slowest
    return remaining <= tol and (cycle.calm >= CALM or cycle.since >= LONG or cycle.is_fast)


def _starves(found: Statistics, before: Statistics) -> bool:
    """Return whether a jump starves a component that had enough rows before."""
    family = FAMILIES[found.covariance_type]
    least = family.least_count(found.sums.shape[1]) * found.total_weight / found.rows
    return bool(((found.counts < least) & (before.counts >= least)).any())


def _is_slow(step: Step, tol: float) -> bool:
    """Estimate from three likelihoods whether plain EM would need more than `FEW_PASSES` passes."""
    gain = step.remaining_gain
    if gain is None:
        return True
    if gain <= tol:
        return False
    l0, l1, l2 = step.likelihoods[-3:]
    if l1 == l0:
        return True
    ratio = (l2 - l1) / (l1 - l0)
    return tol == 0 or (ratio > 0 and bool(np.log(tol / gain) / np.log(ratio) > FEW_PASSES))


@np.errstate(over="ignore", invalid="ignore")  # `unpack` refuses a target that overflows
def _extrapolate(first: Array, second: Array, third: Array, longest: float) -> tuple[float, float, Array]:
    """Return the measured length, the bounded length and the target of a jump; length 1 leads to `third`."""
    r = second - first
    v = (third - second) - r
    norm = float(np.linalg.norm(v))
    measured = float(np.linalg.norm(r)) / norm if norm > 0 else 1.0
    length = min(max(measured, 1.0), longest)
    return measured, length, first + 2 * length * r + length**2 * v


def pack(mixture: Mixture, params: str) -> Array:
    """Return the free parameters as an unconstrained vector.

    It holds log weights, means, and what `Structure.pack` returns for the covariances.

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
        with blaming(mixture):
            parts.append(mixture.structure.pack(mixture.covariances))
    return np.concatenate(parts)


def unpack(vector: Array, like: Mixture, params: str) -> Mixture | None:
    """Return the mixture of a vector, with the frozen blocks of `like`; None if a parameter overflows."""
    weights, means, covariances = like.weights, like.means, like.covariances
    K = like.n_components
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if "w" in params:
            logs, vector = vector[:K], vector[K:]
            weights = np.where(like.weights > 0, np.exp(logs - logs.max()), 0.0)
            weights /= weights.sum()
        if "m" in params:
            means, vector = vector[: means.size].reshape(means.shape), vector[means.size :]
        if "c" in params:
            covariances = like.structure.unpack(vector, *like.means.shape)
    if not all(np.isfinite(block).all() for block in (weights, means, covariances)):
        return None
    return Mixture(weights, means, covariances, like.covariance_type)
