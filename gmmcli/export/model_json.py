"""JSON export, and reading it back as the start of another model. Numbers round-trip exactly."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from gmmcli.core.mixture import Array, Mixture
from gmmcli.errors import TableUnusable
from gmmcli.export.portable import PortableModel

SCHEMA = "gmmcli.model/1"
# Two halves of a covariance matrix may differ by so much of their standard deviations: other programs round.
ASYMMETRY = 1e-8


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
    """Return mixture and features of a JSON export; None where the content is something else.

    Raises
    ------
    TableUnusable
        It calls itself an export but does not describe a mixture.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not str(document.get("schema", "")).startswith("gmmcli.model/"):
        return None
    if document["schema"] != SCHEMA:
        raise TableUnusable(subject, f'schema "{document["schema"]}" is not "{SCHEMA}"')
    try:
        features = document["features"]
        weights, means, covariances = (
            _numbers(document[name], name) for name in ("weights", "means", "covariances")
        )
        mixture = _symmetric(Mixture(weights, means, covariances, document["covariance_type"]))
    except KeyError as error:
        raise TableUnusable(subject, f'no "{error.args[0]}" in this model') from error
    except (TypeError, ValueError, OverflowError) as error:
        raise TableUnusable(subject, f"not a mixture: {error}") from error
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise TableUnusable(subject, "its features are no list of names")
    if len(features) != mixture.n_features:
        raise TableUnusable(subject, f"{mixture.n_features} features expected, {len(features)} found")
    if len(set(features)) != len(features):
        raise TableUnusable(subject, "a feature is named twice")
    return mixture, tuple(features)


def _numbers(value: Any, name: str) -> Array:
    """Return nested lists of numbers as an array; ValueError where they are something else."""
    array = np.array(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} are no numbers")
    return array.astype(np.float64)


def _symmetric(mixture: Mixture) -> Mixture:
    """Return the mixture with halves of matrices made equal; ValueError where more than rounding differs."""
    if mixture.covariance_type not in ("full", "tied"):
        return mixture
    covariances = mixture.covariances
    mirrored = covariances.swapaxes(-1, -2)
    sds = np.sqrt(np.abs(np.diagonal(covariances, axis1=-2, axis2=-1)))
    if not (np.abs(covariances - mirrored) <= ASYMMETRY * sds[..., :, None] * sds[..., None, :]).all():
        raise ValueError("covariances are not symmetric")
    return replace(mixture, covariances=0.5 * covariances + 0.5 * mirrored)
