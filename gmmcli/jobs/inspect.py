"""inspect: what a model directory holds."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.criteria import Fitness
from gmmcli.core.mixture import Mixture
from gmmcli.errors import CheckpointCorrupt, NotFound
from gmmcli.fitting.candidate import Candidate
from gmmcli.remedies import quoted
from gmmcli.store.candidates import key_of, list_candidates
from gmmcli.store.checkpoint import Checkpoint, Provenance, content_digest
from gmmcli.store.model_dir import ModelDir

# The columns of the history that the end of a run fills in, and all of them.
_OF_AN_END = ("checkpoint", "global_step", "mean_log_likelihood", "ending")
_COLUMNS = ("time", "event", "run", *_OF_AN_END, "kept", "tables")


@dataclass(frozen=True, eq=False)
class InspectReport:
    """A checkpoint, and what follows from it.

    Parameters
    ----------
    model_dir : str
    generation : int
    checkpoint : Checkpoint
    provenance : Provenance
    content_digest : str
    fitness : Fitness
        Of the training rows, in the table's units.
    """

    model_dir: str
    generation: int
    checkpoint: Checkpoint
    provenance: Provenance
    content_digest: str
    fitness: Fitness


@dataclass(frozen=True)
class Kept:
    """One checkpoint file; the fields of a damaged one are None."""

    checkpoint: int
    bytes: int
    global_step: int | None = None
    created: str | None = None
    digest: str | None = None
    mean_log_likelihood: float | None = None
    tables: list[str] | None = None


def inspect(model_dir: Path, generation: int | None = None) -> InspectReport:
    """Read a checkpoint, by default the newest.

    Raises
    ------
    NotFound, CheckpointCorrupt, PermissionRefused, ReadWriteFailed
    """
    stored = ModelDir(model_dir).load(generation)
    checkpoint = stored.checkpoint
    return InspectReport(
        str(model_dir),
        stored.generation,
        checkpoint,
        stored.provenance,
        content_digest(checkpoint),
        checkpoint.fitness,
    )


def list_generations(model_dir: Path) -> list[int]:
    """Return the numbers of the checkpoints, without reading these.

    Raises
    ------
    NotFound, PermissionRefused, ReadWriteFailed
    """
    return [listing.generation for listing in ModelDir(model_dir).list()]


def list_kept(model_dir: Path) -> list[Kept]:
    """Read every checkpoint file, one at a time; return them oldest first.

    Raises
    ------
    NotFound, PermissionRefused, ReadWriteFailed
    """
    directory, kept = ModelDir(model_dir), []
    for listing in directory.list():
        number, size_bytes = listing.generation, listing.size_bytes
        try:
            stored = directory.load(number)
        except NotFound:  # retention has removed it
            continue
        except CheckpointCorrupt:
            kept.append(Kept(number, size_bytes))
            continue
        checkpoint, created = stored.checkpoint, stored.provenance.created
        tables = [operand.name for operand in checkpoint.operands]
        mean = checkpoint.fitness.mean_log_likelihood
        kept.append(Kept(number, size_bytes, checkpoint.global_step, created, stored.sha256, mean, tables))
    return kept


def history(model_dir: Path) -> list[dict[str, Any]]:
    """Return one row per run and per checkpoint, from the log and from the checkpoint files.

    Returns
    -------
    list of dict
        The keys are time, event ("run" or "checkpoint"), run, checkpoint, global_step, mean_log_likelihood,
        ending, kept and tables (names of the tables that were read). Unknown values are None. If the log
        lacks the end of a run, its ending is "unknown".
    """
    kept = {row.checkpoint: row for row in list_kept(model_dir)}
    rows: list[dict[str, Any]] = []
    runs: dict[str, dict[str, Any]] = {}
    for event in ModelDir(model_dir).iter_log():
        name, run = event["event"], event.get("run", "")
        if name == "start":
            runs[run] = _row(event, "run", ending="unknown")
            rows.append(runs[run])
        elif name == "end" and run in runs:
            runs[run].update({key: event.get(key) for key in _OF_AN_END})
        elif name == "checkpoint":
            file = kept.get(event["checkpoint"])
            tables = None if file is None else file.tables
            rows.append(_row(event, "checkpoint", kept=file is not None, tables=tables))
    logged = {row["checkpoint"] for row in rows if row["event"] == "checkpoint"}
    rows += [
        _row(vars(file) | {"time": file.created}, "checkpoint", kept=True)
        for generation, file in kept.items()
        if generation not in logged
    ]
    return sorted(rows, key=lambda row: row["time"] or "")


def selection(model_dir: Path) -> list[tuple[Candidate, bool]]:
    """Return the models that the model was chosen from, and whether each is the newest checkpoint.

    Raises
    ------
    NotFound
        There was no choice among several models.
    PermissionRefused, ReadWriteFailed
    """
    candidates = list_candidates(model_dir)
    if not candidates:
        hint = f"gmmcli fit -m {quoted(str(model_dir))} --fresh TABLE"
        raise NotFound(str(model_dir), "the model was not chosen among several", hint)
    newest = None
    with contextlib.suppress(NotFound):  # the first choice may be under way
        newest = key_of(ModelDir(model_dir).load())
    return [(Candidate.of(one.checkpoint), key_of(one) == newest) for one in candidates]


def _row(source: dict[str, Any], event: str, **more: Any) -> dict[str, Any]:
    """Return a row of the history."""
    return {key: source.get(key) for key in _COLUMNS} | {"event": event} | more


def standard_deviations(mixture: Mixture) -> Array:
    """Return the standard deviations of every component, shape (n_components, n_features)."""
    return np.sqrt(np.diagonal(mixture.matrices, axis1=1, axis2=2))


def variables(checkpoint: Checkpoint) -> dict[str, Array]:
    """Return every variable by name, in the table's units.

    Returns
    -------
    dict of ndarray
        The last three, alphas (K,), clusters (K, 1, d) and clusters_covs, are weights, means and covariances
        under the names of tf.contrib.factorization.GMM.
    """
    mixture, units = checkpoint.mixture, checkpoint.units
    return {
        "weights": mixture.weights,
        "means": mixture.means,
        "covariances": mixture.covariances,
        "global_step": np.array(checkpoint.global_step),
        "center": units.center,
        "scale": units.scale,
        "counts": checkpoint.statistics.counts,
        "log_likelihoods": checkpoint.log_likelihoods
        - checkpoint.statistics.total_weight * units.log_jacobian,
        "log_density_quantiles": checkpoint.quantiles - units.log_jacobian,
        "alphas": mixture.weights,
        "clusters": mixture.means[:, None, :],
        "clusters_covs": mixture.covariances,
    }


def variable(checkpoint: Checkpoint, name: str) -> Array:
    """Return one variable, in the table's units.

    Raises
    ------
    NotFound
        There is no variable of this name; the error lists the names.
    """
    known = variables(checkpoint)
    if name not in known:
        raise NotFound(f"--variable {name}", "no such variable", f"choose from {', '.join(known)}")
    return known[name]
