"""JSON export, and its use as the start of another model. Numbers round-trip exactly."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariance_types import ALIASES
from gmmcli.core.mixture import Mixture
from gmmcli.core.precision import precision_factors
from gmmcli.errors import CovarianceNotPositive, TableUnusable
from gmmcli.export.portable import PortableModel

SCHEMA = "gmmcli.model/1"
# The halves of a covariance matrix may differ by so many products of standard deviations: programs round.
ASYMMETRY = 1e-8
_BEGINNING = b'{"schema": "gmmcli.model/'
_NUMBERS = {"weights", "means", "covariances"}


def encode(model: PortableModel) -> bytes:
    """Return one line of JSON."""
    mixture = model.mixture
    document = {
        "schema": SCHEMA,
        "covariance_type": mixture.covariance_type,
        "features": list(model.features),
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
        "global_step": model.global_step,
        "converged": model.converged,
        "log_likelihood": model.log_likelihood,
        "rows": model.rows,
        "total_weight": model.total_weight,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def decode(content: bytes, subject: str) -> tuple[Mixture, tuple[str, ...]] | None:
    """Return mixture and features of a JSON export; None if the content is not one.

    Raises
    ------
    TableUnusable
        The content has the schema or the keys of an export, but does not describe a mixture.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.lstrip().startswith(_BEGINNING):
            raise TableUnusable(subject, f"not JSON: {error}") from error
        return None
    if not isinstance(document, dict) or not ("schema" in document or document.keys() >= _NUMBERS):
        return None
    if document.get("schema") != SCHEMA:
        found = json.dumps(document.get("schema"), ensure_ascii=False)
        raise TableUnusable(subject, f'schema is {found}, must be "{SCHEMA}"')
    try:
        features = document["features"]
        weights, means, covariances = (
            _numbers(document[name], name) for name in ("weights", "means", "covariances")
        )
        _check_step(document.get("global_step", 0))
        kind = document["covariance_type"]
        if not isinstance(kind, str):
            raise ValueError(f"covariance_type is {json.dumps(kind)}, must be text")
        mixture = _symmetric(Mixture(weights, means, covariances, ALIASES.get(kind, kind)))
        _check_features(features, mixture.n_features)
        _check_positive(mixture, features)
    except KeyError as error:
        raise TableUnusable(subject, f'no "{error.args[0]}" in this model') from error
    except (TypeError, ValueError) as error:
        raise TableUnusable(subject, f"not a mixture: {error}") from error
    return mixture, tuple(features)


def _numbers(value: Any, name: str) -> Array:
    """Convert nested lists of numbers to an array; raise `ValueError` if they are not numbers."""
    try:
        array = np.array(value)
        is_number = not _holds_flag(value) and array.dtype.kind in "iuf"
    except ValueError:
        raise ValueError(f"{name} must be lists of equal length") from None
    if not is_number:
        raise ValueError(f"{name} must be numbers")
    return array.astype(np.float64)


def _holds_flag(value: Any) -> bool:
    """Tell whether nested lists hold true or false, which are numbers to numpy."""
    return any(map(_holds_flag, value)) if isinstance(value, list) else isinstance(value, bool)


def _check_step(step: Any) -> None:
    """Raise `ValueError` unless a number of steps is one."""
    if type(step) is not int or step < 0:
        raise ValueError(f"global_step is {json.dumps(step, ensure_ascii=False)}, must be an integer >= 0")


def _check_features(features: Any, n_features: int) -> None:
    """Raise `ValueError` unless the features are as many different names as the means have columns."""
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise ValueError("features must be a list of names")
    if len(features) != n_features:
        raise ValueError(f"{len(features)} features for means of {n_features} numbers")
    for name in features:
        if features.count(name) > 1:
            raise ValueError(f'feature "{name}" is named twice')


def _symmetric(mixture: Mixture) -> Mixture:
    """Average the halves of each covariance; raise `ValueError` if they differ by more than rounding."""
    covariances = mixture.covariances
    if not mixture.structure.has_correlations:
        return mixture
    mirrored = covariances.swapaxes(-1, -2)
    sds = np.sqrt(np.abs(np.diagonal(covariances, axis1=-2, axis2=-1)))
    is_equal = np.abs(covariances - mirrored) <= ASYMMETRY * sds[..., :, None] * sds[..., None, :]
    for *k, i, j in np.argwhere(~is_equal)[:1]:
        halves = f"{covariances[(*k, i, j)]:g} and {covariances[(*k, j, i)]:g}"
        raise ValueError(f"{_owner(*k)}: covariance not symmetric: {halves}")
    return replace(mixture, covariances=0.5 * covariances + 0.5 * mirrored)


def _check_positive(mixture: Mixture, features: list[str]) -> None:
    """Raise `ValueError` if a covariance is not positive definite; the units of columns do not matter."""
    variances = np.diagonal(mixture.matrices, axis1=-2, axis2=-1)
    for k, j in np.argwhere(~(variances > 0))[:1]:
        owner = _owner() if mixture.structure.is_shared else _owner(k)
        raise ValueError(f'{owner}: variance of "{features[j]}" is {variances[k, j]:g}, must be > 0')
    if not mixture.structure.has_correlations:
        return
    sds = np.sqrt(np.diagonal(mixture.covariances, axis1=-2, axis2=-1))
    correlations = mixture.covariances / sds[..., :, None] / sds[..., None, :]
    try:
        precision_factors(replace(mixture, covariances=correlations))
    except CovarianceNotPositive as error:
        owner = _owner() if error.component is None else _owner(error.component)
        names = ", ".join(f'"{features[j]}"' for j in error.features)
        raise ValueError(f"{owner}: covariance not positive definite in columns {names}") from error


def _owner(*component: int) -> str:
    """Return the name of a component; without one, that of all."""
    return f"component {component[0]}" if component else "all components"
