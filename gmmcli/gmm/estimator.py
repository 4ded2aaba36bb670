"""GMM: the estimator of tf.contrib.factorization in Python, a thin face over the jobs of the command line."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np

from gmmcli.core.em import PARAMS
from gmmcli.core.mixture import COVARIANCE_TYPES, Array
from gmmcli.engine.evaluate import Evaluator
from gmmcli.errors import NotFound
from gmmcli.gmm.arguments import (
    LOG,
    InvalidArgument,
    Monitor,
    RunConfig,
    Step,
    generation_of,
    log_notice,
    operand_of,
    split,
    x_or_input_fn,
)
from gmmcli.jobs import inspect as inspection
from gmmcli.jobs.export import ExportRequest, export
from gmmcli.jobs.fit import fit
from gmmcli.jobs.fit_request import FitRequest
from gmmcli.jobs.origin import WORDS
from gmmcli.jobs.reading import TableRequest, reading
from gmmcli.jobs.score import ScoreRequest, score
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.model_dir import ModelDir
from gmmcli.tables.blocks import check_complete
from gmmcli.tables.columns import match_features, select_features
from gmmcli.tables.held import InMemory
from gmmcli.tables.memory import write_means


class GMM:
    """A Gaussian mixture in a model directory, with the methods of tf.contrib.factorization.GMM.

    Every call reads the newest checkpoint of the directory, which the command line writes and reads as well.
    A model that is there is continued: what it would start from has no bearing then.
    Tables are arrays of shape (n_samples, n_features), dictionaries of such (put side by side in the order of
    their keys), Arrow tables and frames, iterators of arrays, or paths.

    Parameters
    ----------
    num_clusters : int
    model_dir : path, optional
        A temporary directory, with a logged warning, if not given.
    random_seed : int
    params : str
        Any of the letters w, m, c: what is updated.
    initial_clusters : str or array of shape (num_clusters, n_features)
        "random", "auto", "kmeans", "kmeans++", a path, or the means to start from.
    covariance_type : {"full", "tied", "diag", "spherical"}
    config : RunConfig, optional
    restarts, tol, reg_covar, missing, accelerate
        As the options of `gmmcli fit`.
    n_threads : int, optional
        Processes of a fit; as many as there are CPUs if not given.

    Raises
    ------
    ValueError
        An argument makes no sense.
    """

    SCORES = "scores"
    ASSIGNMENTS = "assignments"
    ALL_SCORES = "all_scores"

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
        self._model_dir: Path | None = None
        self._validate()

    @property
    def config(self) -> RunConfig:
        """How runs write checkpoints."""
        config: RunConfig | None = self._params["config"]
        return RunConfig() if config is None else config

    @property
    def model_dir(self) -> str:
        """The model directory."""
        return str(self._directory())

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        input_fn: Callable[[], Any] | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        monitors: Sequence[Monitor] | None = None,
        max_steps: int | None = None,
    ) -> Self:
        """Learn from a table, going on from the newest checkpoint if there is one.

        Parameters
        ----------
        x : table
        y : ignored
        input_fn : callable, optional
            Returns the table; in place of x.
        steps, max_steps : int, optional
            So many more, or until the model has made so many; until it has converged if neither is given.
        batch_size : int, optional
            Rows to learn from before each step; all if not given.
        monitors : sequence of callable, optional
            Told every `Step`; the run ends where one returns True.

        Raises
        ------
        ValueError
            Both x or y and input_fn, or both steps and max_steps, are given.
        GmmError
        """
        if steps is not None and max_steps is not None:
            raise InvalidArgument("steps", "excludes max_steps", "give one of them")
        operand = operand_of(x, y, input_fn)
        self._run(operand, monitors, steps=steps, max_steps=max_steps, batch_size=batch_size)
        return self

    def partial_fit(
        self,
        x: Any = None,
        y: Any = None,
        input_fn: Callable[[], Any] | None = None,
        steps: int | None = 1,
        batch_size: int | None = None,
        monitors: Sequence[Monitor] | None = None,
    ) -> Self:
        """Add a table to what the model knows of earlier ones, without reading those again.

        Parameters
        ----------
        x, y, input_fn
            As in `fit`.
        steps : int
            How often the new rows are looked at.
        batch_size : int, optional
            The table is added in parts of so many rows, one after the other; whole if not given.
        monitors : sequence of callable, optional
            Told the `Step` that each part leads to; no further part is added where one returns True.

        Raises
        ------
        ValueError
            As in `fit`, or steps is None.
        GmmError
        """
        if steps is None:
            raise InvalidArgument("steps", "None has no end", "give a number")
        operand = operand_of(x, y, input_fn)
        parts = [operand] if batch_size is None else split(operand, batch_size)
        for part in parts:
            report = self._run(part, None, steps=steps, partial=True)
            told = Step(report.global_step, report.mean_log_likelihood)
            if _is_any_done(monitors, told):
                break
        return self

    def predict(
        self,
        x: Any = None,
        input_fn: Callable[[], Any] | None = None,
        batch_size: int | None = None,
        outputs: Sequence[str] | None = None,
        as_iterable: bool = True,
    ) -> Iterator[dict[str, Any]] | dict[str, Any]:
        """Return Mahalanobis distances and assignments of rows.

        Parameters
        ----------
        x, input_fn
            As in `fit`.
        batch_size : int, optional
            Has no bearing on what is returned.
        outputs : sequence of str, optional
            Of ALL_SCORES (distances to every component, in sd) and ASSIGNMENTS (0-based); both if not given.
        as_iterable : bool
            A dictionary for each row, or one of arrays of all.

        Raises
        ------
        ValueError
            Both x and input_fn are given, or neither, or an output is unknown.
        GmmError
        """
        del batch_size
        names = (self.ALL_SCORES, self.ASSIGNMENTS) if outputs is None else tuple(outputs)
        if unknown := set(names) - {self.ALL_SCORES, self.ASSIGNMENTS}:
            raise InvalidArgument("outputs", f"{min(unknown)!r} is not an output")
        found = self._apply(operand_of(x, None, input_fn), None)
        if not as_iterable:
            return {name: found[name] for name in names}
        return ({name: found[name][i] for name in names} for i in range(len(found[self.ASSIGNMENTS])))

    def predict_assignments(
        self,
        input_fn: Any = None,
        batch_size: int | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Iterator[int]:
        """Return an iterator over the component that each row most probably belongs to, 0-based."""
        del batch_size, outputs
        x, function = x_or_input_fn(input_fn)
        assignments: list[int] = self._apply(operand_of(x, None, function), None)[self.ASSIGNMENTS].tolist()
        return iter(assignments)

    def score(self, input_fn: Any = None, batch_size: int | None = None, steps: int | None = None) -> float:
        """Return the sum of Mahalanobis distances to the assigned components: smaller is better.

        Unlike scikit-learn's, which is a log-likelihood.

        Parameters
        ----------
        input_fn : callable or table
        batch_size, steps : int, optional
            Together: the first batch_size · steps rows only.
        """
        x, function = x_or_input_fn(input_fn)
        return float(self.evaluate(x, None, function, batch_size=batch_size, steps=steps)[self.SCORES])

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        input_fn: Callable[[], Any] | None = None,
        feed_fn: Callable[[], Any] | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        metrics: dict[str, Callable[[Any, dict[str, Any]], Any]] | None = None,
        name: str | None = None,
        checkpoint_path: str | int | None = None,
        hooks: Sequence[Any] | None = None,
        log_progress: bool = True,
    ) -> dict[str, Any]:
        """Return how well the mixture explains a table.

        Parameters
        ----------
        x, y, input_fn
            As in `fit`.
        feed_fn, hooks
            Of another machinery: an error where given.
        batch_size, steps : int, optional
            Together: the first batch_size · steps rows only.
        metrics : dict of callable, optional
            Called with the table (an Arrow table, or the path) and the predictions; their results are added.
        name : str, optional
            What the evaluation is called in the log.
        checkpoint_path : str or int, optional
            An older checkpoint, by its file or number.
        log_progress : bool
            Whether the result is logged.

        Returns
        -------
        dict
            scores (the sum of distances to the assigned components, in sd), loss (the same per batch),
            global_step; and the metrics of `gmmcli score`.

        Raises
        ------
        ValueError
            Both x or y and input_fn or feed_fn are given, or metrics is no dict.
        GmmError
        """
        if metrics is not None and not isinstance(metrics, dict):
            raise InvalidArgument("metrics", "is no dict of callables")
        for option, value in (("feed_fn", feed_fn), ("hooks", hooks)):
            if value is not None:
                raise InvalidArgument(option, "has nothing to feed or to hook here", "leave it away")
        operand = operand_of(x, y, input_fn)
        request = ScoreRequest(
            self._directory(),
            self._table(operand),
            steps=steps,
            batch_size=None if steps is None else batch_size,
            checkpoint=generation_of(checkpoint_path),
        )
        report = score(request, log_notice)
        found: dict[str, Any] = dict(report.metrics)
        rows, distances = int(report.metrics["rows"] or 0), float(report.metrics["distance_sum"] or 0.0)
        n_batches = 1 if batch_size is None else -(-rows // batch_size)
        found[self.SCORES], found["loss"] = distances, distances / n_batches
        found["global_step"] = report.global_step
        if metrics:
            predictions = self._apply(operand, report.checkpoint)
            table = operand.content if isinstance(operand, InMemory) else operand
            found |= {key: metric(table, predictions) for key, metric in metrics.items()}
        if log_progress:
            LOG.info("evaluation %s: %s", name or "", found)
        return found

    def export(
        self,
        export_dir: str | PathLike[str],
        exports_to_keep: int | None = None,
        checkpoint_path: str | int | None = None,
    ) -> str:
        """Write the model for numpy.load to a new directory below `export_dir`; return its path."""
        return self.export_savedmodel(
            export_dir, checkpoint_path=checkpoint_path, exports_to_keep=exports_to_keep
        )

    def export_savedmodel(
        self,
        export_dir_base: str | PathLike[str],
        serving_input_fn: Any = None,
        assets_extra: Mapping[str, str | PathLike[str]] | None = None,
        as_text: bool = False,
        checkpoint_path: str | int | None = None,
        *,
        exports_to_keep: int | None = None,
    ) -> str:
        """Write the model to a new directory `export_dir_base`/SECONDS; return its path.

        Parameters
        ----------
        export_dir_base : path
        serving_input_fn : ignored
            A model that is a table of numbers needs no graph to be served.
        assets_extra : mapping of str to path, optional
            Files to copy below assets.extra/, by their destination there.
        as_text : bool
            JSON; else the archive that numpy.load opens.
        checkpoint_path : str or int, optional
            An older checkpoint, by its file or number.
        exports_to_keep : int, optional
            Older exports beside it are removed.
        """
        request = ExportRequest(
            self._directory(),
            "json" if as_text else "npz",
            export_dir=Path(export_dir_base),
            exports_to_keep=exports_to_keep,
            assets_extra=tuple((key, Path(value)) for key, value in (assets_extra or {}).items()),
            as_text=as_text,
            checkpoint=generation_of(checkpoint_path),
        )
        return str(export(request).directory)

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
            raise InvalidArgument(min(unknown), "is no parameter", f"one of {', '.join(_NAMES)}")
        before, self._params = self._params, {**self._params, **params}
        try:
            self._validate()
        except InvalidArgument:
            self._params = before
            raise
        return self

    def get_variable_names(self) -> list[str]:
        """Return the names of what the newest checkpoint holds."""
        return list(inspection.variables(self._load(None)))

    def get_variable_value(self, name: str) -> Any:
        """Return a variable of the newest checkpoint, in the table's units."""
        return np.array(inspection.variable(self._load(None), name))

    def weights(self) -> Any:
        """Return the weights of the components, shape (num_clusters,)."""
        return np.array(self._load(None).mixture.weights)

    def clusters(self) -> Any:
        """Return the means, shape (num_clusters, n_features), in the table's units."""
        return np.array(self._load(None).mixture.means)

    def covariances(self) -> Any:
        """Return the covariances, shaped as the type says, in the table's units."""
        return np.array(self._load(None).mixture.covariances)

    def _validate(self) -> None:
        """Raise `InvalidArgument` where a parameter makes no sense by itself."""
        params = self._params
        for name, least in (("num_clusters", 1), ("random_seed", 0)):
            value = params[name]
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
                raise InvalidArgument(name, f"{value!r} is no whole number of at least {least}")
        if not params["params"] or set(params["params"]) - set(PARAMS):
            raise InvalidArgument("params", f"{params['params']!r} is no combination of w, m, c")
        for name, known in (
            ("covariance_type", COVARIANCE_TYPES),
            ("missing", ("error", "drop")),
            ("accelerate", ("auto", "none")),
        ):
            if params[name] not in known:
                raise InvalidArgument(name, f"{params[name]!r} is none of {', '.join(known)}")
        for name in ("tol", "reg_covar"):
            if not params[name] >= 0:
                raise InvalidArgument(name, f"{params[name]!r} is not at least 0")

    def _directory(self) -> Path:
        """Return the model directory; make a temporary one where none was given."""
        if self._params["model_dir"] is not None:
            return Path(self._params["model_dir"])
        if self._model_dir is None:
            self._model_dir = Path(tempfile.mkdtemp(prefix="gmmcli-"))
            LOG.warning("no model_dir given: the model is in %s", self._model_dir)
        return self._model_dir

    def _has_model(self) -> bool:
        """Tell whether the directory holds a checkpoint."""
        try:
            return bool(inspection.list_generations(self._directory()))
        except NotFound:
            return False

    def _load(self, generation: int | None) -> Checkpoint:
        """Return the newest checkpoint, or another."""
        return ModelDir(self._directory()).load(generation).checkpoint

    def _table(self, operand: str | InMemory) -> TableRequest:
        """Return the request for a table."""
        return TableRequest((operand,), n_threads=self._params["n_threads"])

    def _run(self, operand: str | InMemory, monitors: Sequence[Monitor] | None, **options: Any) -> Any:
        """Run a fit, return its report."""
        params, config = self._params, self.config

        def monitor(step: int, mean_log_likelihood: float) -> bool:
            return _is_any_done(monitors, Step(step, mean_log_likelihood))

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

    def _apply(self, operand: str | InMemory, generation: int | None) -> dict[str, Any]:
        """Return distances, shape (n_samples, num_clusters), and assignments of all rows."""
        checkpoint, request = self._load(generation), self._table(operand)
        distances: list[Array] = [np.empty((0, checkpoint.state.n_components))]
        assignments = [np.empty(0, dtype=np.int64)]
        wanted = ("distances", "assignment")
        evaluator = Evaluator(checkpoint.state, checkpoint.units, wanted, request.n_workers)
        with reading(request) as tables:
            features = match_features(tables, checkpoint.features)
            for batch in tables.iter_batches(features):
                check_complete(batch, features)
                found = evaluator.evaluate(batch.X, batch.first_row)
                distances.append(np.asarray(found["distances"], dtype=np.float64).T)
                assignments.append(np.asarray(found["assignment"], dtype=np.int64))
        return {self.ALL_SCORES: np.concatenate(distances), self.ASSIGNMENTS: np.concatenate(assignments)}


_NAMES = tuple(GMM.__init__.__annotations__)[:-1]


def _is_any_done(monitors: Sequence[Monitor] | None, step: Step) -> bool:
    """Tell every monitor of a step, and whether one of them asks for the end."""
    return True in [bool(monitor(step)) for monitor in monitors or ()]
