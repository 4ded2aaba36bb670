"""The programs whose iterations are compared, each behind the same few tasks.

A program's libraries are imported when it is made, so that a process holds those of one program alone.
"""

import statistics
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from problems import Array, Shape, Start, draw

ITERATIONS = 5
# No floor under the variances, so that the likelihoods of the programs can be compared to their last digits.
REG_COVAR = 0.0
CHUNK_ROWS = 65_536
Answer = dict[str, Any]


class Contender(Protocol):
    """A program in its own process."""

    def describe(self) -> Answer:
        """Return versions, and the kernel of BLAS in use."""

    def prepare(self, shape: Shape) -> Answer:
        """Draw the table of a problem."""

    def run(self, threads: int, **options: Any) -> Answer:
        """Do five iterations; return their seconds and the mean log-likelihood before the last M-step."""


def _blas(library: str) -> str:
    """Return the BLAS that a library brought along, with its kernel."""
    from threadpoolctl import threadpool_info

    found = [blas for blas in threadpool_info() if blas["user_api"] == "blas"]
    own = [blas for blas in found if library in blas["filepath"]] or found
    return (
        f"{own[0]['internal_api']} {own[0]['version']} {own[0].get('architecture', '')}" if own else "unknown"
    )


class Gmmcli:
    """gmmcli's engine in this process, on feature-major chunks as the program reads them."""

    def __init__(self) -> None:
        import gmmcli
        from gmmcli.core import mixture, rows, units
        from gmmcli.core.em import loop, maximisation
        from gmmcli.engine import blas, in_memory, local
        from gmmcli.tables import digest

        self._version, self._loop, self._units = gmmcli.__version__, loop, units
        self._Mixture, self._Rows, self._Rules = mixture.Mixture, rows.Rows, maximisation.Rules
        self._InMemoryTable, self._LocalEngine = in_memory.InMemoryTable, local.LocalEngine
        self._blas, self._digest = blas, digest

    def describe(self) -> Answer:
        """Return versions, and the kernel of BLAS in use."""
        versions = {"gmmcli": self._version, "numpy": np.__version__}
        return {"versions": versions, "kernel": self._blas.blas_kernel()}

    def prepare(self, shape: Shape) -> Answer:
        """Draw the table; return the seconds of what comes before the first pass of a fit."""
        problem = draw(shape)
        self._shape, self._start = shape, problem.start
        layout_s, self._chunks = _timed(lambda: _feature_major(problem.X))
        names = [f"x{j + 1}" for j in range(shape.columns)]
        digest_s, _ = _timed(lambda: self._digest.digest(names, self._chunks))
        units_s, _ = _timed(self._standardise)
        return {"layout_s": layout_s, "digest_s": digest_s, "units_s": units_s}

    def run(self, threads: int, start: dict[str, Any] | None = None) -> Answer:
        """Do five iterations, six E-steps in all."""
        first = self._start if start is None else Start(**{k: np.array(v) for k, v in start.items()})
        kind = self._shape.covariance_type
        mixture = self._Mixture(first.weights, first.means, first.covariances, kind)

        def iterate() -> tuple[tuple[float, ...], list[float]]:
            table = self._InMemoryTable([list(map(self._Rows, self._chunks))])
            engine, passes = self._LocalEngine(threads), []
            with self._blas.one_blas_thread(), engine.attached(table):
                origin, rules = self._loop.Origin(mixture), self._Rules(reg_covar=REG_COVAR)
                steps = self._loop.iterate(origin, engine, table, rules)
                for _ in range(1 + ITERATIONS):  # as in a fit, no step is held but the last
                    seconds, step = _timed(lambda: next(steps))
                    passes.append(seconds)
            return step.likelihoods, passes

        seconds, (likelihoods, passes) = _timed(iterate)
        return {
            "seconds": seconds,
            "pass_s": statistics.median(passes[2:]),  # workers have started, memory has been touched
            "log_likelihood": likelihoods[-2],
            "last_log_likelihood": likelihoods[-1],
        }

    def _standardise(self) -> None:
        """Bring the chunks to standard units, in which they are but for rounding."""
        units = self._units.measure(map(self._Rows, self._chunks)).units(common=False)
        for chunk in self._chunks:
            units.standardise(chunk)

    def peak(self, threads: int, order: int, trials: int) -> Answer:
        """Return the flops per second of the best square product, one for each thread at a time."""
        rng = np.random.default_rng(0)
        operands = [(*rng.normal(size=(2, order, order)), np.empty((order, order))) for _ in range(threads)]

        def multiply(operand: tuple[Array, Array, Array]) -> None:
            np.matmul(operand[0], operand[1], out=operand[2])

        with ThreadPoolExecutor(threads) as pool, self._blas.one_blas_thread():
            best = min(_timed(lambda: list(pool.map(multiply, operands)))[0] for _ in range(trials))
        return {"flops_per_second": threads * 2 * order**3 / best}


class ScikitLearn:
    """GaussianMixture of scikit-learn."""

    def __init__(self) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        warnings.simplefilter("ignore", ConvergenceWarning)
        self._GaussianMixture = GaussianMixture

    def describe(self) -> Answer:
        """Return versions, and the kernel of BLAS in use."""
        versions = {name: metadata.version(name) for name in ("scikit-learn", "numpy")}
        return {"versions": versions, "kernel": _blas("numpy")}

    def prepare(self, shape: Shape) -> Answer:
        """Draw the table."""
        problem = draw(shape)
        self._X, start = problem.X, problem.start
        self._model = self._GaussianMixture(
            shape.components,
            covariance_type=shape.covariance_type,
            tol=0.0,
            reg_covar=REG_COVAR,
            max_iter=ITERATIONS,
            init_params="random_from_data",  # what it costs, although nothing of it is used: the least
            weights_init=start.weights,
            means_init=start.means,
            precisions_init=start.covariances,  # identities, so their own inverses
        )
        return {}

    def run(self, threads: int) -> Answer:
        """Do five iterations and the last E-step."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(threads):
            seconds, _ = _timed(lambda: self._model.fit(self._X))
        return {"seconds": seconds, "log_likelihood": float(self._model.lower_bound_)}


class Mlpack:
    """gmm_train of mlpack: full covariances, all threads, a start of its own that cannot be replaced.

    Its seed counts for the first call in a process only: `start` and `run` are for different processes, where
    both begin at the same mixture.
    """

    def __init__(self) -> None:
        import mlpack

        self._mlpack = mlpack

    def describe(self) -> Answer:
        """Return versions, and the kernel of BLAS in use."""
        return {"versions": {"mlpack": metadata.version("mlpack")}, "kernel": _blas("mlpack")}

    def prepare(self, shape: Shape) -> Answer:
        """Draw the table."""
        self._X, self._shape = draw(shape).X, shape
        return {}

    def run(self, threads: int) -> Answer:
        """Make the start, then do five iterations, two E-steps each; the likelihood is that of the last."""
        seconds, model = self._train(1 + ITERATIONS)
        density = self._mlpack.gmm_probability(input_=self._X, input_model=model)["output"]
        return {"seconds": seconds, "log_likelihood": float(np.log(density).mean())}

    def start(self) -> Answer:
        """Make the start alone; return its seconds and the mixture."""
        seconds, model = self._train(1)
        parameters = model.get_cpp_params()["GMM"]
        mixture = {
            "weights": np.ravel(parameters["weights"]).tolist(),
            "means": [np.ravel(one["mean"]).tolist() for one in parameters["dists"]],
            "covariances": [one["covariance"].tolist() for one in parameters["dists"]],
        }
        return {"seconds": seconds, "mixture": mixture}

    def _train(self, count: int) -> tuple[float, Any]:
        """Return seconds and model; it counts the likelihood of the start as the first of its iterations."""
        seconds, result = _timed(
            lambda: self._mlpack.gmm_train(
                gaussians=self._shape.components,
                input_=self._X,
                max_iterations=count,
                kmeans_max_iterations=1,
                tolerance=0.0,
                seed=1,
            )
        )
        return seconds, result["output_model"]


def _timed(do: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result."""
    started = perf_counter()
    result = do()
    return perf_counter() - started, result


def _feature_major(X: Array) -> list[Array]:
    """Return chunks of shape (n_features, n_rows)."""
    return [np.ascontiguousarray(X[i : i + CHUNK_ROWS].T) for i in range(0, len(X), CHUNK_ROWS)]
