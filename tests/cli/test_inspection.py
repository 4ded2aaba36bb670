"""How inspect writes for people, and for programs."""

import json
import os

import pytest

from gmmcli.cli import inspection
from gmmcli.remedies import Rollback
from gmmcli.store.verify import Finding


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff.csv"), r"\udcff.csv"])
def test_a_byte_that_is_not_utf8_is_the_same_in_every_row_of_the_history(name):
    """The log keeps the name as the system has it, a checkpoint as UTF-8."""
    row = {"time": "2026-01-01T00:00:00Z", "event": "run", "tables": [name, "b.csv"]}
    assert inspection.history("m", [row], as_json=False).splitlines()[1].endswith("\t\\xff.csv, b.csv")


def test_the_json_of_findings_has_hints_as_they_are_typed():
    """A remedy is a value, which JSON does not have; a finding without one has no hint."""
    found = [
        Finding("log.jsonl", "names checkpoint 2", Rollback("m", ("t.csv",))),
        Finding("x", "is foreign"),
    ]

    rows = json.loads(inspection.findings("m", found, as_json=True))["findings"]

    assert rows == [
        {"file": "log.jsonl", "text": "names checkpoint 2", "hint": "gmmcli fit -m m --rollback t.csv"},
        {"file": "x", "text": "is foreign"},
    ]
