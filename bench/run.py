"""Measure expectation maximisation against scikit-learn: the same table, the same start, the same iterations.

Seconds for five full-covariance iterations, that is six E-steps and five M-steps of either program. The two
take turns, so that a machine that slows down slows both; the median of the turns counts. A run whose two
likelihoods differ is an error, not a result.

Usage: run.py [--quick] [--output FILE]
"""

import argparse
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from gmmcli.core import em
from gmmcli.core.mixture import Mixture
from gmmcli.engine.local import LocalEngine, available_cpus, blas_kernel, one_blas_thread

ITERATIONS = 5
REG_COVAR = 1e-6
TURNS = 3
CHUNK_ROWS = 65_536
SAME_LIKELIHOOD = 1e-8
# Rows, columns, components.
SHAPES = (
    (400_000, 2, 8),
    (400_000, 8, 16),
    (200_000, 16, 16),
    (100_000, 16, 64),
    (100_000, 32, 16),
    (50_000, 64, 16),
    (20_000, 128, 16),
)
QUICK_SHAPES = ((20_000, 2, 8), (10_000, 16, 16))

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A table of shape (n_rows, n_features) in standard units, and a mixture to start from."""

    X: Array
    start: Mixture


@dataclass(frozen=True)
class Measurement:
    """Median seconds of one shape by program and number of threads."""

    shape: tuple[int, int, int]
    seconds: dict[tuple[str, int], float]


def make_problem(shape: tuple[int, int, int]) -> Problem:
    """Draw a table from overlapping Gaussians, and start from its first rows."""
    n, d, K = shape
    rng = np.random.default_rng([n, d, K])
    labels = rng.integers(K, size=n)
    X = rng.normal(scale=2.0, size=(K, d))[labels]
    mixing = rng.normal(size=(K, d, d)) / np.sqrt(d)
    for k in range(K):
        rows = labels == k
        X[rows] += rng.normal(size=(int(rows.sum()), d)) @ mixing[k]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    covariances = np.repeat(np.eye(d)[None], K, axis=0)
    return Problem(X, Mixture(np.full(K, 1.0 / K), X[:K].copy(), covariances, "full"))


def prepare_gmmcli(problem: Problem) -> Callable[[int], float]:
    """Return a run by number of threads; it returns the mean log-likelihood before its last M-step."""
    chunks = [
        np.ascontiguousarray(problem.X[first : first + CHUNK_ROWS].T)
        for first in range(0, len(problem.X), CHUNK_ROWS)
    ]

    def run(n_threads: int) -> float:
        engine = LocalEngine([chunks], n_threads)
        with one_blas_thread():
            pairs = em.iterate(problem.start, engine.expectation, reg_covar=REG_COVAR)
            last = next(pair for pair in pairs if pair.step == ITERATIONS)
        return last.likelihoods[-2]

    return run


def prepare_sklearn(problem: Problem) -> Callable[[int], float]:
    """Return a run by number of threads; it returns the mean log-likelihood before its last M-step."""
    model = GaussianMixture(
        len(problem.start.weights),
        tol=0.0,
        reg_covar=REG_COVAR,
        max_iter=ITERATIONS,
        init_params="random_from_data",
        weights_init=problem.start.weights,
        means_init=problem.start.means,
        precisions_init=np.linalg.inv(problem.start.covariances),
    )

    def run(n_threads: int) -> float:
        with threadpool_limits(n_threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(problem.X)
        return float(model.lower_bound_)

    return run


def measure(shape: tuple[int, int, int]) -> Measurement:
    """Let the programs take turns on one shape.

    Raises
    ------
    RuntimeError
        Their likelihoods differ: they did not do the same work.
    """
    problem = make_problem(shape)
    programs = {"gmmcli": prepare_gmmcli(problem), "scikit-learn": prepare_sklearn(problem)}
    threads = sorted({1, available_cpus()})
    seconds: dict[tuple[str, int], list[float]] = {(name, n): [] for name in programs for n in threads}
    for _ in range(TURNS):
        likelihoods = []
        for name, n in seconds:
            started = time.perf_counter()
            likelihoods.append(programs[name](n))
            seconds[name, n].append(time.perf_counter() - started)
        if max(likelihoods) - min(likelihoods) > SAME_LIKELIHOOD * max(1.0, abs(likelihoods[0])):
            raise RuntimeError(f"{shape}: likelihoods differ: {likelihoods}")
    return Measurement(shape, {key: statistics.median(times) for key, times in seconds.items()})


def describe_machine() -> str:
    """Return what the numbers depend on, as a list in Markdown."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("gmmcli", "numpy", "scikit-learn"))
    return "\n".join(
        (
            f"- Processor: {_processor()}, {available_cpus()} of {os.cpu_count()} cores in use",
            f"- System: {platform.system()} {platform.machine()}, Python {platform.python_version()}",
            f"- Versions: {versions}",
            f"- BLAS of numpy: {blas_kernel()}",
        )
    )


def _processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def report(measurements: list[Measurement]) -> str:
    """Return the results as a page of Markdown."""
    columns = list(measurements[0].seconds)
    heads = [f"{name}, {n} thread{'s' * (n > 1)}" for name, n in columns]
    lines = [
        "# Results",
        "",
        f"Seconds for {ITERATIONS} full-covariance iterations from the same start, median of {TURNS} turns;",
        "written by `make bench`. The ratio is that of the better times of both programs.",
        "",
        describe_machine(),
        "",
        f"| rows, columns, components | {' | '.join(heads)} | ratio |",
        "|---" + "|---:" * (len(heads) + 1) + "|",
    ]
    for measurement in measurements:
        seconds = measurement.seconds
        best = {name: min(t for (owner, _), t in seconds.items() if owner == name) for name, _ in columns}
        cells = [f"{seconds[column]:.3f}" for column in columns]
        ratio = best["scikit-learn"] / best["gmmcli"]
        lines.append(f"| {', '.join(map(str, measurement.shape))} | {' | '.join(cells)} | {ratio:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure fit against scikit-learn.")
    parser.add_argument("--quick", action="store_true", help="two small shapes, to see that it works")
    parser.add_argument("--output", type=Path, help="file to write as well")
    arguments = parser.parse_args()
    measurements = []
    for shape in QUICK_SHAPES if arguments.quick else SHAPES:
        measurements.append(measure(shape))
        print(shape, measurements[-1].seconds, file=sys.stderr)
    page = report(measurements)
    print(page)
    if arguments.output is not None:
        arguments.output.write_text(page)


if __name__ == "__main__":
    main()
