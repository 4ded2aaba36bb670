"""What a mixture says about the rows of a table, as every verb that applies it needs it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmmcli.core.kernel.posterior import PER_COMPONENT
from gmmcli.core.mixture import Array, Booleans, Integers
from gmmcli.engine.evaluate import Evaluator
from gmmcli.fitting.settings import Settings
from gmmcli.jobs.reading import reading
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.tables.blocks import check_complete
from gmmcli.tables.columns import match_features
from gmmcli.tables.operands import TableRequest
from gmmcli.tables.source import Batch


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Some rows and what the mixture says about them.

    Parameters
    ----------
    batch : Batch
    found : dict of ndarray
        Quantities of `gmmcli.core.kernel.posterior`; those of incomplete rows mean nothing.
    incomplete : ndarray of shape (n_rows,), bool
    """

    batch: Batch
    found: dict[str, Array | Integers]
    incomplete: Booleans


def missing_of(asked: str | None, checkpoint: Checkpoint, subject: str = "the model") -> str:
    """Return what becomes of rows with a missing value: as the model was fitted, if nothing is asked for."""
    return asked or Settings.from_json(checkpoint.settings, subject).missing


def evaluate_batches(
    evaluator: Evaluator, batches: Iterable[Batch], features: Sequence[str], missing: str
) -> Iterator[Evaluated]:
    """Evaluate rows as they arrive.

    Raises
    ------
    TableUnusable
        A value is missing, and `missing` is "error".
    """
    for batch in batches:
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
        As the model was fitted, if not given.

    Returns
    -------
    dict of ndarray
        Log densities in the table's units. Where rows with a missing value are dropped, those have NaN, and
        the assignment −1.

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
