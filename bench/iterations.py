"""Five iterations from the same start, in memory: gmmcli against scikit-learn and mlpack.

Both programs do whole what their users would have them do: five E-steps and M-steps and a last E-step.
"""

from dataclasses import asdict
from typing import Any

import machine
from children import GMMCLI, MLPACK, SKLEARN, Worker, available_cpus
from part import (
    Part,
    Result,
    Target,
    Tell,
    at_least,
    at_most,
    geometric_mean,
    median,
    plural,
    significant,
    table,
)
from problems import Shape
from turns import (
    TURNS,
    WARM_UP_S,
    Plan,
    disagreement,
    ratio,
    speedup,
    speedup_of_pass,
    take_turns,
    thread_counts,
)

FULL = (
    Shape(400_000, 2, 8),
    Shape(400_000, 8, 16),
    Shape(200_000, 16, 16),
    Shape(100_000, 16, 64),
    Shape(100_000, 32, 16),
    Shape(50_000, 64, 16),
    Shape(20_000, 128, 16),
)
OTHERS = tuple(Shape(400_000, 16, 16, kind) for kind in ("diag", "tied", "spherical"))
QUICK_FULL = (Shape(4_000, 2, 3), Shape(2_000, 13, 4))
QUICK_OTHERS = tuple(Shape(4_000, 4, 3, kind) for kind in ("diag", "tied", "spherical"))
MLPACK_SHAPE, QUICK_MLPACK_SHAPE = Shape(200_000, 16, 16), Shape(2_000, 4, 3)
# Turns of gmmcli take a tenth of a second, of which a disturbance is a large part, and cores differ.
OWN_TURNS = 21
# The kernel that is forced on both in the second column.
KERNEL = "Haswell"
LONG = 100  # expanded length from which more is asked of two threads


def measure(quick: bool, tell: Tell) -> Result:
    """Let the programs take turns on every shape."""
    shapes = QUICK_FULL + QUICK_OTHERS if quick else FULL + OTHERS
    # A turn of scikit-learn takes seconds: its slower number of threads and the second kernel have one each.
    installed = {
        GMMCLI: Plan(OWN_TURNS, thread_counts(GMMCLI)),
        SKLEARN: Plan(TURNS, thread_counts(SKLEARN), settles=True),
    }
    forced = {GMMCLI: Plan(TURNS, (available_cpus(),)), SKLEARN: Plan(1, (available_cpus(),))}
    measured, _ = _compare(shapes, installed, None, tell)
    again, kernels = _compare(shapes, forced, KERNEL, tell)
    return {
        "installed": measured,
        "forced": again,
        "forced_kernels": kernels,
        "mlpack": _compare_mlpack(QUICK_MLPACK_SHAPE if quick else MLPACK_SHAPE, tell),
        "machine": machine.describe(GMMCLI, SKLEARN, MLPACK),
    }


def _compare(
    shapes: tuple[Shape, ...], plans: dict[str, Plan], kernel: str | None, tell: Tell
) -> tuple[list[Result], dict[str, str]]:
    """Measure gmmcli and scikit-learn under one kernel; return also the kernels that they had."""
    measured = []
    with Worker(GMMCLI, kernel) as ours, Worker(SKLEARN, kernel) as theirs:
        for shape in shapes:
            measured.append(take_turns({GMMCLI: ours, SKLEARN: theirs}, shape, plans))
            tell(f"{shape}, kernel {kernel or 'as installed'}: {ratio(measured[-1]):.1f} times faster")
        kernels = {worker.program: worker.ask("describe")["kernel"] for worker in (ours, theirs)}
    return measured, kernels


def _compare_mlpack(shape: Shape, tell: Tell) -> Result:
    """Measure mlpack once, and gmmcli from the start that mlpack makes for itself."""
    answers: dict[str, Any] = {}
    for task, arguments in (("start", {}), ("run", {"threads": available_cpus()})):
        with Worker(MLPACK) as theirs:
            theirs.ask("prepare", shape=asdict(shape))
            answers[task] = theirs.ask(task, **arguments)
    with Worker(GMMCLI) as ours:
        ours.ask("prepare", shape=asdict(shape))
        start = answers["start"]["mixture"]
        runs = [ours.ask("run", threads=available_cpus(), start=start) for _ in range(TURNS)]
    measured = {
        "shape": asdict(shape),
        "seconds": {
            GMMCLI: [run["seconds"] for run in runs],
            MLPACK: [answers["run"]["seconds"] - answers["start"]["seconds"]],
        },
        "log_likelihoods": {
            GMMCLI: [run["last_log_likelihood"] for run in runs],
            MLPACK: [answers["run"]["log_likelihood"]],
        },
    }
    tell(f"{shape}, mlpack: {_mlpack_ratio(measured):.1f} times faster")
    return measured


def _mlpack_ratio(measured: Result) -> float:
    """Return how many times faster gmmcli is than mlpack."""
    return median(measured["seconds"][MLPACK]) / median(measured["seconds"][GMMCLI])


def targets(result: Result | None) -> list[Target]:
    """Return what was asked of speed, of threads and of the likelihood."""
    installed = result["installed"] if result else []
    full = [one for one in installed if one["shape"]["covariance_type"] == "full"]
    ratios = [ratio(one) for one in full]
    found = [
        at_least(
            "geometric mean of the ratios of the full shapes", 10, geometric_mean(ratios) if full else None
        ),
        at_least("lowest ratio of the full shapes", 2.5, min(ratios, default=None)),
    ]
    for kind, wanted in (("diag", 8), ("spherical", 8), ("tied", 25)):
        of_kind = [ratio(one) for one in installed if one["shape"]["covariance_type"] == kind]
        found.append(at_least(f"ratio, {kind}", wanted, min(of_kind, default=None)))
    differences = [disagreement(one) for one in installed + (result["forced"] if result else [])]
    found.append(
        at_most("relative difference of log-likelihoods, no floor", 1e-8, max(differences, default=None))
    )
    for words, wanted, is_long in ((f"D ≥ {LONG}", 1.8, True), (f"D < {LONG}", 1.6, False)):
        of_length = [one for one in full if (Shape(**one["shape"]).expanded_length >= LONG) == is_long]
        for name, ratio_of in (("a pass", speedup_of_pass), ("five iterations", speedup)):
            speedups = [speed for speed in map(ratio_of, of_length) if speed is not None]
            figure = f"two threads over one, {name}, lowest of the full shapes with {words}"
            found.append(at_least(figure, wanted, min(speedups, default=None)))
    return found


def render(result: Result) -> list[str]:
    """Return what was measured, shape by shape."""
    installed, forced, mlpack = result["installed"], result["forced"], result["mlpack"]
    runs = [(program, n) for program, by_n in installed[0]["seconds"].items() for n in by_n]
    heads = [
        "rows, columns, components",
        "D",
        *(f"{program}, {plural(int(n), 'thread')}" for program, n in runs),
    ]
    heads += ["ratio", f"ratio, {KERNEL}", "two threads over one", "of a pass"]
    rows = []
    for one, again in zip(installed, forced, strict=True):
        shape, speed, of_pass = Shape(**one["shape"]), speedup(one), speedup_of_pass(one)
        is_full = shape.covariance_type == "full"
        rows.append(
            [
                str(shape),
                str(shape.expanded_length) if is_full else "",
                *(f"{median(one['seconds'][program][n]):.3f}" for program, n in runs),
                f"{ratio(one):.1f}",
                f"{ratio(again):.1f}",
                f"{speed:.2f}" if speed else "",
                f"{of_pass:.2f}" if of_pass else "",
            ]
        )
    forced_on = "; ".join(f"{program}: {kernel}" for program, kernel in result["forced_kernels"].items())
    return [
        f"Seconds for five iterations from the same start, median of {OWN_TURNS} turns of gmmcli and "
        f"{TURNS} of scikit-learn (whose slower number of threads had one); full covariances where nothing "
        "else is said. A ratio is that of the better times of both programs, each on the BLAS kernel "
        f"of its own choice. The ratio beside it is that of both programs made to use {KERNEL}'s, with all "
        f"threads, one turn of scikit-learn ({forced_on}). Workers are made anew for every five iterations; "
        "the last column is of a pass by workers that are there, as in a fit all passes are but the first. "
        f"Every CPU is kept busy for {WARM_UP_S} s before each turn, so that none has to wake up in it.",
        "",
        *table(heads, rows),
        f"mlpack, {Shape(**mlpack['shape'])}, all threads, from the start that it makes (not counted): "
        f"{significant(median(mlpack['seconds'][MLPACK]))} s in one turn; gmmcli from that start "
        f"{significant(median(mlpack['seconds'][GMMCLI]))} s; ratio {_mlpack_ratio(mlpack):.1f}; the "
        f"log-likelihoods differ by {disagreement(mlpack):.0e} of their size.",
        "",
    ]


PART = Part("iterations", "Five iterations", True, measure, targets, render)
