"""Cell by cell: what each spelling is, in the first rows and far behind them, number or refusal."""

import io

import numpy as np
import pytest

from gmmcli.errors import TableUnusable
from gmmcli.remedies import AnyOf, Emptied, Exclude
from gmmcli.tables.blocks import load
from gmmcli.tables.columns import select_features
from gmmcli.tables.source import open_tables

# More than the first MiB, from which types are told, in few rows.
LATE = (b"1,2." + b"0" * 1020 + b"\n") * 1100

NUMBERS = {
    b"0": 0.0,
    b"-0": -0.0,
    b"+1": 1.0,
    b"1.": 1.0,
    b"-.5": -0.5,
    b"00501": 501.0,
    b" 1 ": 1.0,
    b"\t1\t": 1.0,
    b'"1"': 1.0,
    b'" 1 "': 1.0,
    b"1e5": 1e5,
    b"1E+05": 1e5,
    b"1.e-3": 1e-3,
    b"4.9e-324": 5e-324,
    b"1e-400": 0.0,
    b"1.7976931348623157e308": 1.7976931348623157e308,
    b"9007199254740993": 9007199254740992.0,
    b"0.1000000000000000055511151231257827021181583404541015625": 0.1,
    b"1" + b"0" * 300: 1e300,
    b"0." + b"0" * 400 + b"1": 0.0,
    b"": np.nan,
    b'""': np.nan,
    b"  ": np.nan,
    b"NaN": np.nan,
    b"nan": np.nan,
    b"NA": np.nan,
    b"null": np.nan,
    b" NA ": np.nan,
    b'"null"': np.nan,
    b"n/a": np.nan,
    b"N/A": np.nan,
    b"#N/A": np.nan,
    b"-nan": np.nan,
    b"NULL": np.nan,
    b"None": np.nan,
    b"<NA>": np.nan,
    b"true": 1.0,
    b"True": 1.0,
    b"FALSE": 0.0,
}


@pytest.mark.parametrize("cell", NUMBERS)
def test_a_cell_that_is_a_number_or_missing_has_this_value(cell):
    """To the last bit, the sign of zero included."""
    with open_tables([], stdin=io.BytesIO(b"a,b\n" + cell + b",2\n")) as tables:
        assert tables.first.numeric == {0, 1}
        (batch,) = tables.iter_batches(("a",))
    assert batch.X.tobytes() == np.array([[NUMBERS[cell]]]).tobytes()


TEXTS = {
    b"-": "-",
    b"?": "?",
    b".": ".",
    b"+": "+",
    b"e5": "e5",
    b"1e": "1e",
    b"1e5.0": "1e5.0",
    b"--1": "--1",
    b"+-1": "+-1",
    b"1 2": "1 2",
    b"1_000": "1_000",
    b'"1,000"': "1,000",
    b"1f": "1f",
    b"1d5": "1d5",
    b"0x10": "0x10",
    b"0X1p3": "0X1p3",
    b"0b1": "0b1",
    b"NAN": "NAN",
    b"nan(1)": "nan(1)",
    b"na": "na",
    b"N.A.": "N.A.",
    b"tRue": "tRue",
    b"infi": "infi",
    b"2020-01-01": "2020-01-01",
    b"12:30": "12:30",
    b"$5": "$5",
    b"5%": "5%",
    b"\x0b1": "\\x0b1",
    b"1\x0c": "1\\x0c",
    "\u00a01".encode(): "\\xa01",
    "\uff11".encode(): "\uff11",
    "\u22121".encode(): "\u22121",
}


@pytest.mark.parametrize("cell", TEXTS)
def test_a_cell_that_is_a_text_makes_its_column_one(cell):
    """Skipped by default; refused with line, column and cell where a model has that column."""
    data = b"a,b\n1,2\n" + cell + b",2\n"
    with open_tables([], stdin=io.BytesIO(data)) as tables:
        (notice,) = select_features(tables).notices
        assert notice.details["columns"] == ["a"]
        with pytest.raises(TableUnusable) as caught:
            list(tables.iter_batches(("a",)))
    assert str(caught.value) == f'-:3: column "a": not a number: "{TEXTS[cell]}"'
    assert caught.value.status == 65


REFUSALS = {
    b"inf": "infinite value",
    b"-inf": "infinite value",
    b"+Inf": "infinite value",
    b"INFINITY": "infinite value",
    b" -Infinity ": "infinite value",
    b'"inf"': "infinite value",
    b"1e400": "does not fit a double: 1e400",
    b" -1e400": "does not fit a double: -1e400",
    b"1e+99999": "does not fit a double: 1e+99999",
    b"1" + b"0" * 309: "does not fit a double: 1" + "0" * 38 + "…",
}


@pytest.mark.parametrize("missing", ["error", "drop"])
@pytest.mark.parametrize("cell", REFUSALS)
def test_an_infinite_value_makes_a_column_numeric_and_is_refused(cell, missing):
    """Under every way with missing values, and without a hint to leave the column out."""
    with open_tables([], stdin=io.BytesIO(b"a,b\n1,2\n3," + cell + b"\n")) as tables:
        features = select_features(tables).features
        assert features == ("a", "b")
        with pytest.raises(TableUnusable) as caught:
            load(tables, features, missing=missing, skip_empty_columns=True)
    assert str(caught.value) == f'-:3: column "b": {REFUSALS[cell]}'
    assert (caught.value.status, caught.value.hint) == (65, None)


WITHOUT_A = Exclude(("a",))
EMPTY_X = r"""pipe it through: sed -E 's/^(([^,]*,){0}) *"?x"? *(,|\r?$)/\1\3/'"""
LATE_PROBLEMS = {
    "a text": (b"0x1F,2\n", '-:1102: column "a": not a number: "0x1F"', WITHOUT_A),
    "infinity": (b"-inf,2\n", '-:1102: column "a": infinite value', None),
    "an overflow": (b"1e400,2\n", '-:1102: column "a": does not fit a double: 1e400', None),
    "an open quote": (b'1,"2\n3,4\n', "-:1102: a quote opens here and is never closed", None),
    "a long row": (b"1,2,3\n", "-:1102: 2 columns expected, 3 found", None),
    "a NUL": (b"1,2\n1,\0\n", "-:1103: a NUL byte: not a text file", None),
    "another encoding": (b"1,2\n\xfc,2\n", "-:1103: not UTF-8", "pipe it through: iconv -f LATIN1 -t UTF-8"),
    "a bare return": (
        b"1,2\r3,4\n",
        "-:1102: lines end with a carriage return only (old Mac format)",
        "pipe it through: tr '\\r' '\\n'",
    ),
    "after lines in quotes": (
        b'"1\n","2\n\n"\n',
        '-:1102: column "a": not a number: "1\\n"',
        WITHOUT_A,
    ),
    "after a blank line": (
        b"\r\n\nx,2\n",
        '-:1104: column "a": not a number: "x"',
        AnyOf((WITHOUT_A, Emptied("x", EMPTY_X))),
    ),
}


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("case", LATE_PROBLEMS)
def test_a_problem_behind_the_first_mebibyte_is_told_with_its_line(case, n_threads):
    """As one in the first rows, though the column was taken for numbers."""
    data, message, hint = LATE_PROBLEMS[case]
    with open_tables([], stdin=io.BytesIO(b"a,b\n" + LATE + data), n_threads=n_threads) as tables:
        features = select_features(tables).features
        assert features == ("a", "b")
        with pytest.raises(TableUnusable) as caught:
            load(tables, features, missing="drop", skip_empty_columns=True)
    assert (str(caught.value), caught.value.hint) == (message, hint)


@pytest.mark.parametrize("cell", [b"nan(1)", b"0x10", b"1_000", b"inf", b"-nan", b"1e"])
def test_a_column_that_is_not_used_may_hold_anything(cell):
    """A model that does not have it does not mind."""
    with open_tables([], stdin=io.BytesIO(b"a,b\n1," + cell + b"\n")) as tables:
        (batch,) = tables.iter_batches(("a",), ("b",))
    assert batch.X.tolist() == [[1.0]]
    assert batch.extra["b"].to_pylist() == [cell.decode()]
