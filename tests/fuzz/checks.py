"""What must hold of the report and the checkpoint of a fit, whatever its table was."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isclose, isfinite, log
from typing import Any

import numpy as np
from fuzz.cases import Fit
from fuzz.errors import EPS, continued, features_in_use, measure_units
from fuzz.tables import SMALLEST, Array
from oracles import slow_em

from gmmcli.cli import render
from gmmcli.core.mixture import Mixture
from gmmcli.fitting.report import FitReport
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.model_dir import Stored

# Of an ill-conditioned covariance the likelihood is known to fewer digits than these: nothing to compare.
HOPELESS = 1e-3


def find_faults(report: FitReport, stored: Stored, fit: Fit, before: Stored | None) -> Iterator[str]:
    """Yield what is wrong with the end of a fit that did not fail.

    Parameters
    ----------
    report : FitReport
    stored : Stored
        The newest checkpoint, as read from the directory.
    fit : Fit
    before : Stored or None
        The newest one before the fit.
    """
    checkpoint = stored.checkpoint
    yield from _odd_numbers("report", report)
    json.loads(render.fit_json(report), parse_constant=_refuse)
    yield from (f"notice of several lines: {n.text!r}" for n in report.warnings if not n.text.isprintable())
    if report.checkpoint != stored.generation:
        yield f"report of checkpoint {report.checkpoint}, the newest is {stored.generation}"
    if before is not None and before.generation == stored.generation:
        return  # nothing was to be done: the checkpoint is of the table before
    yield from find_faults_of_checkpoint(checkpoint)
    rows = fit.complete_rows(checkpoint.features)
    if report.approximate:
        yield from _faults_of_partial(report, checkpoint, fit, before, len(rows))
        return
    if not report.rows == report.total_weight == len(rows) > 0:
        yield f"{report.rows} rows of weight {report.total_weight}, the table has {len(rows)}"
        return
    if continued(fit, before) is None:
        yield from _faults_of_units(checkpoint, fit)
    yield from _faults_of_likelihood(report, checkpoint, rows)


def _faults_of_partial(
    report: FitReport, checkpoint: Checkpoint, fit: Fit, before: Stored | None, n_rows: int
) -> Iterator[str]:
    """Yield where rows and weight are not those of before, decayed, and of the table."""
    known = continued(fit, before)
    if known is None or "partial" not in fit.options:
        yield "approximate without earlier rows"
        return
    decay = fit.options.get("decay", 1.0)
    weight = known.statistics.total_weight * decay + n_rows
    if report.rows != known.statistics.rows + n_rows or not isclose(report.total_weight, weight):
        yield f"{report.rows} rows of weight {report.total_weight}, not of {weight}"
    counts = checkpoint.statistics.counts.sum()
    if not isclose(counts, weight, rel_tol=1e-9):
        yield f"counts of {counts} together, not {weight}"


def find_faults_of_checkpoint(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield what is wrong with a checkpoint whatever the table was."""
    yield from _odd_numbers("checkpoint", checkpoint)
    for name, mixture in (("state", checkpoint.state), ("mixture", checkpoint.mixture)):
        yield from _faults_of_mixture(name, mixture)
    if not _has_factors(checkpoint.state):
        yield "a covariance of the state has no Cholesky factor"
    yield from _faults_of_conversion(checkpoint)
    if (np.diff(checkpoint.quantiles) < 0).any():
        yield "quantiles fall"


def _refuse(constant: str) -> None:
    """Refuse what JSON does not know."""
    raise ValueError(f"{constant} in JSON")


def _odd_numbers(name: str, value: Any) -> Iterator[str]:
    """Yield the places of numbers that are not finite, all the way down."""
    if isinstance(value, float) and not isfinite(value):
        yield f"{name} is {value}"
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        if not np.isfinite(value).all():
            yield f"{name} is not finite: {value.tolist()}"
    elif is_dataclass(value):
        for field in fields(value):
            yield from _odd_numbers(f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _odd_numbers(f"{name}.{key}", item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for i, item in enumerate(value):
            yield from _odd_numbers(f"{name}.{i}", item)


def _faults_of_mixture(name: str, mixture: Mixture) -> Iterator[str]:
    """Yield what no mixture may have, in whatever units."""
    weights, covariances = mixture.weights, mixture.covariances
    if (weights < 0).any() or abs(weights.sum() - 1) > 4 * EPS * len(weights):
        yield f"{name}: weights {weights.tolist()}"
    if mixture.covariance_type in ("full", "tied"):
        if (covariances != np.swapaxes(covariances, -1, -2)).any():
            yield f"{name}: covariances not symmetric: {covariances.tolist()}"
        covariances = np.diagonal(covariances, axis1=-2, axis2=-1)
    if not (covariances > 0).all():
        yield f"{name}: variances not positive: {covariances.tolist()}"


def _has_factors(mixture: Mixture) -> bool:
    """Tell whether every covariance is positive definite."""
    if mixture.covariance_type in ("full", "tied"):
        try:
            np.linalg.cholesky(mixture.covariances)
        except np.linalg.LinAlgError:
            return False
    return True


def _faults_of_conversion(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield where the mixture in the table's units is not the state: a few roundings are allowed.

    Means that were given stay as they are; the state has what the doubles leave of them, which may be nothing
    where they are below the smallest times the scale.
    """
    state, mixture = checkpoint.state, checkpoint.mixture
    center, scale = (x.astype(np.longdouble) for x in (checkpoint.units.center, checkpoint.units.scale))
    square = {"full": scale[:, None] * scale, "diag": scale**2, "spherical": scale[0] ** 2}
    square["tied"] = square["full"]
    covariances = state.covariances * square[state.covariance_type]
    means = state.means * scale + center
    if mixture.weights.tobytes() != state.weights.tobytes():
        yield "weights differ between units"
    rounding = 4 * EPS * (np.abs(state.means * scale) + np.abs(center)) + SMALLEST * np.maximum(scale, 1)
    if (np.abs(mixture.means - means) > rounding).any():
        yield f"means {mixture.means.tolist()} in the table's units, not {means.astype(float).tolist()}"
    if (np.abs(mixture.covariances - covariances) > 4 * EPS * np.abs(covariances) + SMALLEST).any():
        found, exact = mixture.covariances.tolist(), covariances.astype(float).tolist()
        yield f"covariances {found} in the table's units, not {exact}"


def _faults_of_units(checkpoint: Checkpoint, fit: Fit) -> Iterator[str]:
    """Yield where columns, centre and scale of a new model are not those of its table."""
    if checkpoint.features != features_in_use(fit, None):
        yield f"columns {checkpoint.features}"
        return
    rows, units = fit.complete_rows(checkpoint.features), checkpoint.units
    exact = measure_units(rows, checkpoint.state.covariance_type)
    reach = np.abs(rows).max(axis=0)
    if (np.abs(units.center - exact.center) > 1e-14 * reach + SMALLEST).any():
        yield f"centre {units.center.tolist()}, not {exact.center.astype(float).tolist()}"
    if checkpoint.state.covariance_type == "spherical":
        reach = reach.max()
    # Means of two operands are rounded to the offset: what they add to the squares is of that size squared.
    if (np.abs(units.scale - exact.scale) > 1e-12 * exact.scale + 1e-15 * reach).any():
        yield f"scale {units.scale.tolist()}, not {exact.scale.astype(float).tolist()}"


def _faults_of_likelihood(report: FitReport, checkpoint: Checkpoint, rows: Array) -> Iterator[str]:
    """Yield where the likelihood and what belongs to it are not those of the slow reference.

    A log density is right to 1e-9 of itself (of 1, where it is smaller), or to the rounding that the worst
    condition of a component multiplies: that of its correlations, as scales alone do no harm.
    """
    state, units = checkpoint.state, checkpoint.units
    d = state.n_features
    tolerance = max(1e-9, 4 * d * EPS * _worst_condition(state))
    if tolerance > HOPELESS:
        return
    Z = ((rows - units.center) / units.scale).T
    with np.errstate(all="ignore"):
        slow = slow_em.expectation(Z, state)
    slack = float((tolerance * np.maximum(1, np.abs(slow.log_density))).sum())
    log_jacobian = len(rows) * float(np.log(units.scale.astype(np.longdouble)).sum())
    likelihood = float(slow.log_likelihood) - log_jacobian
    rounding = 1e-12 * (abs(log_jacobian) + abs(float(slow.log_likelihood)))
    if not abs(report.log_likelihood - likelihood) <= slack + rounding:
        yield f"log-likelihood {report.log_likelihood}, not {likelihood} (within {slack + rounding:.1e})"
    certainty = float(slow.log_max_posterior)
    found = checkpoint.statistics.log_max_posterior
    if not abs(found - certainty) <= 4 * slack:
        yield f"log of the largest posteriors {found}, not {certainty} (within {4 * slack:.1e})"
    ends, slow_ends = checkpoint.quantiles[[0, -1]], (slow.log_density.min(), slow.log_density.max())
    if not np.allclose(ends, np.array(slow_ends, dtype=float), rtol=tolerance, atol=tolerance):
        yield f"quantiles from {ends.tolist()}, not from {[float(end) for end in slow_ends]}"
    p, n = report.n_parameters, report.total_weight
    expected = {
        "mean_log_likelihood": report.log_likelihood / n,
        "aic": 2 * p - 2 * report.log_likelihood,
        "bic": p * log(n) - 2 * report.log_likelihood,
        "icl": p * log(n) - 2 * report.log_likelihood - 2 * found,
    }
    for name, value in expected.items():
        if not isclose(getattr(report, name), value, rel_tol=1e-12, abs_tol=1e-12):
            yield f"{name} {getattr(report, name)}, not {value}"


def _worst_condition(mixture: Mixture) -> float:
    """Return the largest condition among the components' correlation matrices; 1 without correlations."""
    if mixture.covariance_type in ("diag", "spherical"):
        return 1.0
    sds = np.sqrt(np.diagonal(mixture.covariances, axis1=-2, axis2=-1))
    with np.errstate(all="ignore"):
        correlations = mixture.covariances / sds[..., :, None] / sds[..., None, :]
    if not np.isfinite(correlations).all():
        return float("inf")
    return float(np.linalg.cond(correlations).max())
