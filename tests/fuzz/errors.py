"""What must hold of a fit's error: its status, its text, and that what was given explains it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from fuzz.cases import Fit
from fuzz.tables import Array

from gmmcli.core.units import FURTHEST, FURTHEST_SD, MAX_LOG10_SCALE, Units
from gmmcli.errors import GmmError
from gmmcli.fitting.options import options_of
from gmmcli.fitting.settings import Settings
from gmmcli.remedies import in_shell
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.model_dir import Stored

EPS = float(np.finfo(float).eps)
STATUSES = (2, 65, 70)
# A covariance is singular to the doubles where its floor is less than so many roundings of its entries.
ROUNDINGS = 1000
# Options of a run that needs a number of components.
OF_ONE_MODEL = frozenset(("steps", "max_steps", "batch_size", "partial", "validation", "checkpoint_steps"))
# Variances of an export beyond these, in standard units, are no start for anything.
VARIANCES = (1e-12, 1e200)


def find_faults_of_error(error: GmmError, fit: Fit, before: Stored | None) -> Iterator[str]:
    """Yield what is wrong with an error.

    Parameters
    ----------
    error : GmmError
    fit : Fit
    before : Stored or None
        The newest checkpoint before the fit.
    """
    if error.status not in STATUSES:
        yield f"status {error.status}: {error}"
    if not str(error).isprintable() or not in_shell(error.hint or "").isprintable():
        yield f"error of several lines: {str(error)!r}, hint {error.hint!r}"
    reasons = {2: _contradicts, 65: _is_unusable, 70: _is_singular}
    if error.status in reasons and not reasons[error.status](fit, continued(fit, before)):
        yield f"status {error.status} without a reason: {error}"


def continued(fit: Fit, before: Stored | None) -> Checkpoint | None:
    """Return the checkpoint that a fit goes on with."""
    return None if before is None or "fresh" in fit.options else before.checkpoint


def features_in_use(fit: Fit, model: Checkpoint | None) -> tuple[str, ...]:
    """Return the columns in use: the model's, those of an export, or those with a value."""
    if model is not None:
        return model.features
    if isinstance(fit.start, Mapping):
        return fit.names
    has_value = ~np.isnan(fit.rows).all(axis=0)
    return tuple(name for name, is_used in zip(fit.names, has_value, strict=True) if is_used)


def measure_units(rows: Array, covariance_type: str) -> Units:
    """Return centre and scale of complete rows by the definitions, in long double."""
    X = rows.astype(np.longdouble) - rows[0]  # exact where values are near each other
    centred = X - X.mean(axis=0)
    variances = (centred**2).mean(axis=0)
    if covariance_type == "spherical":
        variances[:] = variances.mean()
    scale = np.where(variances > 0, np.sqrt(variances), 1)
    return Units(rows[0] + X.mean(axis=0), scale)


def _settings(fit: Fit, model: Checkpoint | None) -> dict[str, Any]:
    """Return the settings that a fit comes to."""
    implied = {}
    if isinstance(fit.start, Mapping):
        implied = {"components": len(fit.means), "covariance_type": fit.start["covariance_type"]}
    defaults = {name: row.default for name, row in options_of(Settings)}
    return defaults | dict(model.settings if model else {}) | dict(fit.settings) | implied


def _contradicts(fit: Fit, model: Checkpoint | None) -> bool:
    """Tell whether a fit asks for another model than the one it goes on with, or for none at all."""
    asked = fit.settings.get("components")
    if isinstance(fit.start, np.ndarray) and asked not in (None, len(fit.start)):
        return True
    if isinstance(fit.start, Mapping):
        return False
    if model is None:
        return asked is None and not OF_ONE_MODEL.isdisjoint(fit.options)
    return asked not in (None, model.state.n_components)


def _is_unusable(fit: Fit, model: Checkpoint | None) -> bool:
    """Tell whether no mixture can be learnt from a table, or not the one that was asked for."""
    settings, features = _settings(fit, model), features_in_use(fit, model)
    if not features or np.isinf(fit.rows).any():
        return True
    rows = fit.complete_rows(features)
    if not len(rows) or (settings["missing"] == "error" and len(rows) < len(fit.rows)):
        return True
    if model is not None:
        return _is_far_away(rows, model.units)
    units = measure_units(rows, settings["covariance_type"])
    is_extreme = bool((np.abs(np.log10(units.scale)) > MAX_LOG10_SCALE - 1e-6).any())
    is_short = len(rows) < (settings["components"] or 1)
    return is_extreme or is_short or _is_far_away(rows, units) or _is_unusable_start(fit, units)


def _is_unusable_start(fit: Fit, units: Units) -> bool:
    """Tell whether the file of --init leads out of the doubles, or is of no mixture."""
    if fit.start is None:
        return False
    if _is_far_away(fit.means[:, fit.positions(features_in_use(fit, None))], units):
        return True
    if isinstance(fit.start, np.ndarray):
        return False
    variances, eigenvalues = _spreads(fit.start, units)
    least, most = VARIANCES
    is_symmetric = _is_symmetric(np.array(fit.start["covariances"]), fit.start["covariance_type"])
    return not is_symmetric or not bool(((variances > least) & (variances < most)).all() and eigenvalues > 0)


def _is_symmetric(covariances: Array, covariance_type: str) -> bool:
    """Tell whether matrices are symmetric; what is none is."""
    if covariance_type in ("diag", "spherical"):
        return True
    return bool((covariances == covariances.swapaxes(-1, -2)).all())


def _spreads(export: Mapping[str, Any], units: Units) -> tuple[Array, float]:
    """Return the variances of an export in standard units, and the least eigenvalue of a correlation."""
    covariances, scale = np.array(export["covariances"], dtype=np.longdouble), units.scale
    match export["covariance_type"]:
        case "spherical":
            return covariances / scale[0] ** 2, 1.0
        case "diag":
            return covariances / scale**2, 1.0
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    with np.errstate(all="ignore"):
        sds = np.sqrt(variances)
        correlations = (covariances / sds[..., :, None] / sds[..., None, :]).astype(float)
    if not np.isfinite(correlations).all():
        return variances / scale**2, 0.0
    return variances / scale**2, float(np.linalg.eigvalsh(correlations).min())


def _is_far_away(rows: Array, units: Units) -> bool:
    """Tell whether a value is missing, infinite or beyond what squares may come from."""
    distances = np.abs(rows.astype(np.longdouble) - units.center)
    is_near = (distances / units.scale < 0.99 * FURTHEST_SD) & (distances < 0.99 * FURTHEST)
    return not bool(is_near.all())


def _is_singular(fit: Fit, model: Checkpoint | None) -> bool:
    """Tell whether regularisation is too small beside the rounding of what it is added to.

    That is of the size of squares of distances: between rows, and to the means about which sums are taken.
    Nor is an export regularised.
    """
    settings, features = _settings(fit, model), features_in_use(fit, model)
    rows = fit.complete_rows(features)
    units = measure_units(rows, settings["covariance_type"]) if model is None else model.units
    places = [rows] if fit.start is None else [rows, fit.means[:, fit.positions(features)]]
    Z = [(x - units.center) / units.scale for x in places] + ([] if model is None else [model.state.means])
    if isinstance(fit.start, Mapping):
        variances, least = _spreads(fit.start, units)
        if least < ROUNDINGS * EPS or not (variances > 0).all():
            return True
    furthest = max((z**2).sum(axis=1).max() for z in Z)
    return bool(settings["reg_covar"] <= ROUNDINGS * EPS * furthest)
