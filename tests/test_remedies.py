"""Remedies: each as it is typed in a shell, and as Python has it; what is quoted reads back."""

import csv
import os
import pickle
import subprocess
from typing import get_args

import pytest

from gmmcli.errors import Given, TableUnusable
from gmmcli.remedies import (
    AnyOf,
    Emptied,
    Exclude,
    Increase,
    OrElse,
    ReadCheckpoint,
    Remedy,
    Rollback,
    Set,
    StartAnew,
    in_python,
    in_shell,
    listed,
    printable,
    quoted,
    without,
)

ARGUMENTS = {"--missing": "missing", "-k": "num_clusters", "--reg-covar": "reg_covar", "--checkpoint": "path"}
SPELLINGS = [
    (Set("--missing", "drop"), "--missing drop", 'missing="drop"'),
    (Set("-k", "3"), "-k 3", "num_clusters=3"),
    (Set("--reg-covar", "1e-6"), "--reg-covar 1e-6", "reg_covar=1e-6"),
    (Set("--input-format", "tsv"), "--input-format tsv", None),
    (Increase("--reg-covar"), "fit with a larger --reg-covar", "a larger reg_covar"),
    (Increase("--time-limit"), "fit with a larger --time-limit", None),
    (Exclude(("b",)), "--exclude b", 'a table without column "b"'),
    (Exclude(("a, b", "c")), "--exclude '\"a, b\",c'", 'a table without columns "a, b", "c"'),
    (
        Rollback("my m"),
        "gmmcli fit -m 'my m' --rollback TABLE",
        "in a shell, gmmcli fit -m 'my m' --rollback TABLE",
    ),
    (
        Rollback("m", ("a b.csv", "-")),
        "gmmcli fit -m m --rollback 'a b.csv' -",
        "in a shell, gmmcli fit -m m --rollback TABLE",
    ),
    (
        Rollback("m", ("t.csv",) * 11),
        "gmmcli fit -m m --rollback TABLE",
        "in a shell, gmmcli fit -m m --rollback TABLE",
    ),
    (StartAnew("m"), "gmmcli fit -m m --fresh -k 3 TABLE", "another model_dir"),
    (ReadCheckpoint(2), "--checkpoint 2 to read that one", "path=2 to read that one"),
    (AnyOf(("fewer columns",)), "fewer columns", "fewer columns"),
    (
        AnyOf((Set("-k", "2"), "fewer columns", Set("--tol", "1"))),
        "-k 2, fewer columns, or --tol 1",
        "num_clusters=2, or fewer columns",
    ),
    (AnyOf((Set("--tol", "1"), Increase("--keep"))), "--tol 1, or fit with a larger --keep", None),
    (Emptied("n.a", "sed"), 'if "n.a" means missing: sed; then --missing drop', None),
    (OrElse("wait", Set("-k", "2")), "wait, or: -k 2", "wait, or: num_clusters=2"),
    (OrElse("wait", Set("--tol", "1")), "wait, or: --tol 1", "wait"),
]


@pytest.mark.parametrize(("remedy", "shell", "python"), SPELLINGS)
def test_a_remedy_is_spelled_for_the_shell_and_for_python(remedy, shell, python):
    """Python leaves out what it has no argument for."""
    assert in_shell(remedy) == shell
    assert in_python(remedy, ARGUMENTS) == python


def test_every_kind_of_remedy_is_among_the_spellings():
    """None is left for a match to fall through."""
    assert {type(remedy) for remedy, _, _ in SPELLINGS} == set(get_args(Remedy))


@pytest.mark.parametrize(
    "names",
    [
        ("b",),
        ("a b", "c"),
        ("a,b", 'say "no"'),
        ("it's",),
        ("two\nlines", "x"),
        ("\t\x1b[31m",),
        ("ß,$HOME",),
    ],
)
def test_names_come_out_of_a_shell_as_they_went_in(names):
    """Through the quotes of bash, and those of a list."""
    done = subprocess.run(
        ["bash", "-c", f"printf %s {listed(names)}"], capture_output=True, text=True, check=True
    )

    assert tuple(next(csv.reader([done.stdout]))) == names
    assert quoted(done.stdout).isprintable()


def test_an_error_keeps_its_remedy_from_one_process_to_another():
    """Hints are values, and so is an option that an error is about."""
    error = pickle.loads(pickle.dumps(TableUnusable(Given("--init", "a b"), "bad", Exclude(("b",)))))

    assert (str(error), error.hint) == ("--init a b: bad", Exclude(("b",)))


def test_a_hint_that_cannot_be_followed_is_taken_away_by_its_kind():
    """Others stay."""
    assert TableUnusable("x", "bad", Exclude(("b",))).without(Exclude).hint is None
    assert TableUnusable("x", "bad", Set("-k", "2")).without(Exclude).hint == Set("-k", "2")
    assert TableUnusable("x", "bad", "rescale").without(Exclude).hint == "rescale"
    assert TableUnusable("x", "bad").without(Exclude).hint is None


def test_what_is_left_of_several_ways_is_the_hint():
    """One way is no list of ways, and something to do by hand stays."""
    ways = AnyOf((Rollback("m"), ReadCheckpoint(2), Set("-k", "2")))
    fewer = AnyOf((Rollback("m"), ReadCheckpoint(2)))

    assert without(ways, ReadCheckpoint) == AnyOf((Rollback("m"), Set("-k", "2")))
    assert without(OrElse("restore", fewer), ReadCheckpoint) == OrElse("restore", Rollback("m"))
    assert without(OrElse("restore", ReadCheckpoint(2)), ReadCheckpoint) == "restore"
    assert without(AnyOf((ReadCheckpoint(2),)), ReadCheckpoint) is None


def test_a_byte_that_is_not_utf8_is_shown_as_a_byte():
    """As a shell takes it, not as Python keeps it."""
    assert printable(os.fsdecode(b"\xff.csv")) == r"\xff.csv"
    assert quoted(os.fsdecode(b"\xff.csv")) == r"$'\xff.csv'"
