"""Which columns of a table are features, which are passed through. Knows names, not cells."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gmmcli.core.arrays import Integers
from gmmcli.errors import TableUnusable, Usage
from gmmcli.notices import Notice
from gmmcli.remedies import Emptied, Exclude, in_shell, listed, quoted
from gmmcli.tables import wording
from gmmcli.tables.batch import Late
from gmmcli.tables.json_text import JsonText, as_texts
from gmmcli.tables.numbers import Doubt
from gmmcli.tables.source import Tables, find_columns

# Names that a misspelt one is compared with.
_COMPARED = 1000
_NUMBERED = re.compile(r"#(\d+)(?:-#(\d+))?")


@dataclass(frozen=True)
class Selection:
    """Columns to learn from.

    Parameters
    ----------
    features : tuple of str
        In the order they were listed, or that of the table.
    notices : tuple of Notice
        What to say about columns passed over because they are not numeric, or an index.
    """

    features: tuple[str, ...]
    notices: tuple[Notice, ...] = ()


def select_features(tables: Tables, columns: Sequence[str] = (), exclude: Sequence[str] = ()) -> Selection:
    """Choose columns to learn from.

    Parameters
    ----------
    tables : Tables
    columns : sequence of str
        Exact names, `#i` or `#i-#j` (from 1), globs; none means every numeric column. A range or glob passes
        over columns that are not numeric.
    exclude : sequence of str
        Likewise.

    Raises
    ------
    Usage
        An item matches no column.
    TableUnusable
        A column named by itself is not numeric, two have the same name, one has none, or none is left.
    """
    table, excluded = tables.first, _listed(tables, exclude, "--exclude")
    wanted = dict.fromkeys(range(len(tables.column_names)), False)
    if columns:
        wanted = _listed(tables, columns, "--columns")
    chosen, skipped, index = [], [], []
    for column, is_named in wanted.items():
        if column in excluded:
            continue
        if column in table.numeric and (is_named or column not in table.index_columns):
            chosen.append(column)
        elif is_named:
            raise table.explain(column).without(Exclude)
        elif column in table.index_columns:
            index.append(column)
        else:
            skipped.append(column)
    if not chosen:
        raise _none_left(tables, skipped, index)
    _check_names(tables, chosen)
    features = tuple(tables.column_names[column] for column in chosen)
    return Selection(features, tuple(_left_out(tables, skipped, index)))


def _left_out(tables: Tables, skipped: list[int], index: list[int]) -> Iterator[Notice]:
    """Yield what there is to say about columns that are left out: a warning for each kind of doubt."""
    names = tables.column_names
    doubts = tables.first.doubts(skipped) if skipped else {}
    if certain := [names[column] for column in skipped if column not in doubts]:
        text = f"skipped columns that are not numeric: {wording.listed(certain)}"
        yield Notice("columns_skipped", text, "information", {"columns": certain})
    if index:
        left = [names[column] for column in index]
        way_out = f"--fresh --columns {listed(('*', *left))}"
        text = f"{tables.name}: left out the pandas index {wording.listed(left)}; to use it: {way_out}"
        yield Notice("index_left_out", text, "serious")
    for kind in dict.fromkeys(doubt.kind for doubt in doubts.values()):
        alike = [column for column in skipped if column in doubts and doubts[column].kind == kind]
        yield _doubtful(doubts[alike[0]], [names[column] for column in alike])


def _none_left(tables: Tables, skipped: list[int], index: list[int]) -> TableUnusable:
    """Return the error that no column is left, with what the first of the warnings would have said."""
    names = tables.column_names
    if not names:
        return TableUnusable(tables.name, "a table without columns")
    fact = f"no numeric column among {wording.listed(names)}"
    doubts = tables.first.doubts(skipped) if skipped else {}
    if doubts:
        column, doubt = next(iter(doubts.items()))
        fact = f"{fact}: {doubt.place}: {wording.column(names[column])}: {doubt.fact}"
        return TableUnusable(tables.name, fact, doubt.way_out)
    if index:
        left = tuple(names[column] for column in index)
        return TableUnusable(
            tables.name, f"{fact} but an index of pandas: {wording.listed(left)}", f"--columns {listed(left)}"
        )
    if skipped:
        error = tables.first.explain(skipped[0])
        place = "" if error.subject == tables.name else f"{error.subject}: "
        fact = f"{fact}: {place}{error.fact}"
    return TableUnusable(tables.name, fact)


def _doubtful(doubt: Doubt, names: list[str]) -> Notice:
    """Return the warning about columns of one kind; the doubt is about the first.

    The model exists when the warning is read, so all that may follow needs --fresh.
    """
    subject, it = wording.column(names[0]), "it"
    if len(names) > 1:
        n = len(names) - 1
        subject, it = f"{subject} and {wording.counted(n, 'column')} like it", "them"
    way_out = f"to leave {it} out without this warning: --fresh {in_shell(Exclude(tuple(names)))}"
    if isinstance(doubt.way_out, Emptied):
        if len(names) == 1:  # the command is for one column
            way_out = f"{in_shell(doubt.way_out)} --fresh; {way_out}"
    elif doubt.way_out is not None:
        way_out = f"to read {it}: {doubt.way_out}; then fit with --fresh; {way_out}"
    text = f"{doubt.place}: {subject} left out: {doubt.fact}; {way_out}"
    return Notice("column_left_out", text, "serious", {"columns": names})


def match_features(tables: Tables, features: Sequence[str], model_dir: Path | None = None) -> tuple[str, ...]:
    """Return a model's features, in the model's order, if the first operand has them all.

    A column that turns out not to be one of numbers is found where it is read. Where one is absent, the hint
    is to look at the model, if it is told where that is.

    Raises
    ------
    TableUnusable
        Naming all columns that are absent, or one that there is more than once.
    """
    try:
        find_columns(tables.column_names, features, tables.name)
    except TableUnusable as error:
        hint = None if model_dir is None else f"gmmcli inspect -m {quoted(str(model_dir))}"
        if tables.positions.keys() >= set(features):  # a name is there twice
            hint = tables.first.rename()
        raise TableUnusable(error.subject, error.fact, hint) from error
    return tuple(features)


def select_extra(tables: Tables, patterns: Sequence[str] | Literal["all"]) -> tuple[str, ...]:
    """Choose columns to pass through, numeric or not.

    Raises
    ------
    Usage
        An item matches no column.
    TableUnusable
        Two have the same name.
    """
    if patterns == "all":
        names = list(tables.column_names)
    else:
        names = [tables.column_names[column] for column in _listed(tables, patterns, "--pass")]
    find_columns(tables.column_names, names, tables.name)
    return tuple(names)


def select_column(tables: Tables, item: str) -> str:
    """Return the one column that an exact name or `#i` stands for.

    Raises
    ------
    TableUnusable
        There is none, or more than one.
    """
    numbered = _NUMBERED.fullmatch(item)
    names = tables.column_names
    if item not in tables.positions and numbered and not numbered[2] and 0 < int(numbered[1]) <= len(names):
        item = names[int(numbered[1]) - 1]
    find_columns(names, [item], tables.name)
    return item


def encode_texts(values: Any) -> tuple[Integers, list[str | None]]:
    """Return a passed column as numbers into its distinct texts, which are in order of appearance.

    Parameters
    ----------
    values : pyarrow.Array
        A column of `Batch.extra`.

    Returns
    -------
    codes : ndarray of shape (n_rows,), int64
    texts : list of str or None
        None stands for an empty cell.
    """
    if isinstance(values.type, JsonText):
        values = as_texts(values)
    position: dict[str | None, int] = {}
    codes = [position.setdefault(_text(value), len(position)) for value in values.to_pylist()]
    return np.array(codes, dtype=np.int64), list(position)


def _text(value: object) -> str | None:
    """Return a cell as predict would write it, None for an empty one."""
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _listed(tables: Tables, items: Sequence[str], option: str) -> dict[int, bool]:
    """Return the columns that items stand for, as listed, and whether one names the column by itself."""
    found: dict[int, bool] = {}
    for item in items:
        columns, is_named = _match(tables, item, option)
        for column in columns:
            found[column] = is_named or found.get(column, False)
    return found


def _match(tables: Tables, item: str, option: str) -> tuple[Sequence[int], bool]:
    """Return the columns that an item stands for, and whether it names them: a range or a glob does not.

    Raises
    ------
    Usage
        None.
    """
    names = tables.column_names
    if item in tables.positions:
        return tables.positions[item], True
    if numbered := _NUMBERED.fullmatch(item):
        first, last = int(numbered[1]), int(numbered[2] or numbered[1])
        if not 1 <= first <= last <= len(names):
            n = len(names)
            fact = f'"{item}": {tables.name} has {wording.counted(n, "column")}'
            if not first:
                fact = f'"{item}": columns are numbered from 1'
            # Nothing is left of a table without all of its columns.
            raise Usage(option, fact, None if option == "--exclude" else f"{option} '#1-#{n}'")
        return range(first - 1, last), numbered[2] is None
    found = [column for column, name in enumerate(names) if fnmatchcase(name, item)]
    if not found:
        near = difflib.get_close_matches(item, names[:_COMPARED], n=1)
        fact = f'"{wording.shown(item)}" matches no column of {tables.name}: it has {wording.listed(names)}'
        raise Usage(option, fact, f'did you mean "{wording.shown(near[0])}"?' if near else None)
    return found, False


def _check_names(tables: Tables, chosen: list[int]) -> None:
    """Raise `TableUnusable` where a feature cannot be found again by its name."""
    names = tables.column_names
    if nameless := [column + 1 for column in chosen if not names[column]]:
        fact = f"column {nameless[0]} has no name"
        if len(nameless) > 1:
            fact = f"{len(nameless)} columns have no name, the first is column {nameless[0]}"
        raise TableUnusable(tables.name, fact, Exclude(tuple(f"#{number}" for number in nameless)))
    for column in chosen:
        count = len(tables.positions[names[column]])
        if count > 1:
            fact = f'{count} columns are named "{wording.shown(names[column])}"'
            raise TableUnusable(tables.name, fact, tables.first.rename() or Exclude((names[column],)))


def columns_late(late: Late, columns: Sequence[str]) -> Notice:
    """Return the warning about keys first seen after the first MiB."""
    text = f"{late.place}: left out keys that first appear after the first MiB: {wording.listed(columns)}"
    return Notice("columns_late", text, "serious", {"columns": list(columns)})
