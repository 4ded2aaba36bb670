"""Evaluate a mixture on the rows of a table, for every verb that applies a model."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmmcli.core.arrays import Array, Booleans, Integers
from gmmcli.core.kernel.posterior import PER_COMPONENT
from gmmcli.engine.evaluate import Evaluator
from gmmcli.fitting.settings import Settings
from gmmcli.jobs.reading import reading
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.tables.batch import Batch, of_model
from gmmcli.tables.blocks import check_complete
from gmmcli.tables.columns import match_features
from gmmcli.tables.operands import TableRequest


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A batch of rows, and the quantities that the mixture gives them.

    Parameters
    ----------
    batch : Batch
    found : dict of ndarray
        Quantities of `gmmcli.core.kernel.posterior`; undefined for incomplete rows.
    incomplete : ndarray of shape (n_rows,), bool
        Whether a row has a missing value.
    """

    batch: Batch
    found: dict[str, Array | Integers]
    incomplete: Booleans


def missing_of(asked: str | None, checkpoint: Checkpoint, subject: str = "the model") -> str:
    """Return how to treat rows with missing values: as requested, else as when the model was fitted."""
    return asked or Settings.from_json(checkpoint.settings, subject).missing


def evaluate_batches(
    evaluator: Evaluator, batches: Iterable[Batch], features: Sequence[str], missing: str
) -> Iterator[Evaluated]:
    """Yield the batches of a table, evaluated.

    Raises
    ------
    TableUnusable
        A value is missing, and `missing` is "error".
    """
    for batch in of_model(batches):
        if missing == "error":
            check_complete(batch, features)
        incomplete = np.asarray(np.isnan(batch.X).any(axis=0))
        yield Evaluated(batch, evaluator.evaluate(batch.X, batch.first_row), incomplete)


def evaluate_table(
    request: TableRequest, checkpoint: Checkpoint, wanted: Collection[str], missing: str | None = None
) -> dict[str, Array | Integers]:
    """Return quantities of all rows, each of shape (n_rows,) or (n_rows, n_components).

    Parameters
    ----------
    request : TableRequest
    checkpoint : Checkpoint
    wanted : collection of str
        Quantities of `gmmcli.core.kernel.posterior`.
    missing : str, optional
        How to treat rows with missing values; by default, as when the model was fitted.

    Returns
    -------
    dict of ndarray
        Log densities are in the table's units. Dropped rows have NaN, and the assignment −1.

    Raises
    ------
    GmmError
        The table cannot be used.
    """
    K = checkpoint.state.n_components
    parts: dict[str, list[Any]] = {
        name: [np.empty((K, 0) if name in PER_COMPONENT else 0, np.int64 if name == "assignment" else None)]
        for name in wanted
    }
    with (
        reading(request) as tables,
        Evaluator(checkpoint.state, checkpoint.units, wanted, request.n_threads) as evaluator,
    ):
        features = match_features(tables, checkpoint.features)
        batches = tables.iter_batches(features)
        for rows in evaluate_batches(evaluator, batches, features, missing_of(missing, checkpoint)):
            for name, values in rows.found.items():
                values[..., rows.incomplete] = -1 if name == "assignment" else np.nan
                parts[name].append(values)
    found = {name: np.concatenate(arrays, axis=-1).T for name, arrays in parts.items()}
    if "log_density" in found:
        found["log_density"] -= checkpoint.units.log_jacobian
    return found
