"""Time to the same likelihood: a CSV in, a cluster for every row out, whole commands.

gmmcli fits and predicts; a script does the same with pandas and scikit-learn, another with mlpack. Each stops
where it would stop by default, so what counts is who is done first at a likelihood that is no worse.
"""

import json
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import machine
from children import GMMCLI, MLPACK, SKLEARN, Usage, environment, gmmcli_command, run, script_command
from part import Part, Result, Target, Tell, at_most, median, megabytes, significant, table
from problems import Shape, write_table
from turns import TURNS

SHAPE, QUICK_SHAPE = Shape(200_000, 16, 16), Shape(3_000, 4, 3)
TABLE = "table.csv"
SCRIPTS = {SKLEARN: "sklearn_script.py", MLPACK: "mlpack_script.py"}
# mlpack takes minutes, and is asked once.
REPEATS = {GMMCLI: TURNS, SKLEARN: TURNS, MLPACK: 1}
# Nats per row. Below it the same optimum was reached.
SAME = 1e-6


def measure(quick: bool, tell: Tell) -> Result:
    """Let the programs take turns on one file."""
    shape = QUICK_SHAPE if quick else SHAPE
    runs: dict[str, list[Result]] = {program: [] for program in REPEATS}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_table(shape, directory / TABLE)
        for turn in range(TURNS):
            for program in (name for name, repeats in REPEATS.items() if turn < repeats):
                if program == GMMCLI:
                    one = _run_gmmcli(shape, directory, turn)
                else:
                    one = _run_script(SCRIPTS[program], shape, directory)
                runs[program].append(one)
                tell(f"{program}: {one['seconds']:.1f} s to {one['log_likelihood']:.6f}")
    return {"shape": asdict(shape), "runs": runs, "machine": machine.describe(*REPEATS)}


def _run_gmmcli(shape: Shape, directory: Path, turn: int) -> Result:
    """Fit and predict; the likelihood is what the model says of its own table."""
    command, model = gmmcli_command(), f"model-{turn}"
    fit = run([*command, "fit", "-m", model, "-k", str(shape.components), TABLE], directory)
    predict = run([*command, "predict", "-m", model, TABLE], directory, "out.csv")
    inspect = [*command, "inspect", "-m", model, "--json"]
    text = subprocess.run(inspect, cwd=directory, env=environment(), capture_output=True, check=True).stdout
    report: dict[str, Any] = json.loads(text)
    return _summary([fit, predict], report["mean_log_likelihood"]) | {
        "fit_s": fit.seconds,
        "predict_s": predict.seconds,
        "steps": report["global_step"],
    }


def _run_script(name: str, shape: Shape, directory: Path) -> Result:
    """Run a script; the likelihood is what it prints."""
    command = [*script_command(name), TABLE, str(shape.components), "out.csv"]
    usage = run(command, directory, "printed")
    return _summary([usage], float((directory / "printed").read_text()))


def _summary(usages: list[Usage], log_likelihood: float) -> Result:
    """Return what commands used together, and how far they came."""
    return {
        "seconds": sum(usage.seconds for usage in usages),
        "peak_bytes": max(usage.peak_bytes for usage in usages),
        "log_likelihood": log_likelihood,
    }


def _seconds(result: Result, program: str) -> float:
    """Return the median seconds of a program."""
    return median([one["seconds"] for one in result["runs"][program]])


def _reached(result: Result, program: str) -> float:
    """Return the mean log-likelihood that a program came to at the least."""
    return min(float(one["log_likelihood"]) for one in result["runs"][program])


def targets(result: Result | None) -> list[Target]:
    """Return what was asked of the whole command."""
    share = lead = None
    if result is not None:
        share = _seconds(result, GMMCLI) / _seconds(result, SKLEARN)
        lead = _reached(result, GMMCLI) - _reached(result, SKLEARN)
    likelihood = Target(
        "mean log-likelihood, gmmcli's less the script's",
        "≥ 0",
        None if lead is None else f"{lead:+.6f}",
        lead is not None and lead >= -SAME,
    )
    return [at_most("time of fit + predict on a CSV over the script's", 0.333, share), likelihood]


def render(result: Result) -> list[str]:
    """Return who took how long, and came how far."""
    shape, ours = Shape(**result["shape"]), _reached(result, GMMCLI)
    rows = [
        [
            {GMMCLI: "gmmcli fit, gmmcli predict", SKLEARN: "pandas, scikit-learn", MLPACK: "pandas, mlpack"}[
                program
            ],
            significant(_seconds(result, program)),
            f"{_seconds(result, program) / _seconds(result, GMMCLI):.2f}",
            f"{_reached(result, program):.6f}",
            megabytes(median([one["peak_bytes"] for one in runs])),
        ]
        for program, runs in result["runs"].items()
    ]
    last = result["runs"][GMMCLI][-1]
    lines = [
        f"A CSV of {shape.rows:,} rows and {shape.columns} columns, {shape.components} components; "
        f"`gmmcli fit -m DIR -k {shape.components} {TABLE}` and `gmmcli predict -m DIR {TABLE}`, against "
        "`bench/sklearn_script.py` and `bench/mlpack_script.py`. Median of turns, mlpack once.",
        "",
        *table(["", "seconds", "times gmmcli's", "mean log-likelihood", "peak memory"], rows),
        f"gmmcli: fit {significant(last['fit_s'])} s for {last['steps']} steps, predict "
        f"{significant(last['predict_s'])} s.",
        "",
    ]
    for program in (SKLEARN, MLPACK):
        behind = _reached(result, program) - ours
        if behind > SAME:
            lines += [
                f"**gmmcli's likelihood is lower than that of {program}, by {behind:.6f} per row.**",
                "",
            ]
    return lines


PART = Part("likelihood", "Time to the same likelihood", True, measure, targets, render)
