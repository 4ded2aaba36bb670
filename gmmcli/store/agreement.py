"""Whether the parts of one checkpoint agree with each other. Pure numbers; no files."""

from collections.abc import Iterator

import numpy as np

from gmmcli.core.family import factors_of
from gmmcli.core.mixture import Array, CovarianceType, Mixture
from gmmcli.store.checkpoint import Checkpoint

# Sums over rows may lose a few digits of the sixteen; anything that matters to a user is far above.
TOLERANCE = 1e-9


def find_contradictions(checkpoint: Checkpoint) -> list[str]:
    """Return what does not agree, each as a sentence with numbers.

    Checked are the weights, the covariances, the statistics, the quantiles, and the mixture in the table's
    units against the state in standard units, to 1e-9 of the scale.
    """
    with np.errstate(all="ignore"):
        return [
            *_find_in_mixtures(checkpoint),
            *_find_in_statistics(checkpoint),
            *_find_in_units(checkpoint),
            *_find_in_quantiles(checkpoint),
        ]


def _find_in_mixtures(checkpoint: Checkpoint) -> Iterator[str]:
    """Look at each of the two mixtures alone.

    Densities are those of the state: its covariances must be such that the kernel takes them. Those of the
    mixture in the table's units need only be near them.
    """
    for name, mixture in (("state", checkpoint.state), ("mixture", checkpoint.mixture)):
        total = float(mixture.weights.sum())
        if abs(total - 1) > TOLERANCE:
            yield f"the weights of /{name} sum to {total!r}"
    for component in _find_indefinite(checkpoint.state):
        yield f"the covariance of component {component} in /state is not positive definite"


def _find_in_quantiles(checkpoint: Checkpoint) -> Iterator[str]:
    """Look at the order of the quantiles."""
    if not (np.diff(checkpoint.quantiles) >= 0).all():
        yield "the quantiles of the log densities are not ascending"


def _find_in_statistics(checkpoint: Checkpoint) -> Iterator[str]:
    """Compare the statistics with themselves."""
    statistics = checkpoint.statistics
    counted = float(statistics.counts.sum())
    if not abs(counted - statistics.total_weight) <= TOLERANCE * abs(statistics.total_weight):
        yield f"the counts sum to {counted!r}, but total_weight is {statistics.total_weight!r}"
    if (statistics.counts < 0).any():
        yield "a count of the statistics is negative"


def _find_in_units(checkpoint: Checkpoint) -> Iterator[str]:
    """Compare the two mixtures through the units."""
    mixture, units = checkpoint.mixture, checkpoint.units
    derived = units.to_table(checkpoint.state)
    spread = _in_covariance_units(units.scale, mixture.covariance_type)
    magnitudes = (
        ("weights", np.ones(1)),
        ("means", units.scale + abs(units.center) + abs(mixture.means)),
        ("covariances", spread + abs(mixture.covariances)),
    )
    for name, magnitude in magnitudes:
        distance = abs(getattr(derived, name) - getattr(mixture, name)) / magnitude
        if not (distance <= TOLERANCE).all():
            yield f"the {name} of /mixture and /state differ by {distance.max():.3g} of the scale"


def _in_covariance_units(scale: Array, covariance_type: CovarianceType) -> Array:
    """Return the scale of every covariance, broadcastable to their shape."""
    match covariance_type:
        case "full" | "tied":
            return np.multiply.outer(scale, scale)
        case "diag":
            return scale**2
        case "spherical":
            return scale[:1] ** 2


def _find_indefinite(state: Mixture) -> Iterator[int]:
    """Yield the components (0 for the tied covariance) whose covariance the kernel refuses."""
    is_tied = state.covariance_type == "tied"
    for component, covariance in enumerate(state.covariances[None] if is_tied else state.covariances):
        try:
            factors_of(covariance, state.covariance_type)
        except np.linalg.LinAlgError:
            yield component
