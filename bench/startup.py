"""Start-up: how long a command takes that has next to nothing to do."""

import sys
import tempfile
from pathlib import Path

import machine
from children import GMMCLI, SKLEARN, gmmcli_command, run, script_command
from part import Part, Result, Target, Tell, at_most, median, table
from problems import Shape, write_table

TURNS, QUICK_TURNS = 10, 2
ROWS = Shape(10, 4, 2)
MODEL_ROWS = Shape(2_000, 4, 2)
PASS, HELP, PREDICT = "python -c pass", "gmmcli --help", "gmmcli predict, ten rows"
SCRIPT_HELP, SCRIPT = "scikit-learn script --help", "scikit-learn script, ten rows"


def measure(quick: bool, tell: Tell) -> Result:
    """Let the commands take turns, after one turn that does not count: it warms the caches of files."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_table(ROWS, directory / "ten.csv")
        write_table(MODEL_ROWS, directory / "table.csv")
        gmmcli, script = gmmcli_command(), script_command("sklearn_script.py")
        run([*gmmcli, "fit", "-m", "model", "-k", str(ROWS.components), "table.csv"], directory)
        commands = {
            PASS: [sys.executable, "-c", "pass"],
            HELP: [*gmmcli, "--help"],
            PREDICT: [*gmmcli, "predict", "-m", "model", "ten.csv"],
            SCRIPT_HELP: [*script, "--help"],
            SCRIPT: [*script, "ten.csv", str(ROWS.components), "out.csv"],
        }
        seconds: dict[str, list[float]] = {words: [] for words in commands}
        for turn in range(1 + (QUICK_TURNS if quick else TURNS)):
            for words, command in commands.items():
                used = run(command, directory)
                if turn:
                    seconds[words].append(used.seconds)
    for words, turns in seconds.items():
        tell(f"{words}: {median(turns):.3f} s")
    return {"seconds": seconds, "machine": machine.describe(GMMCLI, SKLEARN)}


def targets(result: Result | None) -> list[Target]:
    """Return what was asked of the commands, where Python itself takes 0.02 s."""
    seconds = result["seconds"] if result else {}
    found = []
    for words, wanted in ((HELP, 0.1), (PREDICT, 0.3)):
        measured = median(seconds[words]) if words in seconds else None
        target = at_most(f"`{words}`" if words == HELP else words, wanted, measured, " s")
        beside = f" (it takes {median(seconds[PASS]):.3f} s)" if measured is not None else ""
        text = None if measured is None else f"{target.measured}{beside}"
        asked = f"{target.asked} where `{PASS}` takes 0.02 s"
        found.append(Target(target.figure, asked, text, target.is_met))
    return found


def render(result: Result) -> list[str]:
    """Return the seconds of every command."""
    seconds = result["seconds"]
    ours = median(seconds[PREDICT])
    rows = [
        [words, f"{median(turns):.3f}", f"{min(turns):.3f}", f"{median(turns) / ours:.2f}"]
        for words, turns in seconds.items()
    ]
    turns = len(seconds[PASS])
    return [
        f"Seconds from start to end of a process, of {turns} turns. The script fits and predicts ten rows; "
        "gmmcli predicts them under a model that is there.",
        "",
        *table(["", "median, s", "least, s", "times gmmcli predict's"], rows),
    ]


PART = Part("startup", "Start-up", False, measure, targets, render)
