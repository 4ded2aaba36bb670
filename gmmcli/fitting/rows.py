"""The rows of a fit: read once, then converted to standard units in place."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gmmcli.core import covariance_types
from gmmcli.core.arrays import Array, Booleans, Integers
from gmmcli.core.covariances.structure import NARROWEST_SD
from gmmcli.core.families import FAMILIES, CovarianceType
from gmmcli.core.narrowest import narrowest_sds
from gmmcli.core.rows import Rows
from gmmcli.core.start.partitions import START_ROWS, Partitions
from gmmcli.core.units import (
    FURTHEST,
    FURTHEST_SD,
    Spread,
    Units,
    find_extreme_column,
    find_far_column,
    measure,
)
from gmmcli.engine.in_memory import InMemoryTable
from gmmcli.engine.room import check_room
from gmmcli.errors import TableUnusable
from gmmcli.fitting.settings import Settings
from gmmcli.notices import Notice, Notify, Progress
from gmmcli.remedies import Exclude, Set, in_shell
from gmmcli.store.checkpoint import Checkpoint, OperandRecord
from gmmcli.tables import wording
from gmmcli.tables.blocks import load, rows_dropped
from gmmcli.tables.identifiers import find_counting, find_named
from gmmcli.tables.source import Tables

# The memory that is left is checked each time this many bytes were read.
_CHECKED_BYTES = 1 << 24
# With one variance for all columns, their sds should differ by no more than this factor.
_ALIKE = 10.0
# Rows, evenly spaced, that show how a column is rounded.
_SAMPLE_ROWS = 20_000


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The rows of a fit, in standard units.

    Parameters
    ----------
    features : tuple of str
        The columns in use: the requested ones, less those without a value.
    units : Units
    table : InMemoryTable
    operands : tuple of OperandRecord
        What a checkpoint stores about the tables.
    start_rows : int
        Starts are found on so many rows, or on twice as many if that is all.
    """

    features: tuple[str, ...]
    units: Units
    table: InMemoryTable
    operands: tuple[OperandRecord, ...]
    start_rows: int = START_ROWS

    @cached_property
    def partitions(self) -> Partitions:
        """What starts are made of: clusters of a sample of the rows."""
        return Partitions(self.table.sample(self.start_rows), self.units.scale)

    def in_units_of(self, covariance_type: CovarianceType) -> "TrainingRows":
        """Return the rows in the units that a family of covariances needs; these rows if they have them.

        The units of these rows have a scale for each column.
        """
        if not FAMILIES[covariance_type].structure.has_common_scale or len(set(self.units.scale)) == 1:
            return self
        return self._in_common_scale

    @cached_property
    def _in_common_scale(self) -> "TrainingRows":
        """The rows in units with one scale for all columns; a copy."""
        check_room("the tables", self.table.n_rows, len(self.features))
        blocks = list(self.table.blocks(self.table.n_rows))
        spread = measure(blocks)
        in_table_units = replace(spread, span=spread.span * self.units.scale)
        common = in_table_units.units(common=True).scale
        copies = [[replace(block, X=block.X * (self.units.scale / common)[:, None])] for block in blocks]
        return replace(self, units=replace(self.units, scale=common), table=InMemoryTable(copies))

    def parts(self, n_parts: int) -> Iterator[tuple["TrainingRows", "TrainingRows"]]:
        """Yield, for each of some random parts, the rows without it and the rows in it.

        A row's number decides its part, whatever the values of the row.
        """
        blocks = list(self.table.blocks(self.table.n_rows))
        numbers = part_of(np.arange(self.table.n_rows), n_parts)
        for part in range(n_parts):
            is_in = numbers == part
            yield self._of(blocks, ~is_in), self._of(blocks, is_in)

    def _of(self, blocks: Sequence[Rows], is_used: Booleans) -> "TrainingRows":
        """Return a copy of some rows."""
        copies = []
        for block in blocks:
            here = is_used[block.first_row : block.first_row + block.n_rows]
            weights = None if block.weights is None else block.weights[here]
            copies.append([Rows(np.ascontiguousarray(block.X[:, here]), weights)])
        return replace(self, table=InMemoryTable(copies))

    def are_those_of(self, checkpoint: Checkpoint) -> bool:
        """Tell whether the checkpoint was fitted to these rows, so that likelihoods may be compared."""
        is_same = [o.digest for o in checkpoint.operands] == [o.digest for o in self.operands]
        return is_same and not checkpoint.memory.approximate


def read_rows(
    tables: Tables,
    features: tuple[str, ...],
    settings: Settings,
    units: Units | None,
    check: Callable[[], None],
    tell: Notify,
    progress: Progress,
    *,
    skip_empty_columns: bool = False,
) -> TrainingRows:
    """Read tables into memory and convert them to standard units.

    Parameters
    ----------
    tables : Tables
    features : tuple of str
    settings : Settings
    units : Units or None
        The units of the model; None for a new model, whose units these tables determine.
    check : callable
        Called after each batch; may raise to stop reading.
    tell, progress : callable
    skip_empty_columns : bool
        Leave out columns without a value, instead of treating each of their cells as missing.

    Raises
    ------
    OutOfMemory
        The rows will not fit.
    TableUnusable
        There are no rows or fewer rows than components, a scale is beyond 1e±150, a value is too far from
        the centre, or `load` refuses the tables.
    """
    n_rows_checked = 0

    def follow(n_rows: int) -> None:
        nonlocal n_rows_checked
        check()
        if 8 * len(features) * abs(n_rows - n_rows_checked) >= _CHECKED_BYTES:
            check_room(tables.name, n_rows, len(features), n_rows_held=n_rows)
            n_rows_checked = n_rows
        progress(f"{n_rows:,} rows read")

    check_room(tables.name, tables.n_rows or 0, len(features))
    loaded = load(
        tables, features, missing=settings.missing, skip_empty_columns=skip_empty_columns, follow=follow
    )
    if loaded.rows_dropped:
        tell(rows_dropped(loaded.rows_dropped))
    if loaded.empty_columns:
        text = f"columns without a value, skipped: {wording.listed(loaded.empty_columns)}"
        tell(Notice("columns_empty", text, "information", {"columns": loaded.empty_columns}))
    pieces = [rows for operand in loaded.operands for rows in operand.pieces]
    name = tables.name
    if not pieces:
        raise TableUnusable(name, "no rows to learn from")
    if units is None:
        _tell_of_identifiers([rows.X for rows in pieces], loaded.features, tell)
        units = _measure(pieces, loaded.features, settings, name, tell)
    for rows in pieces:
        units.standardise(rows.X)
        far = find_far_column(np.abs(rows.X).max(axis=1), units)
        if far is not None:
            column = wording.column(loaded.features[far])
            reach = f"{FURTHEST_SD:g} standard deviations, or {FURTHEST:g}, from the model's centre"
            raise TableUnusable(name, f"{column}: a value beyond {reach}")
    operands = tuple(OperandRecord(o.name, o.size_bytes, o.n_rows, o.digest) for o in loaded.operands)
    table = InMemoryTable([operand.pieces for operand in loaded.operands])
    return TrainingRows(loaded.features, units, table, operands)


def part_of(numbers: Integers, n_parts: int) -> Integers:
    """Return a part for each number, by the finaliser of the hash function of Steele et al. (2014)."""
    mixed = numbers.astype(np.uint64) + np.uint64(1)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) % np.uint64(n_parts), dtype=np.int64)


def _tell_of_identifiers(blocks: Sequence[Array], features: tuple[str, ...], tell: Notify) -> None:
    """Report columns that seem to be row numbers or identifiers."""
    counting = find_counting(blocks)
    named = [j for j in find_named(blocks, features) if j not in counting]
    for columns, fact in (
        (counting, "columns that count up by one from row to row"),
        (named, "columns named like identifiers, with a different integer in each row"),
    ):
        if columns:
            names = [features[j] for j in columns]
            hint = f"to leave them out: --fresh {in_shell(Exclude(tuple(names)))}"
            text = f"{fact}: {wording.listed(names)}; {hint}"
            tell(Notice("columns_identifiers", text, "information", {"columns": names}))


def _narrowest(pieces: Sequence[Rows], spread: Spread, units: Units, factor: float) -> Array:
    """Return how narrow a component may be in each column; in a constant column, the factor in its scale."""
    table = InMemoryTable([pieces])
    sample = table.take(np.arange(0, table.n_rows, -(-table.n_rows // _SAMPLE_ROWS)))
    found = narrowest_sds(sample.X, np.where(spread.is_constant, units.scale, spread.sds), factor)
    return np.maximum(found, NARROWEST_SD * units.scale)


def _tell_of_scales(spread: Spread, features: tuple[str, ...], tell: Notify) -> None:
    """Report columns of very different spread, if one variance serves all columns."""
    sds = np.where(spread.is_constant, np.nan, spread.sds)
    if np.isnan(sds).all() or np.nanmax(sds) <= _ALIKE * np.nanmin(sds):
        return
    widest, narrowest = int(np.nanargmax(sds)), int(np.nanargmin(sds))
    with np.errstate(over="ignore", divide="ignore"):
        ratio = min(float(sds[widest] / sds[narrowest]), sys.float_info.max)
    fact = f"{wording.column(features[widest])} varies {ratio:.3g} times as much as"
    text = f'one variance serves all columns, but {fact} "{wording.shown(features[narrowest])}"'
    remedy = in_shell(Set("--covariance-type", covariance_types.SIMPLER))
    text += f"; to let each have its own: --fresh {remedy}"
    tell(Notice("columns_scales", text, "information", {"columns": [features[widest], features[narrowest]]}))


def _measure(
    pieces: Sequence[Rows], features: tuple[str, ...], settings: Settings, name: str, tell: Notify
) -> Units:
    """Determine the units of a new model from its rows."""
    spread, has_common_scale = measure(pieces), FAMILIES[settings.covariance_type].structure.has_common_scale
    units = spread.units(common=has_common_scale)
    extreme = find_extreme_column(units)
    if extreme is not None:
        raise TableUnusable(
            name,
            f"{wording.column(features[extreme])}: its standard deviation is beyond 1e±150",
            "rescale the column",
        )
    n_rows, K = sum(rows.n_rows for rows in pieces), settings.components
    if n_rows < K:
        # One component per row would not be a mixture of anything.
        fewer = str(min(max(n_rows // 2, 1), 3))
        fact = f"{wording.counted(n_rows, 'row')}; {K} components need at least {K} rows"
        raise TableUnusable(name, fact, Set("-k", fewer))
    if has_common_scale:
        _tell_of_scales(spread, features, tell)
    if settings.min_sd > 0:
        units = replace(units, narrowest=_narrowest(pieces, spread, units, settings.min_sd))
    constant = [features[j] for j in np.flatnonzero(spread.is_constant)]
    if constant:
        text = f"constant columns: {wording.listed(constant)}"
        tell(Notice("columns_constant", text, "information", {"columns": constant}))
    return units
