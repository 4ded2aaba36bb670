"""Finds values of a checkpoint that are out of bounds, and parts that contradict each other. Knows no files.

A checkpoint with such a fault was forged, or a faulty program wrote it. `decode` refuses it, so that no verb
computes with it.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import NARROWEST_SD, Structure
from gmmcli.core.em.memory import Batches
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import FURTHEST_SD, MAX_LOG10_SCALE, find_extreme_variance

if TYPE_CHECKING:
    from gmmcli.store.checkpoint import Checkpoint

# Relative. Sums over rows may lose a few of sixteen digits; a difference that matters is far greater.
TOLERANCE = 1e-9
# Within these bounds, sums over rows do not overflow when they are added, squared or divided.
MOST_WEIGHT = 1e18
_MOST_SUMS = {"counts": MOST_WEIGHT, "sums": 1e120, "squares": 1e220, "reference": FURTHEST_SD}
# In nats. The log density of a row is at most about (FURTHEST_SD / NARROWEST_SD)² = 1e280 from 0.
MOST_NATS_PER_WEIGHT, MOST_NATS = 1e290, 1e300
# The square of the length of a jump must not overflow.
MOST_LENGTH = 1e100


def find_out_of_bounds(checkpoint: "Checkpoint") -> list[str]:
    """Return which values are so large or small that a computation with them might overflow, as sentences."""
    with np.errstate(all="ignore"):
        return [
            *_find_in_model(checkpoint),
            *_find_in_sums(checkpoint),
            *_find_in_nats(checkpoint),
            *_find_in_cycle(checkpoint),
        ]


def _find_in_model(checkpoint: "Checkpoint") -> Iterator[str]:
    """Look at the units and the state."""
    state, scale = checkpoint.state, checkpoint.units.scale
    if not ((scale >= 10.0**-MAX_LOG10_SCALE) & (scale <= 10.0**MAX_LOG10_SCALE)).all():
        yield f"the units have a scale that is not within 1e±{MAX_LOG10_SCALE:g}"
    narrowest = checkpoint.units.narrowest
    if narrowest is not None:
        relative = narrowest / scale
        if not ((relative >= NARROWEST_SD**2) & (relative <= 1 / NARROWEST_SD)).all():
            yield "the units have a narrowest sd out of bounds"
    if (np.abs(state.means) > FURTHEST_SD).any():
        yield f"/state has a mean beyond {FURTHEST_SD:g}"
    if find_extreme_variance(state.covariances, state.structure, state.n_features) is not None:
        yield "/state has a variance out of bounds"


def _find_in_sums(checkpoint: "Checkpoint") -> Iterator[str]:
    """Look at the statistics, and at the running statistics of a run with batches."""
    if not 0 < checkpoint.statistics.total_weight <= MOST_WEIGHT:
        yield f"total_weight is {checkpoint.statistics.total_weight}"
    parts: list[tuple[str, Statistics | Batches]] = [("statistics", checkpoint.statistics)]
    if checkpoint.memory.stepwise is not None:
        parts.append(("running statistics", checkpoint.memory.stepwise))
    for part, sums in parts:
        for name, most in _MOST_SUMS.items():
            if (np.abs(getattr(sums, name)) > most).any():
                yield f"{name} of the {part} is beyond {most:g}"


def _find_in_nats(checkpoint: "Checkpoint") -> Iterator[str]:
    """Look at the log-likelihoods and log densities."""
    statistics, stepwise = checkpoint.statistics, checkpoint.memory.stepwise
    for name in ("log_likelihood", "log_max_posterior"):
        total = abs(getattr(statistics, name))
        if total > MOST_NATS or total > MOST_NATS_PER_WEIGHT * statistics.total_weight:
            yield f"{name} of the statistics is beyond {MOST_NATS:g}, or {MOST_NATS_PER_WEIGHT:g} per weight"
    found = [
        ("log-likelihoods", checkpoint.log_likelihoods, MOST_NATS),
        ("stopping state", checkpoint.stopping, MOST_NATS_PER_WEIGHT),
        ("quantiles", checkpoint.quantiles, MOST_NATS_PER_WEIGHT),
    ]
    if stepwise is not None:
        found.append(("likelihoods of the passes", stepwise.likelihoods, MOST_NATS_PER_WEIGHT))
    for part, nats, most in found:
        if (np.abs(nats) > most).any():
            yield f"a value of the {part} is beyond {most:g}"


def _find_in_cycle(checkpoint: "Checkpoint") -> Iterator[str]:
    """Look at the memory of an accelerated run."""
    cycle = checkpoint.memory.cycle
    if cycle is not None:
        if not 0 <= cycle.longest <= MOST_LENGTH:
            yield f"the bound on the length of a jump is {cycle.longest:g}"
        if min(cycle.plain, cycle.calm, cycle.failures) < 0:
            yield "a count of the memory of an accelerated run is negative"


def find_contradictions(checkpoint: "Checkpoint") -> list[str]:
    """Return the contradictions between the parts of a checkpoint, as sentences with numbers.

    The values must be within bounds. Checked are the covariances, the statistics, the quantiles, and the
    mixture in the table's units against the state in standard units, to 1e-9 of the scale.
    """
    with np.errstate(all="ignore"):
        return [
            *_find_indefinite(checkpoint.state),
            *_find_in_statistics(checkpoint),
            *_find_in_units(checkpoint),
            *_find_in_quantiles(checkpoint),
        ]


def _find_indefinite(state: Mixture) -> Iterator[str]:
    """Find the covariances of the state that the kernel refuses. A shared covariance is that of component 0.

    The covariances in the table's units may fail to have a Cholesky factor: no density is computed with them.
    """
    covariances = state.covariances[None] if state.structure.is_shared else state.covariances
    if not _are_positive(covariances, state.structure):
        for component, covariance in enumerate(covariances):
            if not _are_positive(covariance, state.structure):
                yield f"the covariance of component {component} in /state is not positive definite"


def _are_positive(covariances: Array, structure: Structure) -> bool:
    """Return whether the kernel accepts covariances."""
    try:
        structure.check(covariances)
    except np.linalg.LinAlgError:
        return False
    return True


def _find_in_statistics(checkpoint: "Checkpoint") -> Iterator[str]:
    """Compare the statistics with each other."""
    statistics, stepwise = checkpoint.statistics, checkpoint.memory.stepwise
    counted = float(statistics.counts.sum())
    if not abs(counted - statistics.total_weight) <= TOLERANCE * statistics.total_weight:
        yield f"the counts sum to {counted!r}, but total_weight is {statistics.total_weight!r}"
    if (statistics.counts < 0).any():
        yield "a count of the statistics is negative"
    if not _are_moments(statistics):
        yield "counts, sums and squares of the statistics are not those of rows"
    if stepwise is not None:
        arrays = {name: getattr(stepwise, name) for name in _MOST_SUMS}
        if (stepwise.counts < 0).any() or not _are_moments(replace(statistics, **arrays)):
            yield "counts, sums and squares of the running statistics are not those of rows"


def _are_moments(statistics: Statistics) -> bool:
    """Return whether no variance that follows from statistics is negative, in any direction."""
    counts = np.where(statistics.counts > 0, statistics.counts, 1.0)
    squares = statistics.shifted(statistics.reference + statistics.sums / counts[:, None]).squares
    # A shift to another reference has rounding errors in proportion to these.
    magnitude = np.abs(statistics.squares).max() + statistics.total_weight * (
        1 + (statistics.reference**2).max()
    )
    structure = FAMILIES[statistics.covariance_type].structure
    lifted = structure.lift(squares + 0.0, TOLERANCE * magnitude)
    return bool(np.isfinite(lifted).all()) and structure.are_semidefinite(lifted)


def _find_in_units(checkpoint: "Checkpoint") -> Iterator[str]:
    """Compare the mixture with the state, from which it is derived."""
    mixture, units = checkpoint.mixture, checkpoint.units
    try:
        derived = units.to_table(checkpoint.state)
    except ValueError as error:
        yield f"/state in the table's units: {error}"
        return
    spread = units.covariance_scale(mixture.covariance_type)
    magnitudes = (
        ("weights", np.ones(1)),
        ("means", units.scale + abs(units.center) + abs(mixture.means)),
        ("covariances", spread + abs(mixture.covariances)),
    )
    for name, magnitude in magnitudes:
        distance = abs(getattr(derived, name) - getattr(mixture, name)) / magnitude
        if not (distance <= TOLERANCE).all():
            yield f"the {name} of /mixture and /state differ by {distance.max():.3g} of the scale"
    own, other = (one.structure.variances(one.covariances) for one in (mixture, derived))
    if ((own < 0) & (other >= 0)).any():
        yield "a variance of /mixture is negative"


def _find_in_quantiles(checkpoint: "Checkpoint") -> Iterator[str]:
    """Look at the order of the quantiles."""
    if not (np.diff(checkpoint.quantiles) >= 0).all():
        yield "the quantiles of the log densities are not ascending"
