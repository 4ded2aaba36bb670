"""The table of a fit: read once, brought to standard units in place, held by an engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gmmcli.core.mixture import Array
from gmmcli.core.units import (
    FURTHEST,
    FURTHEST_SD,
    Units,
    find_extreme_column,
    find_far_column,
    measure,
    uses_common_scale,
)
from gmmcli.engine.local import LocalEngine
from gmmcli.errors import TableUnusable
from gmmcli.jobs.notice import Notice, Notify, Progress, rows_dropped
from gmmcli.jobs.settings import Settings
from gmmcli.store.checkpoint import OperandRecord
from gmmcli.tables import wording
from gmmcli.tables.blocks import Loaded, load
from gmmcli.tables.source import Tables


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """A table in memory, in standard units.

    Parameters
    ----------
    features : tuple of str
        Columns in use: those asked for less those without a value.
    units : Units
    engine : LocalEngine
    operands : tuple of OperandRecord
    """

    features: tuple[str, ...]
    units: Units
    engine: LocalEngine
    operands: tuple[OperandRecord, ...]


def load_training_table(
    tables: Tables,
    features: tuple[str, ...],
    settings: Settings,
    units: Units | None,
    n_threads: int,
    check: Callable[[], None],
    tell: Notify,
    progress: Progress,
    *,
    skip_empty_columns: bool,
) -> TrainingTable:
    """Read the table into memory and bring it to standard units.

    Parameters
    ----------
    tables : Tables
    features : tuple of str
    settings : Settings
    units : Units or None
        The model's; None for a new model, whose units this table fixes.
    n_threads : int
    check : callable
        As of `LocalEngine`; called while the table is read as well.
    tell, progress : callable
    skip_empty_columns : bool
        Leave out columns without a value, rather than miss every row of them.

    Raises
    ------
    TableUnusable
        No rows, fewer rows than components, a scale beyond 1e±150, or what `load` finds.
    """

    def follow(n_rows: int) -> None:
        check()
        progress(f"{n_rows:,} rows read")

    loaded = load(
        tables, features, missing=settings.missing, skip_empty_columns=skip_empty_columns, follow=follow
    )
    _tell_of_loading(loaded, tell)
    blocks = [chunk for operand in loaded.chunks for chunk in operand]
    name = tables.operands[0].name
    if not blocks:
        raise TableUnusable(name, "no rows to learn from")
    if units is None:
        units = _measure(blocks, loaded.features, settings, name, tell)
    for block in blocks:
        far = find_far_column(np.abs(units.standardise(block)).max(axis=1), units)
        if far is not None:
            column = wording.column(loaded.features[far])
            reach = f"{FURTHEST_SD:g} standard deviations, or {FURTHEST:g}, from the model's centre"
            raise TableUnusable(name, f"{column}: a value beyond {reach}")
    operands = tuple(OperandRecord(o.name, o.size_bytes, o.rows, o.digest) for o in loaded.operands)
    return TrainingTable(loaded.features, units, LocalEngine(loaded.chunks, n_threads, check), operands)


def _tell_of_loading(loaded: Loaded, tell: Notify) -> None:
    """Report dropped rows and columns without a value."""
    if loaded.rows_dropped:
        tell(rows_dropped(loaded.rows_dropped))
    if loaded.empty_columns:
        names = wording.listed(loaded.empty_columns)
        tell(Notice("columns_empty", f"no value, skipped: {names}", False, {"columns": loaded.empty_columns}))


def _measure(
    blocks: Sequence[Array], features: tuple[str, ...], settings: Settings, name: str, tell: Notify
) -> Units:
    """Fix the units of a new model."""
    spread = measure(blocks)
    units = spread.units(common=uses_common_scale(settings.covariance_type))
    extreme = find_extreme_column(units)
    if extreme is not None:
        raise TableUnusable(
            name,
            f"{wording.column(features[extreme])}: its standard deviation is beyond 1e±150",
            "rescale the column",
        )
    n_rows, K = int(spread.weight), settings.components
    if n_rows < K:
        rows = "1 row is" if n_rows == 1 else f"{n_rows} rows are"
        raise TableUnusable(name, f"{rows} too few for {K} components", f"-k {n_rows}")
    constant = [features[j] for j in np.flatnonzero(spread.is_constant)]
    if constant:
        tell(
            Notice("columns_constant", f"constant: {wording.listed(constant)}", False, {"columns": constant})
        )
    return units
