"""Growth: seconds per row and iteration as rows, components or columns become more, the others staying."""

from dataclasses import replace
from typing import Any

import machine
from children import GMMCLI, SKLEARN, Worker, available_cpus
from contenders import ITERATIONS
from part import Part, Result, Target, Tell, median, plural, significant, table
from problems import Shape
from turns import TURNS, Plan, take_turns

DOUBLINGS = (2, 4, 8, 16, 32, 64, 128, 256)
ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
# What grows, from which size, through which values.
AXES: dict[str, tuple[Shape, tuple[int, ...]]] = {
    "rows": (Shape(10_000, 16, 16), ROWS),
    "components": (Shape(100_000, 16, 2), DOUBLINGS),
    "columns": (Shape(20_000, 2, 16), DOUBLINGS),
}
QUICK_AXES: dict[str, tuple[Shape, tuple[int, ...]]] = {
    "rows": (Shape(1_000, 4, 3), (1_000, 3_000)),
    "components": (Shape(2_000, 4, 2), (2, 4)),
    "columns": (Shape(2_000, 2, 3), (2, 4)),
}
# A run that would take longer is left out, and one that takes this long is not repeated.
LONGEST_S, LONG_S = 60.0, 5.0


def measure(quick: bool, tell: Tell) -> Result:
    """Walk along each axis, scikit-learn as far as it keeps up."""
    axes = QUICK_AXES if quick else AXES
    measured: dict[str, list[Result]] = {axis: [] for axis in axes}
    threads = tuple(sorted({1, available_cpus()}))
    with Worker(GMMCLI) as ours, Worker(SKLEARN) as theirs:
        for axis, (first, values) in axes.items():
            expected = 0.0
            for value in values:
                shape = replace(first, **{axis: value})
                workers = {GMMCLI: ours, SKLEARN: theirs}
                if expected > LONGEST_S:
                    del workers[SKLEARN]
                turns = 1 if expected > LONG_S else TURNS
                plans = {GMMCLI: Plan(TURNS, threads), SKLEARN: Plan(turns, threads[-1:])}
                measured[axis].append(take_turns(workers, shape, plans))
                seconds = measured[axis][-1]["seconds"]
                if SKLEARN in seconds:
                    # Three times as many rows, or twice as many columns, whose number goes in squared.
                    expected = 4 * median(seconds[SKLEARN][str(available_cpus())])
                tell(f"{axis} {value:,}: {seconds}")
    return {"axes": measured, "machine": machine.describe(GMMCLI, SKLEARN)}


def curves(result: Result, axis: str) -> dict[str, list[tuple[int, float]]]:
    """Return by program and threads the points (value on the axis, seconds per row and iteration)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for one in result["axes"][axis]:
        for program, by_threads in one["seconds"].items():
            for threads, seconds in by_threads.items():
                name = f"{program}, {plural(int(threads), 'thread')}"
                rate = median(seconds) / (ITERATIONS * one["shape"]["rows"])
                found.setdefault(name, []).append((one["shape"][axis], rate))
    return found


def fixed(result: Result, axis: str) -> str:
    """Return what stays on an axis, in words."""
    shape: dict[str, Any] = result["axes"][axis][0]["shape"]
    return ", ".join(f"{shape[name]:,} {name}" for name in ("rows", "columns", "components") if name != axis)


def targets(result: Result | None) -> list[Target]:
    """Return nothing: no figure was asked for."""
    return []


def render(result: Result) -> list[str]:
    """Return the plot and a table for every axis."""
    lines = [
        f"Time per row and iteration: that of {ITERATIONS} iterations, over {ITERATIONS} times the rows; "
        f"full covariances; scikit-learn as far as it needs no more than about {LONGEST_S:.0f} s for them.",
        "",
        "![Time per row and iteration against rows, components and columns](growth.svg)",
        "",
    ]
    for axis in result["axes"]:
        by_name = {name: dict(points) for name, points in curves(result, axis).items()}
        values = [one["shape"][axis] for one in result["axes"][axis]]
        rows = [
            [f"{value:,}", *(_nanoseconds(points.get(value)) for points in by_name.values())]
            for value in values
        ]
        heads = [axis, *(f"{name}, ns" for name in by_name)]
        lines += [f"Of {axis}, with {fixed(result, axis)}:", "", *table(heads, rows, n_words=0)]
    return lines


def _nanoseconds(seconds: float | None) -> str:
    """Return a time as nanoseconds, or nothing."""
    return "" if seconds is None else significant(1e9 * seconds)


PART = Part("growth", "Growth", False, measure, targets, render)
