"""What differs when a person looks: notes, the line about a success, colour, and what is refused."""

import re
from typing import get_args

import click
import pytest
from shell.session import Session

from gmmcli.cli import options
from gmmcli.cli.console import Console
from gmmcli.notices import Level, Notice


def test_a_fit_tells_what_it_left_out_and_what_it_came_to(empty_session: Session) -> None:
    """On a terminal information shows, and one line about the result."""
    result = empty_session.run_on_terminal("gmmcli fit -m flowers -k 1 iris.csv")

    note, summary = result.stdout.splitlines()
    assert note == 'gmmcli fit: note: skipped columns that are not numeric: "species"'
    assert summary.startswith("flowers checkpoint 1: 1 component, 2 steps, converged, mean log-likelihood -")


def test_the_line_about_a_fit_says_that_the_best_check_is_an_early_one(empty_session: Session) -> None:
    """Its steps and its convergence are those of the best check, not of the last step."""
    empty_session.run("head -9 faithful.csv > few.csv")
    result = empty_session.run_on_terminal(
        "gmmcli fit -m m -k 9 --no-progress --init random --accelerate none --tol 0"
        " --validation few.csv --checkpoint-steps 1 --patience 2 faithful.csv"
    )

    assert re.search(
        r"(\d+) steps?, not converged, best check of the validation table \(2 later", result.stdout
    )


def test_a_hint_completes_the_command_that_was_typed(empty_session: Session) -> None:
    """It has the words of the user, quoted, instead of placeholders."""
    result = empty_session.run_on_terminal("gmmcli fit -m 'a b' -k 2")

    assert result.stdout.splitlines()[1] == "hint: gmmcli fit -m 'a b' -k 2 table.csv"


def test_quiet_is_quiet_on_a_terminal(empty_session: Session) -> None:
    """With -q neither notes nor the line about the result show."""
    result = empty_session.run_on_terminal("gmmcli fit -q -m flowers -k 1 iris.csv")

    assert (result.status, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("switches", "shown"),
    [
        ("", {"information", "warning", "serious"}),
        ("-q", {"serious"}),
        ("-qq", set()),
        ("-v -q", {"serious"}),
    ],
)
def test_quiet_hides_what_is_not_serious_and_twice_quiet_hides_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], switches: str, shown: set[str]
) -> None:
    """What the seriousness is, the notice says; nothing else decides."""
    monkeypatch.setattr(Console, "stderr_is_terminal", True)
    monkeypatch.setattr(options.libraries, "load_job", lambda verb: None)
    monkeypatch.setattr(options.signals, "catch", lambda: None)

    @click.command
    @options.general
    def command(console: Console) -> None:
        for level in get_args(Level):
            console.notify(Notice("any", level, level))

    command.main(switches.split(), standalone_mode=False, obj=Console())

    assert set(re.findall(r"\w+$", capsys.readouterr().err, re.MULTILINE)) == shown


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fit -m new -k 2", "gmmcli fit: TABLE: none given, and stdin is a terminal"),
        (
            "predict -m geyser --output-format parquet faithful.csv",
            "gmmcli predict: --output-format parquet: cannot be written to a terminal",
        ),
    ],
)
def test_what_a_terminal_is_not_for_is_refused(session: Session, command: str, message: str) -> None:
    """Nobody types a table, and nobody reads Parquet."""
    result = session.run_on_terminal(f"gmmcli {command}")

    assert result.status == 2
    assert result.stdout.splitlines()[0] == message


@pytest.mark.parametrize(
    ("setting", "options", "colored"),
    [
        ("TERM=xterm", "", True),
        ("TERM=dumb", "", False),
        ("TERM=xterm NO_COLOR=1", "", False),
        ("TERM=xterm", "--no-color", False),
        ("TERM=dumb FORCE_COLOR=1", "", True),
    ],
)
def test_colour_follows_the_conventions(session: Session, setting: str, options: str, colored: bool) -> None:
    """Errors are coloured where terminal, environment and options agree to it."""
    result = session.run_on_terminal(f"{setting} gmmcli score {options} -m absent faithful.csv")

    assert result.status == 66
    assert ("\x1b[" in result.stdout) == colored


def test_a_pipe_gets_no_colour_unless_forced(session: Session) -> None:
    """Without a terminal there is no escape sequence, but with FORCE_COLOR."""
    command = "TERM=xterm gmmcli score -m absent faithful.csv"

    assert "\x1b" not in session.run(command).stderr
    assert "\x1b[" in session.run(f"FORCE_COLOR=1 {command}").stderr
