"""RESULTS.md: written from the results of every part that was ever measured, each in its own file.

`make bench` measures some of the parts and `make bench-full` the others; the page always shows all of them.
"""

import json
from pathlib import Path

import growth
import iterations
import likelihood
import machine
import share
import startup
import throughput
from part import Part, Result, table

PARTS: tuple[Part, ...] = tuple(
    module.PART for module in (iterations, share, likelihood, throughput, startup, growth)
)
HEAD = """\
# Results

Written by `make bench` and `make bench-full` from the results of each part in `bench/results/`. A part that
the command does not measure stays as it was, with the machine that it was measured on.
"""


def read_results(directory: Path) -> dict[str, Result]:
    """Return the results that are there, by part."""
    paths = {part.name: directory / f"{part.name}.json" for part in PARTS}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def write_result(directory: Path, part: Part, result: Result) -> None:
    """Replace the result of one part."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (directory / f"{part.name}.json").write_text(f"{text}\n")


def render_page(results: dict[str, Result]) -> str:
    """Return the page as Markdown."""
    lines = [HEAD, "## Asked and measured", "", *render_targets(PARTS, results)]
    for part in PARTS:
        lines += render_part(part, results.get(part.name))
    return "\n".join(lines).rstrip("\n") + "\n"


def render_targets(parts: tuple[Part, ...], results: dict[str, Result]) -> list[str]:
    """Return what was asked beside what was measured."""
    targets = [target for part in parts for target in part.targets(results.get(part.name))]
    rows = [[target.figure, target.asked, target.measured or "", target.verdict] for target in targets]
    return table(["", "asked", "measured", "verdict"], rows, n_words=4) if rows else []


def render_part(part: Part, result: Result | None) -> list[str]:
    """Return a part's section."""
    lines = [f"## {part.title}", ""]
    if result is None:
        return [*lines, f"Not measured yet: `{part.command}`.", ""]
    if result.get("is_quick"):
        lines += ["**Of sizes that show that it works, and nothing else.**", ""]
    return [
        *lines,
        *part.render(result),
        f"Measured by `{part.command}` on {machine.to_text(result['machine'])}",
        "",
    ]
