"""inspect: what a model directory holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gmmcli.core.criteria import Fitness
from gmmcli.core.family import covariances_of
from gmmcli.core.mixture import Array, Mixture
from gmmcli.errors import CheckpointCorrupt, NotFound
from gmmcli.store.checkpoint import Checkpoint, Provenance, content_digest
from gmmcli.store.model_dir import Listing, ModelDir, Stored

# What the end of a run adds to its row of the history.
_OF_AN_END: tuple[str, ...] = ("checkpoint", "global_step", "mean_log_likelihood", "ending")


@dataclass(frozen=True, eq=False)
class InspectReport:
    """A checkpoint and what follows from it.

    Parameters
    ----------
    model_dir : str
    stored : Stored
    content_digest : str
    fitness : Fitness
        Of the table it was fitted to, in the table's units.
    """

    model_dir: str
    stored: Stored
    content_digest: str
    fitness: Fitness

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint itself."""
        return self.stored.checkpoint

    @property
    def is_approximate(self) -> bool:
        """Whether its statistics, and with them the fitness, were gathered under several mixtures."""
        return self.checkpoint.memory.approximate

    @property
    def provenance(self) -> Provenance:
        """Where it comes from."""
        return provenance_of(self.stored)


def provenance_of(stored: Stored) -> Provenance:
    """Return where a checkpoint comes from: every one that was read from a file says so."""
    if stored.checkpoint.provenance is None:
        raise RuntimeError("a stored checkpoint has a provenance")
    return stored.checkpoint.provenance


@dataclass(frozen=True)
class Kept:
    """One checkpoint file; nothing is known of what a damaged one holds."""

    checkpoint: int
    bytes: int
    global_step: int | None = None
    created: str | None = None
    digest: str | None = None
    mean_log_likelihood: float | None = None
    tables: list[str] | None = None


def inspect(model_dir: Path, generation: int | None = None) -> InspectReport:
    """Return what the newest checkpoint, or that one, holds.

    Raises
    ------
    NotFound, CheckpointCorrupt, PermissionRefused, ReadWriteFailed
    """
    stored = ModelDir(model_dir).load(generation)
    checkpoint = stored.checkpoint
    return InspectReport(str(model_dir), stored, content_digest(checkpoint), checkpoint.fitness)


def list_generations(model_dir: Path) -> list[int]:
    """Return the numbers of the checkpoints that are there, unread.

    Raises
    ------
    NotFound, PermissionRefused, ReadWriteFailed
    """
    return [listing.generation for listing in ModelDir(model_dir).list()]


def list_kept(model_dir: Path) -> list[Kept]:
    """Return every checkpoint file, oldest first; each is read whole, one at a time.

    Raises
    ------
    NotFound, PermissionRefused, ReadWriteFailed
    """
    directory = ModelDir(model_dir)
    kept = (_kept(directory, listing) for listing in directory.list())
    return [file for file in kept if file is not None]


def _kept(directory: ModelDir, listing: Listing) -> Kept | None:
    """Return what a checkpoint file holds; None where retention has removed it in the meantime."""
    number, size_bytes = listing.generation, listing.size_bytes
    try:
        stored = directory.load(number)
    except NotFound:
        return None
    except CheckpointCorrupt:
        return Kept(number, size_bytes)
    checkpoint, created = stored.checkpoint, provenance_of(stored).created
    tables = [operand.name for operand in checkpoint.operands]
    mean = checkpoint.fitness.mean_log_likelihood
    return Kept(number, size_bytes, checkpoint.global_step, created, stored.sha256, mean, tables)


def history(model_dir: Path) -> list[dict[str, Any]]:
    """Return one row per run and per checkpoint: the log, united with the files kept.

    Returns
    -------
    list of dict
        Keys time, event ("run" or "checkpoint"), run, checkpoint, global_step, mean_log_likelihood, ending,
        kept, tables (names of the tables that were read); None where unknown. A run without an end in the log
        has the ending "unknown".
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


def _row(source: dict[str, Any], event: str, **more: Any) -> dict[str, Any]:
    """Return a row of the history."""
    keys = (
        *("time", "event", "run", "checkpoint", "global_step", "mean_log_likelihood", "ending", "kept"),
        "tables",
    )
    return {key: source.get(key) for key in keys} | {"event": event} | more


def standard_deviations(mixture: Mixture) -> Array:
    """Return the sd of every component in every column, shape (n_components, n_features)."""
    return np.sqrt(np.diagonal(covariances_of(mixture), axis1=1, axis2=2))


def variables(checkpoint: Checkpoint) -> dict[str, Array]:
    """Return every variable by name, in the table's units.

    Returns
    -------
    dict of ndarray
        The last three, alphas (K,), clusters (K, 1, d) and clusters_covs, are the names that
        tf.contrib.factorization.GMM gave to weights, means and covariances.
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
    """Return one variable.

    Raises
    ------
    NotFound
        Naming those there are.
    """
    known = variables(checkpoint)
    if name not in known:
        raise NotFound(f"--variable {name}", "no such variable", f"choose from {', '.join(known)}")
    return known[name]
