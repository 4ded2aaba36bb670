"""What every method of the estimator stands on: its parameters, its directory, and the jobs."""

import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any, Self, cast

from gmmcli.core.em import PARAMS
from gmmcli.errors import NotFound, TableUnusable, Usage
from gmmcli.gmm.arguments import LOG, Monitor, RunConfig, Step, is_any_done, log_notice, operand_of, validate
from gmmcli.jobs import inspect as inspection
from gmmcli.jobs.evaluation import evaluate_table
from gmmcli.jobs.fit import fit
from gmmcli.jobs.fit_report import FitReport
from gmmcli.jobs.fit_request import FitRequest
from gmmcli.jobs.origin import WORDS
from gmmcli.jobs.reading import TableRequest, reading
from gmmcli.jobs.score import ScoreReport, ScoreRequest, score
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.model_dir import ModelDir
from gmmcli.tables.columns import select_features
from gmmcli.tables.held import InMemory
from gmmcli.tables.memory import write_means


class Base:
    """A model directory and how it is fitted. See `GMM` for the parameters."""

    def __init__(
        self,
        num_clusters: int,
        model_dir: str | PathLike[str] | None = None,
        random_seed: int = 0,
        params: str = PARAMS,
        initial_clusters: Any = "random",
        covariance_type: str = "full",
        config: RunConfig | None = None,
        *,
        restarts: int | None = None,
        tol: float = 1e-6,
        reg_covar: float = 1e-6,
        missing: str = "error",
        accelerate: str = "auto",
        n_threads: int | None = None,
    ) -> None:
        given = dict(locals())
        self._params = {name: given[name] for name in _NAMES}
        self._temporary: Path | None = None
        validate(self._params)

    def __repr__(self) -> str:
        given = {name: repr(value) for name, value in self._params.items()}
        changed = [f"{name}={text}" for name, text in given.items() if text != repr(_DEFAULTS[name])]
        return f"{type(self).__name__}({', '.join(changed)})"

    @property
    def config(self) -> RunConfig:
        """How runs write checkpoints."""
        config: RunConfig | None = self._params["config"]
        return RunConfig() if config is None else config

    @property
    def model_dir(self) -> str:
        """The model directory."""
        return str(self._directory())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        del deep  # none of them is an estimator
        return dict(self._params)

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor.

        Raises
        ------
        ValueError
            One is unknown, or makes no sense.
        """
        if unknown := set(params) - set(_NAMES):
            raise Usage(min(unknown), "is no parameter", f"one of {', '.join(_NAMES)}")
        chosen = {**self._params, **params}
        validate(chosen)
        self._params = chosen
        return self

    def _directory(self) -> Path:
        """Return the model directory; make a temporary one where none was given."""
        if self._params["model_dir"] is not None:
            return Path(self._params["model_dir"])
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="gmmcli-"))
            LOG.warning("no model_dir given: the model is in %s", self._temporary)
        return self._temporary

    def _has_model(self) -> bool:
        """Tell whether the directory holds a checkpoint."""
        if self._params["model_dir"] is None and self._temporary is None:
            return False
        try:
            return bool(inspection.list_generations(self._directory()))
        except NotFound:
            return False

    def _load(self, generation: int | None = None) -> Checkpoint:
        """Return the newest checkpoint, or another.

        Raises
        ------
        ValueError
            There is no model yet.
        GmmError
        """
        if not self._has_model():
            raise _not_fitted(self)
        return ModelDir(self._directory()).load(generation).checkpoint

    def _operand(self, x: Any, y: Any, input_fn: Callable[[], Any] | None) -> str | InMemory:
        """Return a table to learn from; an array's columns are named as those of a model that is there."""
        operand = operand_of(x, y, input_fn)
        return named(operand, self._load()) if self._has_model() else operand

    def _table(self, operand: str | InMemory) -> TableRequest:
        """Return the request for a table."""
        return TableRequest((operand,), n_threads=self._params["n_threads"])

    def _evaluate(
        self, operand: str | InMemory, wanted: Collection[str], generation: int | None = None
    ) -> dict[str, Any]:
        """Return quantities of all rows of a table, each of shape (n_rows,) or (n_rows, num_clusters)."""
        checkpoint = self._load(generation)
        return evaluate_table(self._table(named(operand, checkpoint)), checkpoint, wanted)

    def _measure(self, operand: str | InMemory, **options: Any) -> ScoreReport:
        """Return how well the mixture explains a table."""
        checkpoint = self._load(options.get("checkpoint"))
        request = ScoreRequest(self._directory(), self._table(named(operand, checkpoint)), **options)
        return score(request, log_notice)

    def _run(self, operand: str | InMemory, monitors: Sequence[Monitor] | None, **options: Any) -> FitReport:
        """Run a fit, return its report."""
        params, config = self._params, self.config

        def monitor(step: int, mean_log_likelihood: float) -> bool:
            return is_any_done(monitors, Step(step, mean_log_likelihood))

        settings = {
            "components": int(params["num_clusters"]),
            "params": "".join(letter for letter in PARAMS if letter in params["params"]),
            "keep": config.keep_checkpoint_max,
            "keep_every": config.keep_every,
        }
        for name in ("covariance_type", "tol", "reg_covar", "missing", "accelerate"):
            settings[name] = params[name]
        with tempfile.TemporaryDirectory(prefix="gmmcli-") as directory:
            if not self._has_model():
                self._check_rows(operand)
                settings["init"] = self._init(operand, Path(directory))
                settings |= {"restarts": params["restarts"], "seed": int(params["random_seed"])}
            is_partial = options.get("partial", False)
            request = FitRequest(
                self._directory(),
                self._table(operand),
                settings,
                checkpoint_steps=None if is_partial else config.save_checkpoints_steps,
                checkpoint_seconds=None if is_partial else config.save_checkpoints_secs,
                log_every=config.save_summary_steps,
                monitor=monitor if monitors else None,
                **options,
            )
            return fit(request, log_notice, lambda text: None)

    def _check_rows(self, operand: str | InMemory) -> None:
        """Raise `TableUnusable` where a table in memory has too few rows to begin with."""
        n_clusters = self._params["num_clusters"]
        if isinstance(operand, InMemory) and 0 < len(operand) < n_clusters:
            fact = f"n_samples={len(operand)} is fewer than num_clusters={n_clusters}"
            raise TableUnusable(operand.name, fact)

    def _init(self, operand: str | InMemory, directory: Path) -> str:
        """Return what --init takes: a word, or a file, which given means are written to."""
        initial = self._params["initial_clusters"]
        if isinstance(initial, str) and initial in WORDS:
            return initial
        if isinstance(initial, (str, PathLike)):
            return str(initial)
        with reading(self._table(operand)) as tables:
            names = select_features(tables).features
        path = directory / "means.csv"
        write_means(path, names, initial)
        return str(path)


_DEFAULTS = {name: parameter.default for name, parameter in signature(Base).parameters.items()}
_NAMES = tuple(_DEFAULTS)


def named(operand: str | InMemory, checkpoint: Checkpoint) -> str | InMemory:
    """Return an operand; an array's columns are the model's, in their order.

    Raises
    ------
    TableUnusable
        An array of another number of columns.
    """
    if isinstance(operand, InMemory) and operand.is_array:
        return operand.named(checkpoint.features)
    return operand


class NotFitted(NotFound, ValueError, AttributeError):
    """There is no model yet."""

    def __reduce__(self) -> Any:
        return NotFitted, (self.subject, self.fact, self.hint)


def _not_fitted(estimator: Base) -> NotFitted:
    """Return the error of a method that needs a model; scikit-learn's as well, where that is loaded."""
    kind = NotFitted
    if "sklearn" in sys.modules:
        from sklearn.exceptions import NotFittedError

        kind = cast(type[NotFitted], type("NotFitted", (NotFitted, NotFittedError), {}))
    return kind(str(estimator), "no model yet", "call fit first")
