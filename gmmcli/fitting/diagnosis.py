"""Warnings and errors about columns without variance, collinear columns and starved components."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gmmcli.core import covariance_types
from gmmcli.core.degenerate import Dependent, find_dependent_columns, find_narrow, restricted
from gmmcli.core.families import FAMILIES, CovarianceType, Family
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, Table
from gmmcli.engine.in_memory import InMemoryTable
from gmmcli.errors import CovarianceNotPositive, NumericalFailure
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.rows import TrainingRows
from gmmcli.notices import Notice, Notify
from gmmcli.remedies import AnyOf, Exclude, Hint, Set, in_shell
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.tables import wording

_COMPONENTS_SHOWN = 10
# If there are more collinear columns, they share one warning.
_COLUMNS_APART = 10
# If components are narrow in more different sets of columns, they share one warning.
_GROUPS_APART = 3
_DIAGONAL = Set("--covariance-type", covariance_types.SIMPLER)
_FEWER_COLUMNS = AnyOf(("fewer columns", _DIAGONAL))
# Variances in standard units, of a column minus its best fit by other columns. Rounding alone leaves up to
# the first; a variance above the second is never negligible, however large the regularisation is.
_ROUNDING, _NEGLIGIBLE = 1e-10, 2e-6

# Rows that are searched at a time for a repeated value.
_BLOCK_ROWS = 65_536


class Narrow(NamedTuple):
    """A component that is as narrow as the settings allow (None: all, which share a covariance)."""

    component: int | None
    columns: tuple[str, ...]


def tell_of_few_rows(table: InMemoryTable, n_components: int, tell: Notify) -> None:
    """Warn if a table has fewer distinct rows than a new model has components."""
    distinct = table.count_distinct(n_components)
    if distinct < n_components:
        rows = "all rows are equal" if distinct == 1 else f"only {distinct} distinct rows"
        text = f"{rows}; {n_components} components need {n_components} distinct rows"
        tell(Notice("few_distinct_rows", text, "serious", {"rows": distinct}))


def reseeded(tell: Notify) -> Callable[[list[int], int], None]:
    """Return a function that warns of restarted components, given these and the step."""

    def warn(components: list[int], step: int) -> None:
        text = f"{components_in_words(components)}: too few rows left, restarted at step {step}"
        tell(Notice("reseeded", text, "warning", {"components": components, "step": step}))

    return warn


def tell_of_narrow(checkpoint: Checkpoint, rows: TrainingRows, plan: Plan, tell: Notify) -> None:
    """Warn of constant and collinear columns, and of components that are as narrow as the settings allow.

    Each cause has one warning. If the model is new, `read_rows` has reported its constant columns.
    """
    features, rules = checkpoint.features, plan.settings.rules(checkpoint.units)
    mixture, statistics = checkpoint.state, checkpoint.statistics
    family, K = mixture.family, mixture.n_components
    limits = rules.limits(len(features))
    is_added = rules.narrowest is None or rules.reg_covar > float((rules.narrowest**2).max())
    origin = f"--reg-covar {rules.reg_covar:g}" if is_added else "--min-sd"
    dependent = find_dependent_columns(statistics, min(max(float(limits.max()) ** 2, _ROUNDING), _NEGLIGIBLE))
    kept = sorted(set(range(len(features))) - {one.column for one in dependent})
    if not kept:
        text = f"no column has any spread: all variances come from {origin}, and the components mean nothing"
        tell(Notice("variance_floor", text, "serious", {"components": [], "columns": list(features)}))
        return
    if not plan.is_new:
        _tell_of_flat([one for one in dependent if not one.others], features, origin, tell)
    collinear = [one for one in dependent if one.others]
    narrow = [
        Narrow(component, tuple(features[kept[j]] for j in columns))
        for component, columns in find_narrow(restricted(mixture, kept), limits[kept])
    ]
    n_columns = len(kept) + len(collinear)
    remedy = in_shell(AnyOf(_ways_out(family, K))) + ", with --fresh"
    if (narrow or collinear) and statistics.rows < family.rows_needed(K, n_columns):
        affected = [*narrow, *(Narrow(None, (features[one.column],)) for one in collinear)]
        tell(_at_bound(f"{_too_few(statistics.rows, family, n_columns, K)}; use {remedy}", affected))
        return
    _tell_of_collinear(collinear, features, tell, is_new=plan.is_new)
    least = family.rows_needed(1, n_columns) - 0.5
    short = [one for one in narrow if one.component is not None and statistics.counts[one.component] < least]
    if short:
        components = [one.component for one in short]
        most = round(max(float(statistics.counts[k]) for k in components if k is not None))
        too_few = _too_few(most, family, n_columns, 1, bound="at most ")
        tell(_at_bound(f"{components_in_words(components)}: {too_few}; use {remedy}", short))
    _tell_of_spikes([one for one in narrow if one not in short], checkpoint, rows, origin, tell)


def _tell_of_flat(dependent: Sequence[Dependent], features: Sequence[str], origin: str, tell: Notify) -> None:
    """Warn of columns that are constant in the table of a later run."""
    for one in dependent:
        text = f"{_in_words(one, features)} in this table: its variances come only from {origin}"
        tell(Notice("columns_flat", text, "serious", {"columns": [features[one.column]]}))


def _tell_of_spikes(
    narrow: Sequence[Narrow], checkpoint: Checkpoint, rows: TrainingRows, origin: str, tell: Notify
) -> None:
    """Warn of components with enough rows that are narrow, once for each set of columns."""
    groups: dict[tuple[str, ...], list[Narrow]] = {}
    for one in narrow:
        groups.setdefault(one.columns, []).append(one)
    some = ""
    if len(groups) > _GROUPS_APART:
        groups, some = {tuple(_columns_of(narrow)): list(narrow)}, "some of "
    way_out = "--reg-covar 0" if "reg" in origin else "--fresh --min-sd 1e-9"
    for columns, group in groups.items():
        names = components_in_words([one.component for one in group])
        text = f"{names}: as narrow in {some}{wording.listed(columns)} as {origin} allows"
        value = _repeated_value(group[0], checkpoint, rows) if len(group) == 1 else None
        if value is not None:
            text = f"{text}: {value}; use fewer components, with --fresh"
        else:
            text += f"; use fewer components, with --fresh; if the spread is real: {way_out}"
        tell(_at_bound(text, group))


def _repeated_value(one: Narrow, checkpoint: Checkpoint, rows: TrainingRows) -> str | None:
    """Return how many rows have the value of a narrow component in its only column; None if they differ."""
    if one.component is None or len(one.columns) != 1:
        return None
    j = checkpoint.features.index(one.columns[0])
    center = checkpoint.state.means[one.component, j]
    reach = 3 * np.sqrt(checkpoint.state.matrices[one.component, j, j])
    values = np.concatenate([block.X[j] for block in rows.table.blocks(_BLOCK_ROWS)])
    near = values[np.abs(values - center) <= reach]
    common = np.median(near) if near.size else np.nan
    n_equal = int(np.count_nonzero(near == common))
    if n_equal < max(2, 0.5 * near.size):
        return None
    value = common * checkpoint.units.scale[j] + checkpoint.units.center[j]
    return f"{n_equal:,} rows are {value:.6g}"


def _columns_of(narrow: Sequence[Narrow]) -> list[str]:
    """Return the columns in which any component is narrow."""
    return list(dict.fromkeys(name for one in narrow for name in one.columns))


def _at_bound(text: str, narrow: Sequence[Narrow]) -> Notice:
    """Return the warning about narrow components."""
    components = [one.component for one in narrow if one.component is not None]
    details = {"components": components, "columns": _columns_of(narrow)}
    return Notice("variance_floor", text, "serious", details)


def _too_few(rows: int, family: Family, n_columns: int, n_components: int, bound: str = "") -> str:
    """Return the number of rows, and the number that a covariance needs, for a message."""
    there, shape = f"too few rows: {bound}{rows}", wording.counted(n_columns, "column")
    if family.is_equal:
        needed = family.rows_needed(n_components, n_columns)
        shape = f"{shape} and {wording.counted(n_components, 'component')}"
        return f"{there}; a {family.name} covariance of {shape} needs {needed}"
    each = rows / n_components
    if n_components > 1:
        there = f"too few rows: {each:.{0 if each >= 5 else 1}f} per component"
    needed = family.rows_needed(1, n_columns)
    return f"{there}; a {family.name} covariance of {shape} needs {needed}"


def _ways_out(family: Family, n_components: int) -> tuple[Hint, ...]:
    """Return the remedies if there are too few rows."""
    fewer = "fewer components" if n_components > 1 else "fewer columns"
    return (fewer, _DIAGONAL) if family.structure.has_correlations else (fewer,)


def _tell_of_collinear(
    dependent: Sequence[Dependent], features: Sequence[str], tell: Notify, *, is_new: bool
) -> None:
    """Warn of collinear columns, of each or of all together."""
    if len(dependent) > _COLUMNS_APART:
        hint = f"; {in_shell(_FEWER_COLUMNS)}, with --fresh" if is_new else ""
        text = _all_in_words(dependent, features) + hint
        details: dict[str, object] = {"columns": [features[one.column] for one in dependent]}
        tell(Notice("columns_collinear", text, "serious", details))
        return
    for one in dependent:
        column, others = features[one.column], [features[j] for j in one.others]
        hint = f"; --fresh {in_shell(Exclude((column,)))}" if is_new else ""
        details = {"column": column, "others": others}
        tell(Notice("columns_collinear", _in_words(one, features) + hint, "serious", details))


def singular(
    error: CovarianceNotPositive, step: int, plan: Plan, rows: TrainingRows, dependent: Sequence[Dependent]
) -> NumericalFailure:
    """Return the error of a covariance that is not positive definite, with columns, step and cause.

    `dependent` holds the collinear and constant columns of the table.
    """
    features, n_rows = rows.features, rows.table.n_rows
    columns = wording.listed([features[j] for j in error.features])
    fact, hint = f"covariance not positive definite in columns {columns} at step {step}", error.hint
    family, K = FAMILIES[plan.settings.covariance_type], plan.settings.components
    n_columns = sum(bool(one.others) for one in dependent) + len(features) - len(dependent)
    if len(dependent) == len(features):
        fact = f"{fact}: no column has any spread"
    elif n_rows < family.rows_needed(K, n_columns):
        fact = f"{fact}: {_too_few(n_rows, family, n_columns, K)}"
        hint = AnyOf((Set("--min-sd", "auto"), *_ways_out(family, K))) if plan.is_new else hint
    elif dependent:
        fact = f"{fact}: {_all_in_words(dependent, features)}"
        if plan.is_new and sum(bool(one.others) for one in dependent) > _COLUMNS_APART:
            hint = _FEWER_COLUMNS
        elif plan.is_new:
            hint = Exclude(tuple(features[one.column] for one in dependent))
    return NumericalFailure(error.subject, fact, hint)


def components_in_words(components: Sequence[int | None]) -> str:
    """Return the names of components, for a message; a long list is cut."""
    if list(components) == [None]:
        return "all components"
    shown = ", ".join(map(str, components[:_COMPONENTS_SHOWN]))
    more = f" and {len(components) - _COMPONENTS_SHOWN} more" if len(components) > _COMPONENTS_SHOWN else ""
    return f"component {shown}" if len(components) == 1 else f"components {shown}{more}"


def _all_in_words(dependent: Sequence[Dependent], features: Sequence[str]) -> str:
    """Describe collinear and constant columns for a message, each or all together."""
    if len(dependent) <= _COLUMNS_APART:
        return "; ".join(_in_words(one, features) for one in dependent)
    names = wording.listed([features[one.column] for one in dependent])
    n_flat = sum(not one.others for one in dependent)
    fact = "are nearly linear combinations of the others"
    if n_flat:
        fact = (
            "are constant"
            if n_flat == len(dependent)
            else f"are constant ({n_flat}) or nearly linear combinations of the others"
        )
    return f"{len(dependent)} of {len(features)} columns {fact}: {names}"


def _in_words(one: Dependent, features: Sequence[str]) -> str:
    """Describe a collinear or constant column for a message."""
    column = f'"{wording.shown(features[one.column])}"'
    if not one.others:
        return f"{column} is constant"
    others = [features[j] for j in one.others]
    what = "a multiple of" if len(others) == 1 else "a linear combination of"
    return f"{column} is nearly {what} {wording.listed(others)}"


def dependent_columns(engine: Engine, table: Table, covariance_type: CovarianceType) -> list[Dependent]:
    """Return the constant columns of a table and, if its covariances are matrices, the collinear ones."""
    d = table.n_features
    has_correlations = FAMILIES[covariance_type].structure.has_correlations
    kind = covariance_types.DEFAULT if has_correlations else covariance_types.SIMPLER
    whole = Mixture(np.ones(1), np.zeros((1, d)), FAMILIES[kind].structure.unit(1, d), kind)
    return find_dependent_columns(engine.expectation(table, whole).statistics, _ROUNDING)
