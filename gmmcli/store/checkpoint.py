"""A checkpoint, its bytes, and the digest of what it says.

Everything that a run needs to go on as if it had never stopped. Knows the layout and what the numbers mean;
knows nothing of directories.
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gmmcli.core.mixture import COVARIANCE_TYPES, Array, CovarianceType, Mixture
from gmmcli.core.statistics import Statistics
from gmmcli.core.units import Units
from gmmcli.errors import CheckpointCorrupt, FormatUnknown, TableUnusable
from gmmcli.store import container, layout, user_block, values
from gmmcli.store.layout import Damage, Items

MAX_HISTORY = 1000
MAX_STOPPING = 3
N_QUANTILES = 1001
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

    name: str
    size_bytes: int
    rows: int
    digest: str


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
    run : mapping of str to ndarray of rank 1 to 3, float64
        Run state of other features; names of [a-z0-9_], at most 64.
    random_state : str
        JSON text, empty if there is none.
    operands : tuple of OperandRecord
    absorbed_digests : tuple of str
        Digests of the batches in the statistics.
    quantiles : ndarray of shape (1001,) or (0,), float64
        Of the log densities.
    provenance : Provenance, optional
    """

    state: Mixture
    mixture: Mixture
    units: Units
    statistics: Statistics
    features: tuple[str, ...]
    weights_column: str | None
    global_step: int
    converged: bool
    settings: Mapping[str, object]
    log_likelihoods: Array
    stopping: Array
    run: Mapping[str, Array] = field(default_factory=dict)
    random_state: str = ""
    operands: tuple[OperandRecord, ...] = ()
    absorbed_digests: tuple[str, ...] = ()
    quantiles: Array = field(default_factory=lambda: np.empty(0))
    provenance: Provenance | None = None

    @property
    def log_likelihood(self) -> float:
        """Of the table it was fitted to, in nats and the table's units."""
        return self.statistics.log_likelihood - self.statistics.total_weight * self.units.log_jacobian

    @property
    def mean_log_likelihood(self) -> float:
        """The same, per unit weight."""
        return self.log_likelihood / self.statistics.total_weight


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
    items = {**_collect(checkpoint), **_provenance_items(checkpoint.provenance)}
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
        return _restore(container.read(data))
    except layout.UnknownFormat as unknown:
        raise FormatUnknown(subject, str(unknown), "pip install --upgrade gmmcli") from unknown
    except Damage as damage:
        raise CheckpointCorrupt(subject, str(damage)) from damage


def content_digest(checkpoint: Checkpoint) -> str:
    """Return the SHA-256, in hexadecimal, of what a run must reproduce.

    The items are, in byte order of their paths: covariances, means, weights and covariance_type of
    /mixture; features and (where there is one) weights_column of /schema; covariances, means and weights
    of /state; counts, log_likelihood, log_max_posterior, reference, rows, squares, sums and total_weight of
    /statistics; converged, global_step, everything in run, and stopping of /training; center and scale of
    /units.
    Each enters as its UTF-8 path, NUL, numpy's type string, rank and shape as uint64, then its values in C
    order; all little-endian. Scalars have rank 0: int64 `<i8`, float64 `<f8`, flags as uint8 `|u1`, texts
    as UTF-8 `|S<bytes>` (an empty one is one NUL). Names of features are as wide as the longest.

    Raises
    ------
    TableUnusable
        As `encode`.
    """
    digest = hashlib.sha256()
    for path, item in sorted(_collect(checkpoint).items()):
        rule = layout.find_rule(path)
        if rule is not None and rule.counts:
            digest.update(path.encode() + b"\0" + item.dtype.str.encode())
            digest.update(struct.pack(f"<{1 + item.ndim}Q", item.ndim, *item.shape))
            digest.update(np.ascontiguousarray(item).tobytes())
    return digest.hexdigest()


def _collect(checkpoint: Checkpoint) -> Items:
    """Return everything but the provenance as items."""
    statistics, operands = checkpoint.statistics, checkpoint.operands
    items = {
        "/mixture/covariance_type": values.from_text(checkpoint.mixture.covariance_type),
        "/units/center": values.from_floats(checkpoint.units.center),
        "/units/scale": values.from_floats(checkpoint.units.scale),
        **{f"/statistics/{name}": values.from_floats(getattr(statistics, name)) for name in _STATISTICS},
        "/statistics/log_likelihood": values.from_floats(statistics.log_likelihood),
        "/statistics/rows": values.from_integers(statistics.rows),
        "/statistics/log_max_posterior": values.from_floats(statistics.log_max_posterior),
        "/statistics/total_weight": values.from_floats(statistics.total_weight),
        **_schema_items(checkpoint),
        "/training/global_step": values.from_integers(checkpoint.global_step),
        "/training/converged": np.array(checkpoint.converged, layout.DTYPES["flag"]),
        "/training/settings": values.from_json(checkpoint.settings),
        "/training/log_likelihoods": values.from_floats(checkpoint.log_likelihoods[-MAX_HISTORY:]),
        "/training/stopping": values.from_floats(checkpoint.stopping),
        "/training/random_state": values.from_text(checkpoint.random_state),
        **{f"/training/run/{name}": values.from_floats(array) for name, array in checkpoint.run.items()},
        "/data/names": values.from_texts(tuple(_printable(operand.name) for operand in operands)),
        "/data/sizes": values.from_integers([operand.size_bytes for operand in operands]),
        "/data/rows": values.from_integers([operand.rows for operand in operands]),
        "/data/digests": values.from_texts(tuple(operand.digest for operand in operands)),
        "/data/absorbed_digests": values.from_texts(checkpoint.absorbed_digests),
        "/data/quantiles": values.from_floats(checkpoint.quantiles),
    }
    for group, mixture in (("/state", checkpoint.state), ("/mixture", checkpoint.mixture)):
        items.update((f"{group}/{name}", values.from_floats(getattr(mixture, name))) for name in _MIXTURE)
    return items


_MIXTURE = ("weights", "means", "covariances")
_STATISTICS = ("counts", "sums", "squares", "reference")


def _schema_items(checkpoint: Checkpoint) -> Items:
    """Return the names of the columns as items."""
    try:
        items = {"/schema/features": values.from_texts(checkpoint.features)}
        if checkpoint.weights_column is not None:
            items["/schema/weights_column"] = values.from_text(checkpoint.weights_column)
    except Damage as damage:
        raise TableUnusable("column names", str(damage)) from damage
    return items


def _provenance_items(provenance: Provenance) -> Items:
    """Return the attributes of the root."""
    texts = {
        "/format": layout.FORMAT,
        "/format_version": layout.FORMAT_VERSION,
        "/parent_sha256": provenance.parent_sha256,
        "/lineage": provenance.lineage,
        "/created": provenance.created,
        "/blas_kernel": provenance.blas_kernel,
    }
    items = {path: values.from_text(text) for path, text in texts.items()}
    return {
        **items,
        "/generation": values.from_integers(provenance.generation),
        "/versions": values.from_json(provenance.versions),
    }


def _restore(items: Items) -> Checkpoint:
    """Return the checkpoint that admitted items describe."""
    covariance_type = values.to_text(items["/mixture/covariance_type"])
    if covariance_type not in COVARIANCE_TYPES:
        raise Damage(f"covariance_type is {covariance_type!r}")
    weights_column = items.get("/schema/weights_column")
    prefix = "/training/run/"
    checkpoint = Checkpoint(
        state=_restore_mixture(items, "/state", covariance_type),
        mixture=_restore_mixture(items, "/mixture", covariance_type),
        units=Units(items["/units/center"], items["/units/scale"]),
        statistics=_restore_statistics(items, covariance_type),
        features=values.to_texts(items["/schema/features"]),
        weights_column=None if weights_column is None else values.to_text(weights_column),
        global_step=int(items["/training/global_step"]),
        converged=bool(items["/training/converged"]),
        settings=values.to_json(items["/training/settings"]),
        log_likelihoods=items["/training/log_likelihoods"],
        stopping=items["/training/stopping"],
        run={path.removeprefix(prefix): items[path] for path in sorted(items) if path.startswith(prefix)},
        random_state=values.to_text(items["/training/random_state"]),
        operands=_restore_operands(items),
        absorbed_digests=values.to_texts(items["/data/absorbed_digests"]),
        quantiles=items["/data/quantiles"],
        provenance=_restore_provenance(items),
    )
    _check_agreement(checkpoint)
    return checkpoint


def _restore_mixture(items: Items, group: str, covariance_type: CovarianceType) -> Mixture:
    """Return one of the two mixtures."""
    try:
        return Mixture(
            weights=items[f"{group}/weights"],
            means=items[f"{group}/means"],
            covariances=items[f"{group}/covariances"],
            covariance_type=covariance_type,
        )
    except ValueError as error:
        raise Damage(f"{group}: {error}") from error


def _restore_statistics(items: Items, covariance_type: CovarianceType) -> Statistics:
    """Return the statistics."""
    return Statistics(
        counts=items["/statistics/counts"],
        sums=items["/statistics/sums"],
        squares=items["/statistics/squares"],
        reference=items["/statistics/reference"],
        log_likelihood=float(items["/statistics/log_likelihood"]),
        log_max_posterior=float(items["/statistics/log_max_posterior"]),
        rows=int(items["/statistics/rows"]),
        total_weight=float(items["/statistics/total_weight"]),
        covariance_type=covariance_type,
    )


def _restore_operands(items: Items) -> tuple[OperandRecord, ...]:
    """Return the records of the operands."""
    names, digests = values.to_texts(items["/data/names"]), values.to_texts(items["/data/digests"])
    sizes, rows = items["/data/sizes"].tolist(), items["/data/rows"].tolist()
    if not len(names) == len(digests) == len(sizes) == len(rows):
        raise Damage(
            f"/data has {len(names)} names, {len(sizes)} sizes, {len(rows)} rows, {len(digests)} digests"
        )
    return tuple(map(OperandRecord, names, sizes, rows, digests))


def _restore_provenance(items: Items) -> Provenance:
    """Return the attributes of the root."""
    versions = values.to_json(items["/versions"])
    return Provenance(
        generation=int(items["/generation"]),
        parent_sha256=values.to_text(items["/parent_sha256"]),
        lineage=values.to_text(items["/lineage"]),
        created=values.to_text(items["/created"]),
        versions={name: str(version) for name, version in versions.items()},
        blas_kernel=values.to_text(items["/blas_kernel"]),
        format_version=values.to_text(items["/format_version"]),
    )


def _check_agreement(checkpoint: Checkpoint) -> None:
    """Check that the parts have the shapes that each other's shapes ask for."""
    state, statistics, units = checkpoint.state, checkpoint.statistics, checkpoint.units
    K, d = state.means.shape
    expected = {
        "mixture means": (checkpoint.mixture.means.shape, (K, d)),
        "center": (units.center.shape, (d,)),
        "scale": (units.scale.shape, (d,)),
        "counts": (statistics.counts.shape, (K,)),
        "sums": (statistics.sums.shape, (K, d)),
        "reference": (statistics.reference.shape, (K, d)),
        "squares": (statistics.squares.shape, state.covariances.shape),
        "features": ((len(checkpoint.features),), (d,)),
    }
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise Damage(f"{name} has shape {found}, not {wanted}")
    if checkpoint.quantiles.size not in (0, N_QUANTILES):
        raise Damage(f"{checkpoint.quantiles.size} quantiles, not {N_QUANTILES} or none")
    if checkpoint.log_likelihoods.size > MAX_HISTORY or checkpoint.stopping.size > MAX_STOPPING:
        raise Damage(f"more than {MAX_HISTORY} log-likelihoods or {MAX_STOPPING} of the stopping state")
    if not statistics.total_weight > 0:
        raise Damage(f"total_weight is {statistics.total_weight}")
    if not np.isfinite(units.center).all() or not ((units.scale > 0) & np.isfinite(units.scale)).all():
        raise Damage("the units are not finite with positive scales")
    for name in (*_STATISTICS, "log_likelihood", "log_max_posterior", "total_weight"):
        if not np.isfinite(getattr(statistics, name)).all():
            raise Damage(f"{name} of the statistics must be finite")
    if checkpoint.global_step < 0 or statistics.rows < 0:
        raise Damage(f"global_step {checkpoint.global_step} or rows {statistics.rows} is negative")
    for digest in (*checkpoint.absorbed_digests, *(operand.digest for operand in checkpoint.operands)):
        if not _SHA256.fullmatch(digest):
            raise Damage(f"{digest!r} is not a SHA-256")


def _printable(text: str) -> str:
    """Return a path with the bytes that are not Unicode as backslashes."""
    return text.encode("utf-8", "backslashreplace").decode()
