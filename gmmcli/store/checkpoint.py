"""A checkpoint, its bytes, and the digest of its content.

It holds everything that a run needs to continue as if it had never stopped. Knows what the numbers mean;
knows nothing of directories.
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gmmcli.core.criteria import Fitness
from gmmcli.core.em.memory import Memory
from gmmcli.core.mixture import COVARIANCE_TYPES, Array, Mixture
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import FURTHEST_SD, MAX_LOG10_SCALE, Units, find_extreme_variance
from gmmcli.errors import CheckpointCorrupt, FormatUnknown, TableUnusable
from gmmcli.store import container, layout, run_state, schema, user_block, values
from gmmcli.store.layout import Damage, Items, Rule
from gmmcli.store.schema import stored

MAX_HISTORY = 1000
MAX_STOPPING = 3
N_QUANTILES = 1001
# Beyond these sums over rows leave the doubles where they are added, squared or divided.
MOST_WEIGHT = 1e18
_MOST = {
    "counts": MOST_WEIGHT,
    "sums": 1e120,
    "squares": 1e220,
    "reference": FURTHEST_SD,
    "log_likelihood": 1e300,
    "log_max_posterior": 1e300,
}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class OperandRecord:
    """One table that the checkpoint has seen.

    Parameters
    ----------
    name : str
        As typed or expanded; `-` is stdin. What is not Unicode is stored with backslashes.
    size_bytes : int
        −1 where unknown (stdin).
    rows : int
        All its rows, before any are dropped.
    digest : str
        64 hexadecimal digits.
    """

    name: str = stored("names")
    size_bytes: int = stored("sizes")
    rows: int = stored("rows")
    digest: str = stored("digests")

    def __post_init__(self) -> None:
        name = self.name.encode("utf-8", "backslashreplace").decode()
        object.__setattr__(self, "name", name)


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where a checkpoint comes from; filled in by whoever publishes it.

    Parameters
    ----------
    generation : int
        From 1; the number in the file's name.
    parent_sha256 : str
        Of the whole file of the checkpoint continued from; empty for the first.
    lineage : str
        32 hexadecimal digits (UUID 4), shared by the checkpoints of one model.
    created : str
        ISO 8601, UTC, seconds, `Z`.
    versions : mapping of str to str
        Of gmmcli and the libraries that computed.
    blas_kernel : str
    format_version : str
        Of the file that it was read from; a new one is always of this version's format.
    """

    generation: int
    parent_sha256: str
    lineage: str
    created: str
    versions: Mapping[str, str]
    blas_kernel: str
    format_version: str = layout.FORMAT_VERSION


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A mixture with its own E-step, and what the next run needs to know.

    Parameters
    ----------
    state, mixture : Mixture
        In standard units, and in the table's units.
    units : Units
    statistics : Statistics
        Those of `state`, in standard units.
    features : tuple of str
        Column names, in order.
    weights_column : str or None
    global_step : int
    converged : bool
    settings : mapping
        What JSON can say; no NaN, no infinity. Read back with its keys in order of their names.
    log_likelihoods : ndarray of shape (n,), n ≤ 1000, float64
        The last ones, in nats and standard units.
    stopping : ndarray of shape (n,), n ≤ 3, float64
        The last mean log-likelihoods of this table.
    memory : Memory
        What the run knew beside its mixture.
    random_state : str
        JSON text, empty if there is none.
    operands : tuple of OperandRecord
    absorbed_digests : tuple of str
        Digests of the batches in the statistics.
    quantiles : ndarray of shape (1001,) or (0,), float64
        Of the log densities.
    provenance : Provenance, optional
    """

    state: Mixture = stored("/state", counts=True, omit="covariance_type")
    mixture: Mixture = stored("/mixture", counts=True)
    units: Units = stored("/units", counts=True)
    statistics: Statistics = stored("/statistics", counts=True, omit="covariance_type")
    features: tuple[str, ...] = stored("/schema/features", counts=True)
    weights_column: str | None = stored("/schema/weights_column", counts=True)
    global_step: int = stored("/training/global_step", counts=True)
    converged: bool = stored("/training/converged", counts=True)
    settings: Mapping[str, object] = stored("/training/settings")
    log_likelihoods: Array = stored("/training/log_likelihoods")
    stopping: Array = stored("/training/stopping", counts=True)
    memory: Memory = stored("/training/run", default_factory=Memory)
    random_state: str = stored("/training/random_state", default="")
    operands: tuple[OperandRecord, ...] = stored("/data", default=())
    absorbed_digests: tuple[str, ...] = stored("/data/absorbed_digests", default=())
    quantiles: Array = stored("/data/quantiles", default_factory=lambda: np.empty(0))
    provenance: Provenance | None = stored("/", default=None)

    @property
    def log_likelihood(self) -> float:
        """Of the table it was fitted to, in nats and the table's units."""
        return self.statistics.log_likelihood - self.statistics.total_weight * self.units.log_jacobian

    @property
    def mean_log_likelihood(self) -> float:
        """The same, per unit weight."""
        return self.log_likelihood / self.statistics.total_weight

    @property
    def fitness(self) -> Fitness:
        """How well the mixture explains its own table, in the table's units."""
        statistics = self.statistics
        return Fitness(
            self.log_likelihood,
            statistics.log_max_posterior,
            statistics.rows,
            statistics.total_weight,
            self.mixture.n_parameters,
        )


LEAVES = tuple(schema.leaves(Checkpoint))
RULES = {leaf.path: leaf.rule for leaf in LEAVES} | {"/format": Rule("text", 0, 0)}
_RUN = "/training/run/"


def rules_of_minor(minor: int) -> Mapping[str, Rule]:
    """Return the rules of the items of format 1.`minor`: 1.0 stored the memory of a run as bare numbers."""
    if minor:
        return RULES
    others = {path: rule for path, rule in RULES.items() if not path.startswith(_RUN)}
    return others | {_RUN + name: Rule("float", 1, 3, required=False) for name in run_state.NAMES}


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the whole file of a checkpoint. The same checkpoint gives the same bytes.

    Raises
    ------
    TableUnusable
        A column's name cannot be stored: it ends with a NUL byte or is not Unicode.
    ValueError
        The checkpoint has no provenance, or its settings are not JSON.
    MemoryError
    """
    if checkpoint.provenance is None:
        raise ValueError("a checkpoint needs its provenance to become a file")
    items = _collect(checkpoint)
    items["/format"] = values.from_text(layout.FORMAT)
    items["/format_version"] = values.from_text(layout.FORMAT_VERSION)
    items["/training/log_likelihoods"] = items["/training/log_likelihoods"][-MAX_HISTORY:]
    return user_block.seal(container.write(items))


def decode(data: bytes, subject: str) -> Checkpoint:
    """Return the checkpoint that a whole file holds.

    The digest is checked before HDF5 sees a byte, and every dataset before any is read.

    Parameters
    ----------
    data : bytes
    subject : str
        What to call the file in an error.

    Raises
    ------
    CheckpointCorrupt
        The bytes are not those that were written, or were never a checkpoint.
    FormatUnknown
        Whole, but of a newer format.
    """
    try:
        user_block.check(data)
        return _restore(container.read(data, rules_of_minor))
    except layout.UnknownFormat as unknown:
        raise FormatUnknown(subject, str(unknown), "pip install --upgrade gmmcli") from unknown
    except Damage as damage:
        raise CheckpointCorrupt(subject, str(damage)) from damage


def content_digest(checkpoint: Checkpoint) -> str:
    """Return the SHA-256, in hexadecimal, of what a run must reproduce.

    The items are, in byte order of their paths: covariances, means, weights and covariance_type of
    /mixture; features and (where there is one) weights_column of /schema; covariances, means and weights
    of /state; counts, log_likelihood, log_max_posterior, reference, rows, squares, sums and total_weight of
    /statistics; converged, global_step, the memory of the run as format 1.0 stores it, and stopping of
    /training; center and scale of /units.
    Each enters as its UTF-8 path, NUL, numpy's type string, rank and shape as uint64, then its values in C
    order; all little-endian. Scalars have rank 0: int64 `<i8`, float64 `<f8`, flags as uint8 `|u1`, texts
    as UTF-8 `|S<bytes>` (an empty one is one NUL). Names of features are as wide as the longest.

    Raises
    ------
    TableUnusable
        As `encode`.
    """
    items = {path: item for path, item in _collect(checkpoint).items() if RULES[path].counts}
    items |= {_RUN + name: array for name, array in run_state.to_arrays(checkpoint.memory).items()}
    digest = hashlib.sha256()
    for path, item in sorted(items.items()):
        digest.update(path.encode() + b"\0" + item.dtype.str.encode())
        digest.update(struct.pack(f"<{1 + item.ndim}Q", item.ndim, *item.shape))
        digest.update(np.ascontiguousarray(item).tobytes())
    return digest.hexdigest()


def _collect(checkpoint: Checkpoint) -> Items:
    """Return everything as items; texts that are for people only may lose what is not Unicode."""
    try:
        return schema.collect(checkpoint, LEAVES)
    except Damage as damage:
        raise TableUnusable("column names", str(damage)) from damage


def _restore(items: Items) -> Checkpoint:
    """Return the checkpoint that admitted items describe."""
    covariance_type = values.to_text(items["/mixture/covariance_type"])
    if covariance_type not in COVARIANCE_TYPES:
        raise Damage(f"covariance_type is {covariance_type!r}")
    given: dict[str, object] = {"covariance_type": covariance_type}
    if values.to_text(items["/format_version"]) == "1.0":
        given["memory"] = run_state.from_arrays(
            {path.removeprefix(_RUN): items.pop(path) for path in list(items) if path.startswith(_RUN)}
        )
    checkpoint: Checkpoint = schema.restore(Checkpoint, items, LEAVES, given)
    _check_agreement(checkpoint)
    return checkpoint


def _check_agreement(checkpoint: Checkpoint) -> None:
    """Check that the parts fit each other."""
    state, statistics = checkpoint.state, checkpoint.statistics
    K, d = state.means.shape
    schema.check_shapes(checkpoint, LEAVES, {"K": K, "d": d, "covariances": state.covariances.shape})
    if len(checkpoint.features) != d:
        raise Damage(f"{len(checkpoint.features)} features, but means of {d}")
    if checkpoint.quantiles.size not in (0, N_QUANTILES):
        raise Damage(f"{checkpoint.quantiles.size} quantiles, not {N_QUANTILES} or none")
    if checkpoint.log_likelihoods.size > MAX_HISTORY or checkpoint.stopping.size > MAX_STOPPING:
        raise Damage(f"more than {MAX_HISTORY} log-likelihoods or {MAX_STOPPING} of the stopping state")
    if checkpoint.global_step < 0 or statistics.rows < 0:
        raise Damage(f"global_step {checkpoint.global_step} or rows {statistics.rows} is negative")
    for digest in (*checkpoint.absorbed_digests, *(operand.digest for operand in checkpoint.operands)):
        if not _SHA256.fullmatch(digest):
            raise Damage(f"{digest!r} is not a SHA-256")
    _check_numbers(checkpoint)


def _check_numbers(checkpoint: Checkpoint) -> None:
    """Check that no number is so large or small that computing with it leaves the doubles."""
    state, statistics, scale = checkpoint.state, checkpoint.statistics, checkpoint.units.scale
    if not ((scale >= 10.0**-MAX_LOG10_SCALE) & (scale <= 10.0**MAX_LOG10_SCALE)).all():
        raise Damage(f"the units have a scale that is not within 1e±{MAX_LOG10_SCALE:g}")
    if (np.abs(state.means) > FURTHEST_SD).any():
        raise Damage(f"/state has a mean beyond {FURTHEST_SD:g}")
    if find_extreme_variance(state.covariances, state.covariance_type) is not None:
        raise Damage("/state has a variance out of bounds")
    if not 0 < statistics.total_weight <= MOST_WEIGHT:
        raise Damage(f"total_weight is {statistics.total_weight}")
    for name, most in _MOST.items():
        if (np.abs(getattr(statistics, name)) > most).any():
            raise Damage(f"{name} of the statistics is beyond {most:g}")
