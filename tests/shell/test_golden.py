"""Golden cases: what is typed, and every byte of what comes back, through the installed program."""

from pathlib import Path

import pytest
from shell.session import Session, Step, assert_same, parse

CASES = sorted((Path(__file__).parent / "cases").glob("*.case"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_transcript_holds(session: Session, case: Path) -> None:
    """Every command of the case prints what the case says, and exits as it says."""
    steps = parse(case.read_text())

    assert steps
    for expected in steps:
        assert_same(session.run(expected.command), expected)


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("0.5", "0.6"),
        ("1 row", "2 rows"),
        ("aic 1000.1", "aic 1000.2"),
        ("abc", "a<...>d"),
        ("v 1e-5", "v 2e-5"),
    ],
)
def test_a_transcript_that_says_otherwise_is_noticed(line: str, model: str) -> None:
    """The comparison has teeth."""
    with pytest.raises(AssertionError):
        assert_same(Step("true", line + "\n"), Step("true", model + "\n"))


def test_the_last_digits_and_what_is_left_open_do_not_count() -> None:
    """The comparison forgives rounding and `<...>`, nothing else."""
    assert_same(Step("true", "a 0.30000000000000004 at 12:00\n"), Step("true", "a 0.3 at 12:00\n"))
    assert_same(Step("true", "pid 17 on host\n"), Step("true", "pid <...> on <...>\n"))
