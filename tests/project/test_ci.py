"""README.md, CI and the Makefile say the same."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_ci_runs_the_readmes_test_command() -> None:
    """The last command of .ci/run is one that README.md gives to test."""
    *_, command = (ROOT / ".ci/run").read_text().strip().splitlines()
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    commands = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]

    assert command == "make test"
    assert command in commands


def test_make_help_lists_every_public_target() -> None:
    """Each phony target has its line of help, and .ci/run is executable."""
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())

    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == phony
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
