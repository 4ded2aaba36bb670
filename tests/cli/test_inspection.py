"""How inspect writes for people."""

import os

import pytest

from gmmcli.cli import inspection


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff.csv"), r"\udcff.csv"])
def test_a_byte_that_is_not_utf8_is_the_same_in_every_row_of_the_history(name):
    """The log keeps the name as the system has it, a checkpoint as UTF-8."""
    row = {"time": "2026-01-01T00:00:00Z", "event": "run", "tables": [name, "b.csv"]}
    assert inspection.history("m", [row], as_json=False).splitlines()[1].endswith("\t\\xff.csv, b.csv")
