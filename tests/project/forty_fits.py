"""Forty fits and the content digest of each: a change that must not change results prints the same list.

Usage: forty_fits.py PROGRAM > digests.txt, with the gmmcli before the change and with the one after it; then
diff both. The digests of one machine are comparable, those of two need not be: BLAS kernels differ.
"""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parents[2] / "examples"
TYPES = ("full", "tied", "diag", "spherical")
STARTS = ("auto", "kmeans", "kmeans++", "random")

# What one fit is: a name, and the options of the runs that follow one another in one model directory.
Fit = tuple[str, tuple[str, ...]]


def forty_fits() -> list[Fit]:
    """Return the name and the runs of every fit."""
    fits: list[Fit] = []
    for kind in TYPES:
        check = "--validation more.csv --checkpoint-steps 2"
        table = f"-k 3 --covariance-type {kind} blobs.csv"
        fits += [(f"{kind} {start} counted", (f"--init {start} --steps 7 {table}",)) for start in STARTS]
        fits += [
            (f"{kind} converged", (f"--accelerate none {table}",)),
            (f"{kind} accelerated", (f"--seed 1 {table}",)),
            (f"{kind} resumed", (f"--max-iter 4 {table}", table)),
            (
                f"{kind} batches",
                (f"--batch-size 300 --steps 9 {table}", f"--batch-size 300 --max-iter 6 {table}"),
            ),
            (f"{kind} partial", (table, f"--partial --steps 2 --decay 0.9 {table.replace('blobs', 'more')}")),
            (
                f"{kind} validation",
                (f"{check} --init random --steps 6 {table}", f"{check} --patience 3 {table}"),
            ),
        ]
    return fits


def write_tables(directory: Path) -> None:
    """Write the tables that the fits read: overlapping clusters, so that runs are not over at once."""
    rng = np.random.default_rng(20261127)
    for name, n_rows in (("blobs", 2000), ("more", 900)):
        centers = rng.integers(0, 3, n_rows)[:, None] * np.array([1.5, 1.0, 0.5, 2.0])
        rows = centers + rng.standard_normal((n_rows, 4)) @ np.diag([1.0, 0.7, 2.0, 0.4])
        np.savetxt(directory / f"{name}.csv", rows, delimiter=",", header="a,b,c,d", comments="", fmt="%.6f")


def digest_of(program: Path, directory: Path, number: int, runs: tuple[str, ...]) -> str:
    """Return the content digest that the last of some runs leaves."""
    for options in runs:
        command = [program, "fit", "-q", "--json", "-m", f"model{number}", *options.split()]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"status {done.returncode}: {done.stderr.strip()}"
    return str(json.loads(done.stdout)["content_digest"])


def main() -> None:
    """Print name and digest of every fit."""
    program, fits = Path(sys.argv[1]).absolute(), forty_fits()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        directory = Path(folder)
        write_tables(directory)
        digests = pool.map(lambda i: digest_of(program, directory, i, fits[i][1]), range(len(fits)))
        for (name, _), digest in zip(fits, digests, strict=True):
            print(f"{digest}  {name}", flush=True)


if __name__ == "__main__":
    main()
