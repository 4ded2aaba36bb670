"""Measure gmmcli beside other programs, part by part; print what was found, and write it down.

Usage: run.py [--full] [--quick] [--save DIRECTORY] [PART]...

Without a part it measures those of `make bench`, with --full those of `make bench-full`. What the parts are,
their own modules say: iterations, share, likelihood; throughput, startup, growth.
"""

import argparse
import sys
import time
from pathlib import Path

from part import Part, Result
from plot import write_plot
from report import PARTS, read_results, render_page, render_part, render_targets, write_result


def tell(text: str) -> None:
    """Say what is being measured."""
    print(text, file=sys.stderr, flush=True)


def measure(part: Part, *, is_quick: bool) -> Result:
    """Measure one part and print its section."""
    started = time.perf_counter()
    result = part.measure(is_quick, tell)
    tell(f"{part.name}: measured in {time.perf_counter() - started:.0f} s")
    if is_quick:
        result["is_quick"] = True
    print("\n".join([*render_part(part, result), *render_targets((part,), {part.name: result})]), flush=True)
    return result


def save(directory: Path, part: Part, result: Result) -> None:
    """Write the result of a part down, and the page with it."""
    write_result(directory / "results", part, result)
    if part.name == "growth":
        write_plot(result, directory / "growth.svg")
    (directory / "RESULTS.md").write_text(render_page(read_results(directory / "results")))


def main() -> None:
    """Measure, print, write."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description="Measure gmmcli beside other programs.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(names)}")
    parser.add_argument("--full", action="store_true", help="the parts of make bench-full")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument(
        "--save", type=Path, metavar="DIRECTORY", help="where RESULTS.md and results/ are kept"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(names):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wanted = arguments.parts or [part.name for part in PARTS if part.is_short != arguments.full]
    for part in PARTS:
        if part.name in wanted:
            result = measure(part, is_quick=arguments.quick)
            if arguments.save is not None:
                save(arguments.save, part, result)


if __name__ == "__main__":
    main()
