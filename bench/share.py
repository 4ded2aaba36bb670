"""The share of the machine: what gmmcli's passes reach of the matrix products that the machine is capable of.

4·K·D·n flops per pass over the time, against the best square product of the same process and kernel, one for
each worker at a time.
"""

from dataclasses import asdict

import machine
from children import GMMCLI, Worker
from contenders import ITERATIONS
from part import Part, Result, Target, Tell, at_least, median, plural, table
from problems import Shape
from turns import TURNS, thread_counts

PASSES = ITERATIONS + 1  # E-steps
SHAPES = (Shape(200_000, 16, 16), Shape(100_000, 16, 64))
ASKED = {SHAPES[0]: 0.30, SHAPES[1]: 0.45}
QUICK_SHAPES = (Shape(2_000, 4, 3),)
ORDER, QUICK_ORDER = 2_048, 256
TRIALS = 3
PREPARATION = ("digest_s", "units_s", "layout_s")


def measure(quick: bool, tell: Tell) -> Result:
    """Measure products and passes in turns."""
    shapes, order = (QUICK_SHAPES, QUICK_ORDER) if quick else (SHAPES, ORDER)
    measured = []
    with Worker(GMMCLI) as worker:
        for shape in shapes:
            preparation = worker.ask("prepare", shape=asdict(shape))
            for threads in thread_counts(GMMCLI):
                peaks, seconds = [], []
                for _ in range(TURNS):
                    peak = worker.ask("peak", threads=threads, order=order, trials=TRIALS)
                    peaks.append(peak["flops_per_second"])
                    seconds.append(worker.ask("run", threads=threads)["seconds"])
                measured.append(
                    {
                        "shape": asdict(shape),
                        "threads": threads,
                        "seconds": seconds,
                        "peaks": peaks,
                        "preparation": preparation,
                    }
                )
                tell(f"{shape}, {plural(threads, 'thread')}: {_share(measured[-1]):.0%} of the products")
    return {"order": order, "measured": measured, "machine": machine.describe(GMMCLI)}


def _rate(one: Result) -> float:
    """Return the flops per second of the passes."""
    return PASSES * Shape(**one["shape"]).flops / median(one["seconds"])


def _share(one: Result) -> float:
    """Return what the passes reach of the best product."""
    return _rate(one) / max(one["peaks"])


def targets(result: Result | None) -> list[Target]:
    """Return what was asked of the share, all threads."""
    found = []
    for shape, wanted in ASKED.items():
        of_shape = [one for one in (result or {}).get("measured", []) if Shape(**one["shape"]) == shape]
        most = max(of_shape, key=lambda one: int(one["threads"]), default=None)
        measured = None if most is None else 100 * _share(most)
        found.append(at_least(f"share of the products' speed, {shape}", 100 * wanted, measured, " %"))
    return found


def render(result: Result) -> list[str]:
    """Return rates, shares and what a fit does before its first pass."""
    heads = [
        "rows, columns, components",
        "threads",
        "five iterations, s",
        "GFLOP/s",
        "products, GFLOP/s",
        "share",
    ]
    rows = [
        [
            str(Shape(**one["shape"])),
            str(one["threads"]),
            f"{median(one['seconds']):.3f}",
            f"{_rate(one) / 1e9:.1f}",
            f"{max(one['peaks']) / 1e9:.1f}",
            f"{_share(one):.0%}",
            *(f"{one['preparation'][name]:.3f}" for name in PREPARATION),
        ]
        for one in result["measured"]
    ]
    order = result["order"]
    return [
        f"4·K·D·n flops for each of the {PASSES} passes of five iterations, against the best product of "
        f"two square matrices of {order:,} in the same process, one for each thread at a time. The time is "
        "that of the call in memory; what a fit does once before it, in one thread, stands beside it and is "
        "not in the share.",
        "",
        *table([*heads, "digest, s", "units, s", "layout, s"], rows),
    ]


PART = Part("share", "Share of the machine", True, measure, targets, render)
