"""The manual that is committed is the one that the program would write now."""

import subprocess
import sys
from pathlib import Path

import pytest

from gmmcli.cli.app import VERBS

ROOT = Path(__file__).parents[2]
SECTIONS = (
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "EXIT STATUS",
    "ENVIRONMENT",
    "EXAMPLES",
    "SEE ALSO",
)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of pages and completions made from the installed program."""
    directory = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, str(ROOT / "man/build.py"), str(directory)], check=True)
    return directory


def test_committed_pages_are_up_to_date(rebuilt: Path) -> None:
    """Every page and completion script equals the one built now (else: make man)."""
    built = {path.relative_to(rebuilt): path.read_text() for path in rebuilt.rglob("*") if path.is_file()}
    committed = {path: (ROOT / "man" / path).read_text() for path in built}

    assert len(built) == len(VERBS) + 2 + 3
    assert built == committed


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_a_page_has_the_sections_that_readers_expect(verb: str) -> None:
    """The page of every command has the same sections, in the same order."""
    page = (ROOT / "man" / f"gmmcli{'-' * bool(verb)}{verb}.1").read_text()

    headings = [line.removeprefix(".SH ") for line in page.splitlines() if line.startswith(".SH ")]

    assert [heading for heading in headings if heading in SECTIONS] == list(SECTIONS)


def test_the_wheel_brings_pages_and_completions() -> None:
    """The wheel puts them where man and the shells look, below the prefix that it is installed in."""
    share = Path(sys.prefix) / "share"
    expected = {
        "man/man5/gmmcli-model-dir.5",
        "bash-completion/completions/gmmcli",
        "fish/vendor_completions.d/gmmcli.fish",
        "zsh/site-functions/_gmmcli",
        "man/man1/gmmcli.1",
        *(f"man/man1/gmmcli-{verb}.1" for verb in VERBS),
    }

    assert {name for name in expected if not (share / name).is_file()} == set()


def test_bash_completes_an_option() -> None:
    """The script for bash offers the options that begin as typed."""
    script = f"""
        PATH={Path(sys.executable).parent}:$PATH
        source {ROOT}/man/completions/gmmcli.bash
        COMP_WORDS=(gmmcli fit --cov) COMP_CWORD=2
        _gmmcli_completion gmmcli
        echo "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)

    assert result.stdout == "--covariance-type\n"
