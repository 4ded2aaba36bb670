"""Tables and mixtures without spread: what is told of them, and what to type next."""

from collections.abc import Callable, Sequence

import numpy as np

from gmmcli.core.degenerate import Dependent, find_dependent_columns, find_floored, restricted
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, Table
from gmmcli.engine.in_memory import InMemoryTable
from gmmcli.errors import CovarianceNotPositive, NumericalFailure
from gmmcli.notices import Notice, Notify
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.tables import wording

_COMPONENTS_SHOWN = 10
# More columns that others determine are told of together.
_COLUMNS_APART = 10
_FEWER_COLUMNS = "fewer columns, or --covariance-type diag"
# Of a table's variance in standard units: what rounding leaves of a combination of columns, and what is not
# worth calling a spread of its own however large the regularisation is.
_ROUNDING, _NEGLIGIBLE = 1e-10, 2e-6


def tell_of_few_rows(table: InMemoryTable, n_components: int, tell: Notify) -> None:
    """Warn where a table has fewer distinct rows than a new model is to have components."""
    distinct = table.count_distinct(n_components)
    if distinct < n_components:
        rows = "all rows are equal" if distinct == 1 else f"only {distinct} distinct rows"
        text = f"{rows}, too few for {n_components} components"
        tell(Notice("few_distinct_rows", text, "serious", {"rows": distinct}))


def reseeded(tell: Notify) -> Callable[[list[int], int], None]:
    """Return what warns of re-seeded components, given them and the step that moves them."""

    def warn(components: list[int], step: int) -> None:
        text = f"{components_in_words(components)}: hardly any row left, re-seeded at step {step}"
        tell(Notice("reseeded", text, "warning", {"components": components, "step": step}))

    return warn


def tell_of_floor(checkpoint: Checkpoint, reg_covar: float, tell: Notify, *, is_new: bool) -> None:
    """Warn of columns without a spread of their own, and of components that are flat in the others.

    Parameters
    ----------
    checkpoint : Checkpoint
    reg_covar : float
    tell : callable
    is_new : bool
        Whether the model is: then constant columns have been told of with its table.
    """
    features, added = checkpoint.features, f"--reg-covar {reg_covar:g}"
    negligible = min(max(2 * reg_covar, _ROUNDING), _NEGLIGIBLE)
    dependent = find_dependent_columns(checkpoint.statistics, negligible)
    _tell_of_collinear([one for one in dependent if one.others], features, tell, is_new=is_new)
    for one in dependent:
        column = features[one.column]
        if not one.others and not is_new and len(dependent) < len(features):
            text = f"{_in_words(one, features)} in this table: its variances are those of {added}"
            tell(Notice("columns_flat", text, "serious", {"columns": [column]}))
    kept = sorted(set(range(len(features))) - {one.column for one in dependent})
    if not kept:
        text = f"no column has a spread: variances are those of {added} alone"
        tell(Notice("variance_floor", text, "serious", {"components": [], "columns": list(features)}))
        return
    floored: dict[tuple[int, ...], list[int | None]] = {}
    for component, columns in find_floored(restricted(checkpoint.state, kept), reg_covar):
        floored.setdefault(columns, []).append(component)
    for columns, components in floored.items():
        names = [features[kept[j]] for j in columns]
        text = (
            f"{components_in_words(components)}: "
            f"variance at the floor of {added} in {wording.listed(names)}; "
            "fewer components if rows repeat, --reg-covar 0 if so small a spread is real"
        )
        known = [component for component in components if component is not None]
        tell(Notice("variance_floor", text, "serious", {"components": known, "columns": names}))


def _tell_of_collinear(
    dependent: Sequence[Dependent], features: Sequence[str], tell: Notify, *, is_new: bool
) -> None:
    """Warn of columns that others determine: of each, or of all together where they are many."""
    if len(dependent) > _COLUMNS_APART:
        hint = f"; {_FEWER_COLUMNS}" if is_new else ""
        text = _all_in_words(dependent, features) + hint
        details: dict[str, object] = {"columns": [features[one.column] for one in dependent]}
        tell(Notice("columns_collinear", text, "serious", details))
        return
    for one in dependent:
        column, others = features[one.column], [features[j] for j in one.others]
        hint = f"; {wording.option('--exclude', column)}" if is_new else ""
        details = {"column": column, "others": others}
        tell(Notice("columns_collinear", _in_words(one, features) + hint, "serious", details))


def singular(
    error: CovarianceNotPositive,
    step: int,
    features: Sequence[str],
    dependent: Sequence[Dependent],
    *,
    may_exclude: bool,
) -> NumericalFailure:
    """Return the error of a covariance that is not positive definite, with columns, step and cause.

    Parameters
    ----------
    error : CovarianceNotPositive
    step : int
    features : sequence of str
    dependent : sequence of Dependent
        Columns of the table that others determine.
    may_exclude : bool
        Whether columns may still be left out: those of a model that exists may not.
    """
    columns = wording.listed([features[j] for j in error.features])
    fact, hint = f"covariance not positive definite in columns {columns} at step {step}", error.hint
    if len(dependent) == len(features):
        fact = f"{fact}: no column has a spread"
    elif dependent:
        fact = f"{fact}: {_all_in_words(dependent, features)}"
        if may_exclude and sum(bool(one.others) for one in dependent) > _COLUMNS_APART:
            hint = _FEWER_COLUMNS
        elif may_exclude:
            hint = wording.option("--exclude", *(features[one.column] for one in dependent))
    return NumericalFailure(error.subject, fact, hint)


def components_in_words(components: Sequence[int | None]) -> str:
    """Return components in words; a long list is cut."""
    if list(components) == [None]:
        return "all components"
    shown = ", ".join(map(str, components[:_COMPONENTS_SHOWN]))
    more = f" and {len(components) - _COMPONENTS_SHOWN} more" if len(components) > _COMPONENTS_SHOWN else ""
    return f"component {shown}" if len(components) == 1 else f"components {shown}{more}"


def _all_in_words(dependent: Sequence[Dependent], features: Sequence[str]) -> str:
    """Return what is so of columns: of each, or of all together where they are many."""
    if len(dependent) <= _COLUMNS_APART:
        return "; ".join(_in_words(one, features) for one in dependent)
    names = wording.listed([features[one.column] for one in dependent])
    n_flat = sum(not one.others for one in dependent)
    fact = "are all but combinations of the others"
    if n_flat:
        fact = (
            "have no spread"
            if n_flat == len(dependent)
            else f"have no spread ({n_flat}), or none of their own"
        )
    return f"{len(dependent)} of {len(features)} columns {fact}: {names}"


def _in_words(one: Dependent, features: Sequence[str]) -> str:
    """Return what is so of a column."""
    column = f'"{wording.shown(features[one.column])}"'
    if not one.others:
        return f"{column} has no spread"
    others = [features[j] for j in one.others]
    what = "a multiple of" if len(others) == 1 else "a combination of"
    return f"{column} is all but {what} {wording.listed(others)}"


def dependent_columns(engine: Engine, table: Table, covariance_type: str) -> list[Dependent]:
    """Return the columns of a table that others determine, of a type that knows products."""
    d = table.n_features
    if covariance_type in ("full", "tied"):
        whole = Mixture(np.ones(1), np.zeros((1, d)), np.eye(d)[None], "full")
    else:
        whole = Mixture(np.ones(1), np.zeros((1, d)), np.ones((1, d)), "diag")
    return find_dependent_columns(engine.expectation(table, whole).statistics, _ROUNDING)
