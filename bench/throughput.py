"""Throughput: rows per second and peak memory of predict and score, whole commands on files."""

import tempfile
from pathlib import Path

import machine
from children import GMMCLI, gmmcli_command, run
from part import Part, Result, Target, Tell, median, megabytes, table
from problems import Shape, write_table
from turns import TURNS

COLUMNS, COMPONENTS = 16, 16
# Two, to see whether memory grows with the table.
ROWS, QUICK_ROWS = (200_000, 1_000_000), (1_000, 2_000)
SUFFIXES = ("csv", "parquet")


def measure(quick: bool, tell: Tell) -> Result:
    """Let formats and verbs take turns on a shorter and a longer table."""
    measured: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for rows in QUICK_ROWS if quick else ROWS:
            for suffix in SUFFIXES:
                write_table(Shape(rows, COLUMNS, COMPONENTS), directory / f"table.{suffix}")
            if not measured:
                fit = ["fit", "-m", "model", "-k", str(COMPONENTS), "--init", "kmeans", "--steps", "5"]
                run([*gmmcli_command(), *fit, "table.csv"], directory)
            measured += _take_turns(rows, directory)
            for one in measured[-4:]:
                tell(f"{one['words']}, {rows:,} rows: {rows / median(one['seconds']):,.0f} rows/s")
    return {"measured": measured, "machine": machine.describe(GMMCLI)}


def _take_turns(rows: int, directory: Path) -> list[Result]:
    """Run predict and score in both formats."""
    commands = {}
    for suffix in SUFFIXES:
        table_name, output = f"table.{suffix}", f"out.{suffix}"
        commands[f"predict, {suffix} → {suffix}"] = ["predict", "-m", "model", "-o", output, table_name]
        commands[f"score, {suffix}"] = ["score", "-m", "model", table_name]
    usages = {words: [] for words in commands}
    for _ in range(TURNS):
        for words, command in commands.items():
            usages[words].append(run([*gmmcli_command(), *command], directory))
    return [
        {
            "words": words,
            "rows": rows,
            "seconds": [usage.seconds for usage in used],
            "cpu_seconds": [usage.cpu_seconds for usage in used],
            "peak_bytes": [usage.peak_bytes for usage in used],
        }
        for words, used in usages.items()
    ]


def targets(result: Result | None) -> list[Target]:
    """Return nothing: no figure was asked for."""
    return []


def render(result: Result) -> list[str]:
    """Return rows per second and memory, a line per verb, format and length."""
    rows = [
        [
            one["words"],
            f"{one['rows']:,}",
            f"{median(one['seconds']):.2f}",
            f"{one['rows'] / median(one['seconds']):,.0f}",
            f"{median(one['cpu_seconds']) / median(one['seconds']):.2f}",
            megabytes(max(one["peak_bytes"])),
        ]
        for one in sorted(result["measured"], key=lambda one: (str(one["words"]), int(one["rows"])))
    ]
    return [
        f"`gmmcli predict` and `gmmcli score` under full covariances, {COLUMNS} columns and {COMPONENTS} "
        f"components, from file to file, start-up included; median of {TURNS} turns.",
        "",
        *table(["", "rows", "seconds", "rows/s", "CPUs in use", "peak memory"], rows),
    ]


PART = Part("throughput", "Throughput of predict and score", False, measure, targets, render)
