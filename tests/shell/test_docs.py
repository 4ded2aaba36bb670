"""README.md and the manual's EXAMPLES are true: they are typed here."""

import re
from pathlib import Path

import pytest
from shell.session import Session, assert_same, parse

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "man").glob("*.[15]"))


def test_the_readmes_tour_shows_what_a_terminal_shows(empty_session: Session) -> None:
    """Every `$ command` of README.md prints there what it prints here."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    steps = [step for block in blocks for step in parse(block)]

    assert len(steps) >= 5
    for expected in steps:
        assert_same(empty_session.run_on_terminal(expected.command), expected)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_examples_of_a_page_work(empty_session: Session, page: Path) -> None:
    """Every command under EXAMPLES succeeds without a warning, one after another."""
    section = page.read_text().partition(".SH EXAMPLES")[2].partition(".SH ")[0]
    blocks = re.findall(r"^\.EX\n(.*?)^\.EE$", section, re.DOTALL | re.MULTILINE)
    commands = [line.replace(r"\-", "-") for block in blocks for line in block.splitlines()]

    assert commands
    for command in commands:
        result = empty_session.run(command)
        assert (result.status, result.stderr) == (0, ""), command


def test_the_user_block_of_the_manual_is_one() -> None:
    """The worked example of gmmcli-model-dir(5) begins with the magic and the length that it names."""
    page = (ROOT / "man/gmmcli-model-dir.5").read_text()
    first = re.findall(r"^00000000  (.*)$", page, re.MULTILINE)[0]
    head = bytes.fromhex(first.replace(" ", ""))

    assert head[:8] == b"GMMCLI\0\1"
    assert int.from_bytes(head[8:], "little") == 19_998
