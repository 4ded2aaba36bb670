"""Which columns are meant: by name, by number, by pattern; and what is said where none is."""

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tables.typing_hints import read_after_typing

from gmmcli.errors import TableUnusable, Usage
from gmmcli.remedies import in_shell
from gmmcli.tables.columns import encode_texts, match_features, select_column, select_extra, select_features
from gmmcli.tables.source import open_tables

TABLE = b"x1,x2,t,#2,x10,a*\n1,2,x,3,4,5\n"


@pytest.fixture
def tables():
    """Return a table of which all columns but t are numbers."""
    with open_tables([], stdin=io.BytesIO(TABLE)) as opened:
        yield opened


SELECTIONS = {
    "every numeric column by default": ((), (), "x1 x2 #2 x10 a*"),
    "names in the order listed": (("x10", "x1"), (), "x10 x1"),
    "a name before a number": (("#2",), (), "#2"),
    "numbers from 1": (("#5", "#1"), (), "x10 x1"),
    "a range": (("#1-#2",), (), "x1 x2"),
    "a range over a text": (("#2-#4",), (), "x2 #2"),
    "a name before a glob": (("a*",), (), "a*"),
    "a glob": (("x*",), (), "x1 x2 x10"),
    "a glob over a text": (("*[t2]",), (), "x2 #2"),
    "each once": (("x2", "x*", "#1"), (), "x2 x1 x10"),
    "without some": ((), ("x?", "#5"), "#2 a*"),
    "listed without some": (("x*",), ("x1",), "x2 x10"),
    "a text that is excluded again": (("x1", "t"), ("t",), "x1"),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_columns_are_selected_by_name_number_and_glob(tables, case):
    """In this order of precedence."""
    columns, exclude, expected = SELECTIONS[case]
    assert list(select_features(tables, columns, exclude).features) == expected.split()


def test_columns_that_are_skipped_are_named(tables):
    """By default, in ranges and in globs, for information; but not those that are excluded."""
    for columns in ((), ("#1-#3",), ("x1", "*")):
        (notice,) = select_features(tables, columns).notices
        assert (notice.name, notice.level) == ("columns_skipped", "information")
        assert notice.details["columns"] == ["t"]
    assert select_features(tables, (), ("t",)).notices == ()


USAGE = {
    "unknown name": (
        ("x3",),
        (),
        '--columns: "x3" matches no column of -: it has "x1", "x2", "t", "#2", "x10", "a*"',
        None,
    ),
    "near name": (("x11",), (), '--columns: "x11" matches no column', 'did you mean "x1"?'),
    "unknown excluded": ((), ("zzzz",), '--exclude: "zzzz" matches no column of -', None),
    "number beyond": (("#7",), (), '--columns: "#7": - has 6 columns', "--columns '#1-#6'"),
    "number zero": (("#0",), (), '--columns: "#0": columns are numbered from 1', "--columns '#1-#6'"),
    "number zero excluded": ((), ("#0",), '--exclude: "#0": columns are numbered from 1', None),
    "number beyond excluded": ((), ("#7",), '--exclude: "#7": - has 6 columns', None),
    "range backwards": (("#3-#1",), (), '--columns: "#3-#1": - has 6 columns', "--columns '#1-#6'"),
}


@pytest.mark.parametrize("case", USAGE)
def test_items_that_match_nothing_are_a_usage_error(tables, case):
    """With what there is, and what may have been meant."""
    columns, exclude, message, hint = USAGE[case]
    with pytest.raises(Usage) as caught:
        select_features(tables, columns, exclude)
    assert str(caught.value).startswith(message)
    assert caught.value.hint == hint
    assert caught.value.status == 2


@pytest.mark.parametrize("item", ["t", "#3"])
def test_a_text_column_that_is_named_is_refused_with_its_first_cell(tables, item):
    """Listed by itself, it was meant."""
    with pytest.raises(TableUnusable, match=r'^-:2: column "t": not a number: "x"$') as caught:
        select_features(tables, ("x1", item))
    assert caught.value.hint is None


def test_nothing_left_is_refused(tables):
    """Names of the table, since they are what can be listed."""
    with pytest.raises(TableUnusable, match=r'^-: no numeric column among "x1", "x2"'):
        select_features(tables, (), ("*",))


def test_names_that_a_shell_or_a_list_would_break_are_quoted_in_hints():
    """What is hinted at can be typed."""
    with (
        open_tables([], stdin=io.BytesIO(b'"a, b","a, b"\n1,2\n')) as tables,
        pytest.raises(TableUnusable, match="2 columns are named") as caught,
    ):
        select_features(tables)
    assert caught.value.hint == """pipe it through: sed '1s/.*/"a, b","a, b_2"/'"""


@pytest.mark.parametrize("header", ["a,a,b,a_2,a", '"a/&,",\\1,"a/&,"', "a,a\r"])
def test_two_columns_of_one_name_get_names_of_their_own_by_the_hint(header, tmp_path, monkeypatch):
    """Both for a new model and for a table that a model is applied to; without the name both are lost."""
    monkeypatch.chdir(tmp_path)
    n_columns = len(next(csv.reader([header])))
    (tmp_path / "t.csv").write_text(f"{header}\n" + ",".join(map(str, range(n_columns))) + "\n")
    hints = []
    with open_tables(["t.csv"]) as tables:
        first = tables.column_names[0]
        for choose in (select_features, lambda tables: match_features(tables, (first,), Path("m"))):
            with pytest.raises(TableUnusable, match="columns are named") as caught:
                choose(tables)
            hints.append(caught.value.hint)
    assert hints[0] == hints[1]
    assert read_after_typing(hints[0])[first] == [0.0]


NONE_LEFT = {
    "texts": (b"s,t\nx,y\n", '"s", "t": -:2: column "s": not a number: "x"', None),
    "a sign": (
        b"s,t\nx,$5\n",
        '"s", "t": -:2: column "t": "$5" has a currency sign',
        r"pipe it through: sed -E '1!{s/ ?\$ ?//g;}'",
    ),
    "units": (
        b"a,b\nm,s\n1,2\n3,4\n",
        '"a", "b": -:2: column "a": not a number: "m", below the header',
        "pipe it through: sed 2d",
    ),
    "two lines of text": (b"a,b\nm,s\nx,y\n3,4\n", '"a", "b": -:2: column "a": not a number: "m"', None),
}


@pytest.mark.parametrize("case", NONE_LEFT)
def test_where_no_column_is_left_the_error_says_what_a_warning_would_have_said(case):
    """The first column, line and cell, and what to type."""
    data, fact, hint = NONE_LEFT[case]
    with open_tables([], stdin=io.BytesIO(data)) as tables, pytest.raises(TableUnusable) as caught:
        select_features(tables)
    assert str(caught.value) == f"-: no numeric column among {fact}"
    assert caught.value.hint == hint


def test_where_only_an_index_is_left_the_hint_uses_it():
    """It is named by itself."""
    schema = pa.schema([("i", pa.int64())], metadata={"pandas": b'{"index_columns": ["i"]}'})
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, schema) as writer:
        writer.write_batch(pa.record_batch([pa.array([1, 2])], schema=schema))
    stream.seek(0)
    with open_tables([], stdin=stream) as tables:
        with pytest.raises(TableUnusable, match=r'an index of pandas: "i"$') as caught:
            select_features(tables)
        assert caught.value.hint == "--columns i"
        assert select_features(tables, ("i",)).features == ("i",)


def test_a_table_without_columns_is_called_that():
    """There are no names to list."""
    with (
        open_tables([], stdin=io.BytesIO(b"{}\n{}\n")) as tables,
        pytest.raises(TableUnusable, match=r"^-: a table without columns$"),
    ):
        select_features(tables)


def test_columns_without_names_are_left_out_by_one_hint():
    """However many."""
    with open_tables([], stdin=io.BytesIO(b",a,\n1,2,3\n")) as tables:
        with pytest.raises(
            TableUnusable, match=r"^-: 2 columns have no name, the first is column 1$"
        ) as caught:
            select_features(tables)
        assert in_shell(caught.value.hint) == "--exclude '#1,#3'"
        assert select_features(tables, (), ("#1", "#3")).features == ("a",)


def test_features_are_matched_in_the_model_s_order(tables):
    """Whatever that of the table."""
    assert match_features(tables, ("x10", "x1")) == ("x10", "x1")


def test_passed_columns_are_all_or_those_listed(tables):
    """Numeric or not."""
    assert select_extra(tables, "all") == ("x1", "x2", "t", "#2", "x10", "a*")
    assert select_extra(tables, ("t", "x?")) == ("t", "x1", "x2")
    assert select_extra(tables, ()) == ()
    with pytest.raises(Usage, match=r'^--pass: "y" matches no column'):
        select_extra(tables, ("y",))


def test_passed_columns_of_the_same_name_are_refused():
    """One of them would be lost."""
    with open_tables([], stdin=io.BytesIO(b"a,t,t\n1,x,y\n")) as tables:
        assert select_extra(tables, ("a",)) == ("a",)
        with pytest.raises(TableUnusable, match=r'^-: 2 columns are named "t"$'):
            select_extra(tables, "all")


def test_one_column_is_chosen_by_name_or_number(tables):
    """A name before a number; anything else is not in the table."""
    assert [select_column(tables, item) for item in ("t", "#2", "#3")] == ["t", "#2", "t"]
    for item in ("x*", "#9", "#1-#2"):
        with pytest.raises(TableUnusable, match=r"^-: no column "):
            select_column(tables, item)


def test_texts_are_numbered_in_order_of_appearance():
    """An empty cell is a text of its own; numbers are as Python writes them."""
    codes, texts = encode_texts(pa.array(["b", None, "a", "b", None]))
    assert (codes.tolist(), texts) == ([0, 1, 2, 0, 1], ["b", None, "a"])
    assert codes.dtype == np.int64
    assert encode_texts(pa.array([5, 5, 7]))[1] == ["5", "7"]
    assert encode_texts(pa.array([], pa.string()))[1] == []
