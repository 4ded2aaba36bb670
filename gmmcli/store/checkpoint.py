"""A checkpoint, its bytes, and the digest of its content.

A checkpoint holds everything that a run needs to continue as if it had not stopped. This module knows what
the numbers mean. It does not know directories.
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.criteria import Fitness
from gmmcli.core.em.memory import Memory
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import Units
from gmmcli.errors import CheckpointCorrupt, FormatUnknown, TableUnusable
from gmmcli.store import agreement, container, layout, run_state, schema, user_block, values
from gmmcli.store.layout import Damage, Items, Rule
from gmmcli.store.schema import stored

MAX_HISTORY = 1000
MAX_STOPPING = 3
N_QUANTILES = 1001
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class OperandRecord:
    """A table that the model was fitted to.

    Parameters
    ----------
    name : str
        As typed or expanded; `-` is stdin. Bytes that are not Unicode are stored as backslash escapes.
    size_bytes : int
        −1 if unknown (stdin).
    rows : int
        All rows of the table, dropped ones included.
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
    """The origin of a checkpoint. The writer fills it in on publishing.

    Parameters
    ----------
    generation : int
        The number in the file's name, from 1.
    parent_sha256 : str
        Of the whole file of the checkpoint that this one continues; "" for the first.
    lineage : str
        32 hexadecimal digits (UUID 4), shared by the checkpoints of one model.
    created : str
        ISO 8601, UTC, in seconds, with `Z`.
    versions : mapping of str to str
        Of gmmcli and its libraries.
    blas_kernel : str
    format_version : str
        Of the file that the checkpoint was read from. A new file always has the format of this version.
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
    """A mixture with its own E-step, and the other data that the next run needs.

    Parameters
    ----------
    state, mixture : Mixture
        The mixture in standard units, and the same mixture in the table's units.
    units : Units
    statistics : Statistics
        Of the E-step under `state`, in standard units.
    features : tuple of str
        Column names, in order.
    weights_column : str or None
    global_step : int
    converged : bool
    settings : mapping
        JSON values without NaN and infinities. Keys are sorted when they are read back.
    log_likelihoods : ndarray of shape (n,), n ≤ 1000, float64
        Of the last steps, in nats and standard units.
    stopping : ndarray of shape (n,), n ≤ 3, float64
        The last mean log-likelihoods of this table.
    quantiles : ndarray of shape (1001,), float64
        Of the log densities, in nats and standard units.
    memory : Memory
        Of the run.
    random_state : str
        JSON text; "" if there is none.
    operands : tuple of OperandRecord
    absorbed_digests : tuple of str
        Digests of the batches in the statistics.
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
    quantiles: Array = stored("/data/quantiles")
    memory: Memory = stored("/training/run", default_factory=Memory)
    random_state: str = stored("/training/random_state", default="")
    operands: tuple[OperandRecord, ...] = stored("/data", default=())
    absorbed_digests: tuple[str, ...] = stored("/data/absorbed_digests", default=())
    provenance: Provenance | None = stored("/", default=None)

    @property
    def fitness(self) -> Fitness:
        """The log-likelihood and criteria for the fitted table, in the table's units."""
        statistics = self.statistics
        return Fitness(
            statistics.log_likelihood - statistics.total_weight * self.units.log_jacobian,
            statistics.log_max_posterior,
            statistics.rows,
            statistics.total_weight,
            self.mixture.n_parameters,
        )


LEAVES = tuple(schema.leaves(Checkpoint))
RULES = {leaf.path: leaf.rule for leaf in LEAVES} | {"/format": Rule("text", 0, 0)}
_RUN = "/training/run/"


def rules_of_minor(minor: int) -> Mapping[str, Rule]:
    """Return the rules for items of format 1.`minor`. Format 1.0 stores the memory of a run as numbers."""
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
    """Return the checkpoint in the bytes of a whole file.

    The digest is checked before HDF5 reads a byte, all items before any dataset is read, and all values
    before anything computes with them. So a forged file with a right digest is refused.

    Parameters
    ----------
    data : bytes
    subject : str
        Name of the file in an error.

    Raises
    ------
    CheckpointCorrupt
        The bytes are damaged, are not those of a checkpoint, or contradict each other.
    FormatUnknown
        The bytes are whole, but of a newer format.
    """
    try:
        user_block.check(data)
        with np.errstate(all="ignore"):  # forged numbers may overflow before they are refused
            return _restore(container.read(data, rules_of_minor))
    except layout.UnknownFormat as unknown:
        raise FormatUnknown(subject, str(unknown), "pip install --upgrade gmmcli") from unknown
    except Damage as damage:
        raise CheckpointCorrupt(subject, str(damage)) from damage


def content_digest(checkpoint: Checkpoint) -> str:
    """Return the SHA-256, in hexadecimal, of the content that a run must reproduce.

    The items are, in byte order of their paths: covariances, means, weights and covariance_type of
    /mixture; features and (if there is one) weights_column of /schema; covariances, means and weights
    of /state; counts, log_likelihood, log_max_posterior, reference, rows, squares, sums and total_weight of
    /statistics; converged, global_step, the memory of the run as format 1.0 stores it, and stopping of
    /training; center and scale of /units.
    The digest covers, for each item, its UTF-8 path, NUL, numpy's type string, rank and shape as uint64, then
    its values in C order; all little-endian. Scalars have rank 0: int64 `<i8`, float64 `<f8`, flags as uint8
    `|u1`, texts as UTF-8 `|S<bytes>` (an empty text is one NUL). Feature names are as wide as the longest.

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
    """Return all items of a checkpoint."""
    try:
        return schema.collect(checkpoint, LEAVES)
    except Damage as damage:
        raise TableUnusable("column names", str(damage)) from damage


def _restore(items: Items) -> Checkpoint:
    """Return the checkpoint that items describe, after all checks."""
    covariance_type = values.to_text(items["/mixture/covariance_type"])
    if covariance_type not in FAMILIES:
        raise Damage(f"covariance_type is {covariance_type!r}")
    if values.to_text(items["/format_version"]) == "1.0":
        memory = run_state.from_arrays(
            {path.removeprefix(_RUN): items.pop(path) for path in list(items) if path.startswith(_RUN)}
        )
        items |= schema.collect(memory, schema.leaves(Memory, _RUN))  # as later formats store it
    given = {"covariance_type": covariance_type}
    checkpoint: Checkpoint = schema.restore(Checkpoint, items, LEAVES, given)
    _check_sizes(checkpoint)
    for text in agreement.find_out_of_bounds(checkpoint) or agreement.find_contradictions(checkpoint):
        raise Damage(text)
    return checkpoint


def _check_sizes(checkpoint: Checkpoint) -> None:
    """Check shapes, counts and digests."""
    state, statistics = checkpoint.state, checkpoint.statistics
    K, d = state.means.shape
    schema.check_shapes(checkpoint, LEAVES, {"K": K, "d": d, "covariances": state.covariances.shape})
    if len(checkpoint.features) != d:
        raise Damage(f"{len(checkpoint.features)} features, but means of {d}")
    if checkpoint.quantiles.size != N_QUANTILES:
        raise Damage(f"{checkpoint.quantiles.size} quantiles, not {N_QUANTILES}")
    if checkpoint.log_likelihoods.size > MAX_HISTORY or checkpoint.stopping.size > MAX_STOPPING:
        raise Damage(f"more than {MAX_HISTORY} log-likelihoods or {MAX_STOPPING} of the stopping state")
    if checkpoint.global_step < 0 or statistics.rows < 0:
        raise Damage(f"global_step {checkpoint.global_step} or rows {statistics.rows} is negative")
    for digest in (*checkpoint.absorbed_digests, *(operand.digest for operand in checkpoint.operands)):
        if not _SHA256.fullmatch(digest):
            raise Damage(f"{digest!r} is not a SHA-256")
