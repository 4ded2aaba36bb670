"""The parameters and the model directory of the estimator, and its calls of the jobs."""

import contextlib
import functools
import sys
import tempfile
from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

import numpy as np

from gmmcli.engine.blas import available_cpus
from gmmcli.errors import NotFitted, NotFound, TableUnusable, Usage
from gmmcli.fitting.init_file import WORDS
from gmmcli.fitting.options import options_of
from gmmcli.fitting.report import FitReport
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.settings import Settings
from gmmcli.gmm.arguments import (
    LOG,
    NAME_HERE,
    SETTINGS,
    Monitor,
    RunConfig,
    call_monitors,
    generation_of,
    in_a_line,
    in_terms_of_python,
    log_notice,
    validate,
)
from gmmcli.jobs import inspect as inspection
from gmmcli.jobs.evaluation import evaluate_table
from gmmcli.jobs.fit import fit
from gmmcli.jobs.reading import reading
from gmmcli.jobs.score import ScoreRequest, score
from gmmcli.notices import untold
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.model_dir import ModelDir, Stored
from gmmcli.tables.columns import select_features
from gmmcli.tables.held import InMemory
from gmmcli.tables.memory import write_means
from gmmcli.tables.operands import TableRequest

# The newest checkpoint that each estimator has read; not pickled with it.
_KNOWN: "WeakKeyDictionary[Fitted, Stored]" = WeakKeyDictionary()


class Fitted:
    """The parameters of an estimator, and its model directory.

    Parameters are attributes; setting one is the same as `set_params`.

    Parameters
    ----------
    params : dict
        The arguments of the constructor, in their order.

    Raises
    ------
    Usage
    """

    _params: dict[str, Any]

    def __init__(self, params: dict[str, Any]) -> None:
        validate(params)
        object.__setattr__(self, "_params", params)
        self._temporary: Path | None = None
        self._is_clone = False

    def __getattr__(self, name: str) -> Any:
        params = self.__dict__.get("_params", {})
        if name in params:
            return params[name]
        if hasattr(type(self), name):
            return object.__getattribute__(self, name)  # a property failed: raise its error again
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._params:
            self.set_params(**{name: value})
        else:
            object.__setattr__(self, name, value)

    def __sklearn_clone__(self) -> Self:
        # In a shared directory, the folds of a search would learn from each other.
        clone = type(self)(**{**self._params, "model_dir": None})
        clone._is_clone = True
        return clone

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
            A parameter is unknown, or its value cannot be used.
        """
        if unknown := set(params) - set(self._params):
            name = min(unknown)
            fact = f"not a parameter{NAME_HERE.get(name, '')}"
            raise Usage(name, fact, f"one of {', '.join(self._params)}")
        chosen = {**self._params, **params}
        validate(chosen)
        object.__setattr__(self, "_params", chosen)
        return self

    def _directory(self) -> Path:
        """Return the model directory; if none was given, create a temporary one."""
        if self._params["model_dir"] is not None:
            return Path(self._params["model_dir"])
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="gmmcli-"))
        return self._temporary

    def _settle_temporary(self) -> None:
        """Report a temporary directory that holds a first model; remove one that holds none."""
        if self._temporary is None or self._params["model_dir"] is not None:
            return
        if self._has_model():
            log = LOG.info if self._is_clone else LOG.warning
            log("no model_dir given: the model is in %s", self._temporary)
        else:
            with contextlib.suppress(OSError):
                self._temporary.rmdir()
            self._temporary = None

    def _has_model(self) -> bool:
        """Tell whether the directory holds a checkpoint."""
        if self._params["model_dir"] is None and self._temporary is None:
            return False
        try:
            return bool(inspection.list_generations(self._directory()))
        except NotFound:
            return False

    def _load(self, checkpoint_path: Any = None) -> Stored:
        """Return the newest checkpoint, or the one with the given number or path.

        Raises
        ------
        NotFitted
            There is no model yet.
        Usage
            The model has another number of components or another covariance type than the estimator.
        GmmError
        """
        if not self._has_model():
            raise _not_fitted(type(self).__name__)
        generation = None if checkpoint_path is None else generation_of(checkpoint_path, self.model_dir)
        with in_terms_of_python():
            stored = ModelDir(self._directory()).load(generation, _KNOWN.get(self))
        if generation is None:
            _KNOWN[self] = stored
        mixture = stored.checkpoint.mixture
        for name, found in (
            ("num_clusters", mixture.n_components),
            ("covariance_type", mixture.covariance_type),
        ):
            asked = SETTINGS[name].checked(self._params[name], "")
            if asked != found:
                raise Usage(
                    name, f"{in_a_line(asked)}, but {self.model_dir} has {found}", "another model_dir"
                )
        return stored

    def _table(self, operand: str | InMemory) -> TableRequest:
        """Return the request for a table."""
        return TableRequest((operand,), n_threads=self._params["n_threads"] or available_cpus())

    def _evaluate(
        self, operand: str | InMemory, wanted: Collection[str], checkpoint_path: Any = None
    ) -> dict[str, Any]:
        """Return quantities of all rows of a table, each of shape (n_rows,) or (n_rows, num_clusters)."""
        checkpoint = self._load(checkpoint_path).checkpoint
        table = self._table(with_model_columns(operand, checkpoint))
        with in_terms_of_python():
            return evaluate_table(table, checkpoint, wanted, self._params["missing"])

    def _measure(self, operand: str | InMemory, checkpoint_path: Any = None) -> dict[str, Any]:
        """Return the metrics of `score` for a table, and the number and the step of the checkpoint."""
        stored = self._load(checkpoint_path)
        table = self._table(with_model_columns(operand, stored.checkpoint))
        request = ScoreRequest(
            self._directory(), table, checkpoint=stored.generation, missing=self._params["missing"]
        )
        with in_terms_of_python():
            report = score(request, log_notice)
        return {**report.metrics, "checkpoint": report.checkpoint, "global_step": report.global_step}

    def _run(
        self, operand: str | InMemory, monitors: Sequence[Monitor] | None = None, **options: Any
    ) -> FitReport:
        """Fit a table; return the report."""
        config, is_new = self.config, not self._has_model()
        is_partial = options.get("partial", False)
        settings = self._settings(is_new)
        with tempfile.TemporaryDirectory(prefix="gmmcli-") as directory:
            if is_new:
                self._check_rows(operand)
                settings["init"] = self._start(operand, Path(directory))
            else:
                operand = with_model_columns(operand, self._load().checkpoint)
            request = FitRequest(
                self._directory(),
                self._table(operand),
                settings,
                checkpoint_steps=None if is_partial else config.save_checkpoints_steps,
                checkpoint_seconds=None if is_partial else config.save_checkpoints_secs,
                log_every=config.save_summary_steps,
                monitor=functools.partial(call_monitors, monitors) if monitors else None,
                **options,
            )
            try:
                with in_terms_of_python():
                    return fit(request, log_notice, untold)
            finally:
                if is_new:
                    self._settle_temporary()

    def _settings(self, is_new: bool) -> dict[str, Any]:
        """Return the settings that the estimator gives; None keeps the value of the model."""
        config = self.config
        settings: dict[str, Any] = {"keep": config.keep_checkpoint_max, "keep_every": config.keep_every}
        for name, row in options_of(Settings):
            value = None if row.python is None else self._params[row.python]
            if value is not None and (is_new or row.role != "start") and row.kind != "text":
                settings[name] = row.checked(value, "")
        return settings

    def _check_rows(self, operand: str | InMemory) -> None:
        """Raise `TableUnusable` if a table in memory has too few rows for a new model, or an empty column.

        A fit skips empty columns of other tables. Columns of an array have no names, so that one that is
        missing later could not be recognised.
        """
        n_clusters = self._params["num_clusters"]
        if not isinstance(operand, InMemory) or not len(operand):
            return
        if len(operand) < n_clusters:
            fact = f"n_samples={len(operand)} is fewer than num_clusters={n_clusters}"
            raise TableUnusable(operand.name, fact)
        if operand.is_array:
            for column in np.flatnonzero(np.isnan(operand.content[0])):
                if np.isnan(operand.content[:, column]).all():
                    raise TableUnusable(operand.name, f"column {column} has no value: NaN throughout")

    def _start(self, operand: str | InMemory, directory: Path) -> str:
        """Return the value of --init, a word or a path; write an array of means to a file."""
        initial = self._params["initial_clusters"]
        if isinstance(initial, (str, PathLike)):
            if initial not in WORDS and not Path(initial).is_file():
                fact = f"must be a file or one of {', '.join(WORDS)}, not {initial!r}"
                raise Usage("initial_clusters", fact)
            return str(initial)
        with reading(self._table(operand)) as tables:
            names = select_features(tables).features
        path = directory / "means.arrow"
        write_means(path, names, self._params["num_clusters"], initial)
        return str(path)


def with_model_columns(operand: str | InMemory, checkpoint: Checkpoint) -> str | InMemory:
    """Return an operand; if it is an array, its columns get the names of the model's columns.

    Raises
    ------
    TableUnusable
        An array has another number of columns than the model.
    """
    if not isinstance(operand, InMemory) or not operand.is_array:
        return operand
    found, expected = operand.content.shape[1], len(checkpoint.features)
    if found != expected:
        # scikit-learn's checks look for these words.
        fact = f"X has {found} features, but GMM is expecting {expected} features as input"
        raise TableUnusable(operand.name, fact)
    return operand.named(checkpoint.features)


def _not_fitted(subject: str) -> NotFitted:
    """Return the error of a method that needs a model; if scikit-learn is loaded, it is also its error."""
    kind = _kind_for_scikit_learn() if "sklearn" in sys.modules else NotFitted
    return kind(subject, "no model yet: call fit first")


@functools.cache
def _kind_for_scikit_learn() -> type[NotFitted]:
    """Return a class of errors that is also scikit-learn's; each process creates its own."""
    from sklearn.exceptions import NotFittedError

    methods = {"__reduce__": lambda self: (_not_fitted, (self.subject,))}
    return cast(type[NotFitted], type("NotFitted", (NotFitted, NotFittedError), methods))
