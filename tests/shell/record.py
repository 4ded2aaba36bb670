"""Write what the program prints now into the transcripts: `record.py [CASE...]`. Then read the diff.

Lines that still hold are kept as they are, with their `<...>` and their digits. Without a case named, all are
recorded, and the tour of README.md too.
"""

import re
import sys
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from shell.session import Session, Step, agrees, parse

CASES = Path(__file__).parent / "cases"
README = Path(__file__).parents[2] / "README.md"


def kept(found: str, expected: str) -> list[str]:
    """Return the lines found, but as they were expected where they agree."""
    lines, wanted = found.splitlines(), expected.splitlines()
    if len(lines) != len(wanted):
        return lines
    return [model if agrees(line, model) else line for line, model in zip(lines, wanted, strict=True)]


def lines_of(found: Step, expected: Step) -> list[str]:
    """Return a step as lines of a transcript."""
    first, *more = found.command.splitlines()
    status = [f"? {found.status}"] if found.status else []
    errors = [f"! {line}" for line in kept(found.stderr, expected.stderr)]
    output = kept(found.stdout, expected.stdout)
    return [f"$ {first}", *(f"> {line}" for line in more), *output, *errors, *status]


def record_case(path: Path, geyser: Path) -> None:
    """Rewrite one case."""
    text = path.read_text()
    lines = list(takewhile(lambda line: not line.startswith("$ "), text.splitlines()))
    with TemporaryDirectory() as directory:
        session = Session(Path(directory), geyser)
        for expected in parse(text):
            lines += lines_of(session.run(expected.command), expected)
    path.write_text("\n".join(lines) + "\n")


def record_readme(directory: Path) -> None:
    """Rewrite the tour."""
    session = Session(directory)

    def record(block: re.Match[str]) -> str:
        lines: list[str] = []
        for expected in parse(block[1]):
            found = session.run_on_terminal(expected.command)
            found.status = 0  # a tour shows none
            lines += lines_of(found, expected)
        return "```console\n" + "\n".join(lines) + "\n```"

    README.write_text(re.sub(r"```console\n(.*?)```", record, README.read_text(), flags=re.DOTALL))


def main(names: list[str]) -> None:
    """Record the cases named, or everything."""
    with TemporaryDirectory() as directory:
        session = Session(Path(directory))
        assert session.run("gmmcli fit -m geyser -k 2 faithful.csv").status == 0
        for path in [CASES / f"{name}.case" for name in names] or sorted(CASES.glob("*.case")):
            record_case(path, session.directory / "geyser")
    if not names:
        with TemporaryDirectory() as directory:
            record_readme(Path(directory))


if __name__ == "__main__":
    main(sys.argv[1:])
