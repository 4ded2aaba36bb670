"""GMM: the estimator of tf.contrib.factorization in Python. It calls the jobs of the command line."""

from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter, Signature, signature
from os import PathLike
from typing import Any, Literal, Self, overload

import numpy as np

from gmmcli.core.em.maximisation import PARAMS
from gmmcli.errors import Usage
from gmmcli.gmm.arguments import (
    LOG,
    NAME_HERE,
    SETTINGS,
    Monitor,
    RunConfig,
    call_monitors,
    check_integer,
    check_monitors,
    first_rows,
    in_a_line,
    operand_of,
    refuse,
    split,
    x_or_input_fn,
)
from gmmcli.gmm.exports import Exports
from gmmcli.gmm.scikit import ScikitNames
from gmmcli.jobs import inspect as inspection
from gmmcli.tables.held import InMemory

# The settings that the original has as arguments; the others are keywords of ours.
ORIGINAL = ("num_clusters", "random_seed", "params", "initial_clusters", "covariance_type")
KEYWORDS = {name: row for name, row in SETTINGS.items() if name not in ORIGINAL}


class GMM(ScikitNames, Exports):
    """A Gaussian mixture in a model directory, with the methods of tf.contrib.factorization.GMM.

    Every call uses the newest checkpoint in the directory; the command line reads and writes the same
    directories. If the directory holds a model, `fit` continues it: random_seed, initial_clusters and
    restarts are not used then, and settings that are None are those of the model. A copied or unpickled
    estimator shares the directory; a clone by scikit-learn has its own.

    A table is an array of shape (n_samples, n_features), a dictionary of arrays (side by side, in the order
    of the keys), an Arrow table, a frame of pandas or Polars, an iterator of these, or a path. Columns of
    frames are matched by name, those of arrays by position.

    Parameters
    ----------
    num_clusters : int
        The number of components.
    model_dir : path, optional
        The default is a temporary directory, which is not removed; a warning names it.
    random_seed : int
    params : str
        What this estimator updates: any of the letters w (weights), m (means) and c (covariances).
    initial_clusters : str or array of shape (num_clusters, n_features)
        The start: "random", as the original; "auto", the best of several starts (recommended); "kmeans";
        "kmeans++"; the path of a table of means or of a JSON export; or an array of means.
    covariance_type : {"full", "tied", "diag", "tied-diag", "spherical", "tied-spherical"}
        Or its name in mclust, such as "VVV".
    config : RunConfig, optional
    n_threads : int, optional
        Processes of a fit, or threads of a prediction; the default is the number of CPUs.

    Raises
    ------
    ValueError
        An argument cannot be used.
    """

    SCORES = "scores"
    ASSIGNMENTS = "assignments"
    ALL_SCORES = "all_scores"

    def __init__(
        self,
        num_clusters: int | None = None,
        model_dir: str | PathLike[str] | None = None,
        random_seed: int = 0,
        params: str = PARAMS,
        initial_clusters: Any = "random",
        covariance_type: str = "full",
        config: RunConfig | None = None,
        *,
        n_threads: int | None = None,
        **settings: Any,
    ) -> None:
        for name in sorted(settings.keys() - KEYWORDS.keys()):
            other = NAME_HERE.get(name, "")
            raise TypeError(f"GMM() got an unexpected keyword argument {name!r}{other}")
        super().__init__(
            {
                "num_clusters": num_clusters,
                "model_dir": model_dir,
                "random_seed": random_seed,
                "params": params,
                "initial_clusters": initial_clusters,
                "covariance_type": covariance_type,
                "config": config,
                **{name: settings.get(name) for name in KEYWORDS},
                "n_threads": n_threads,
            }
        )

    def __repr__(self) -> str:
        defaults = {name: repr(one.default) for name, one in signature(GMM).parameters.items()}
        given = {name: repr(value) for name, value in self._params.items()}
        changed = [f"{name}={text}" for name, text in given.items() if text != defaults[name]]
        return f"GMM({', '.join(changed)})"

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
        """Fit the model to a table, or continue from the newest checkpoint if there is one.

        Parameters
        ----------
        x : table
        y : ignored
        input_fn : callable, optional
            Returns the table, instead of x.
        steps, max_steps : int, optional
            Make so many more steps, or stop when the model has made so many in all. By default, the run ends
            when it has converged, or after 1,000 steps.
        batch_size : int, optional
            Make a step after so many rows; by default, after all rows.
        monitors : sequence of callable, optional
            Called with a `Step` after each pass over the table; the run ends when one of them returns True.

        Raises
        ------
        ValueError
            input_fn is given together with x or y, or steps together with max_steps.
        NumericalFailure
            A covariance is not positive definite.
        GmmError
        """
        if steps is not None and max_steps is not None:
            raise Usage("steps", "cannot be used with max_steps", "give one of them")
        check_integer(0, steps=steps, max_steps=max_steps)
        check_integer(1, batch_size=batch_size)
        check_monitors(monitors)
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
        """Add a table to the model, without reading earlier tables again.

        Parameters
        ----------
        x, y, input_fn
            As in `fit`.
        steps : int
            Number of updates with the new rows.
        batch_size : int, optional
            Add the table in parts of so many rows; by default, as a whole.
        monitors : sequence of callable, optional
            Called with a `Step` after each part; no further part is added when one of them returns True.

        Raises
        ------
        ValueError
            As in `fit`, or steps is None.
        GmmError
        """
        if steps is None:
            raise Usage("steps", "must be given", "steps=1")
        check_integer(0, steps=steps)
        check_integer(1, batch_size=batch_size)
        check_monitors(monitors)
        operand = operand_of(x, y, input_fn)
        parts = [operand] if batch_size is None else split(operand, batch_size)
        for part in parts:
            report = self._run(part, steps=steps, partial=True)
            if call_monitors(monitors, report.global_step, report.mean_log_likelihood):
                break
        return self

    @overload
    def predict(
        self,
        x: Any = None,
        input_fn: Callable[[], Any] | None = None,
        batch_size: int | None = None,
        outputs: Sequence[str] | None = None,
        as_iterable: Literal[True] = True,
    ) -> Iterator[dict[str, Any]]: ...

    @overload
    def predict(
        self,
        x: Any = None,
        input_fn: Callable[[], Any] | None = None,
        batch_size: int | None = None,
        outputs: Sequence[str] | None = None,
        *,
        as_iterable: Literal[False],
    ) -> dict[str, Any]: ...

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
            Ignored: the result does not depend on it.
        outputs : sequence of str, optional
            Some of ALL_SCORES (distances to every component, in sd) and ASSIGNMENTS (0-based); by default,
            both.
        as_iterable : bool
            Return an iterator over one dictionary per row (True), or one dictionary of arrays (False).

        Raises
        ------
        ValueError
            Both or neither of x and input_fn are given, or an output is unknown.
        GmmError
        """
        del batch_size
        names = (self.ALL_SCORES, self.ASSIGNMENTS) if outputs is None else tuple(outputs)
        if unknown := set(names) - {self.ALL_SCORES, self.ASSIGNMENTS}:
            known = f"{self.ALL_SCORES!r}, {self.ASSIGNMENTS!r}"
            raise Usage("outputs", f"{min(unknown)!r} is not an output; known are {known}")
        found = self._predictions(operand_of(x, input_fn=input_fn))
        if not as_iterable:
            return {name: found[name] for name in names}
        return ({name: found[name][i] for name in names} for i in range(len(found[self.ASSIGNMENTS])))

    def predict_assignments(
        self,
        input_fn: Any = None,
        batch_size: int | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Iterator[int]:
        """Return an iterator over the most probable component of each row, 0-based.

        Parameters
        ----------
        input_fn : callable or table
        batch_size, outputs
            Ignored: the result does not depend on them.
        """
        del batch_size, outputs
        operand = operand_of(**x_or_input_fn(input_fn))
        assignments: list[int] = self._evaluate(operand, ("assignment",))["assignment"].tolist()
        return iter(assignments)

    def score(self, input_fn: Any = None, batch_size: int | None = None, steps: int | None = None) -> float:
        """Return the sum of Mahalanobis distances to the assigned components: smaller is better.

        In scikit-learn, `score` is the mean log-likelihood: `evaluate(x)["mean_log_likelihood"]` here.

        Parameters
        ----------
        input_fn : callable or table
        batch_size, steps : int, optional
            Given together: use only the first batch_size · steps rows.
        """
        found = self.evaluate(**x_or_input_fn(input_fn), batch_size=batch_size, steps=steps)
        return float(found[self.SCORES])

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
            An error if given: they are not supported.
        batch_size, steps : int, optional
            Given together: use only the first batch_size · steps rows.
        metrics : dict of callable, optional
            Called with the table (an array, an Arrow table, or the path) and the predictions (arrays, as of
            `predict`); the results are added under their names.
        name : str, optional
            Name of the evaluation in the log.
        checkpoint_path : str or int, optional
            An older checkpoint, by the path of its file or by its number.
        log_progress : bool
            Log the result.

        Returns
        -------
        dict
            scores (the sum of distances to the assigned components, in sd), loss (scores per batch),
            global_step, and the metrics of `gmmcli score`.

        Raises
        ------
        ValueError
            input_fn is given together with x or y, feed_fn or hooks are given, or metrics is not a dict.
        GmmError
        """
        if metrics is not None and not isinstance(metrics, dict):
            raise Usage("metrics", f"must be a dict of callables, not {in_a_line(metrics)}")
        refuse("is not supported", feed_fn=feed_fn, hooks=hooks)
        check_integer(1, batch_size=batch_size, steps=steps)
        operand = first_rows(operand_of(x, y, input_fn), batch_size, steps)
        found = self._measure(operand, checkpoint_path)
        n_batches = 1 if batch_size is None else -(-found["rows"] // batch_size)
        found[self.SCORES] = found["distance_sum"]
        found["loss"] = found["distance_sum"] / n_batches
        if metrics:
            predictions = self._predictions(operand, found["checkpoint"])
            table = operand.content if isinstance(operand, InMemory) else operand
            found |= {key: metric(table, predictions) for key, metric in metrics.items()}
        if log_progress:
            LOG.info("evaluation %s: %s", name or "", found)
        return found

    def get_variable_names(self) -> list[str]:
        """Return the names of the variables in the newest checkpoint."""
        return list(inspection.variables(self._load().checkpoint))

    def get_variable_value(self, name: str) -> Any:
        """Return a variable of the newest checkpoint, in the table's units."""
        return np.array(inspection.variable(self._load().checkpoint, name))

    def weights(self) -> Any:
        """Return the weights of the components, shape (num_clusters,)."""
        return self.weights_

    def clusters(self) -> Any:
        """Return the means, shape (num_clusters, n_features), in the table's units."""
        return self.means_

    def covariances(self) -> Any:
        """Return the covariances, in the table's units, shape (K, d, d), (d, d), (K, d) or (K,) by type."""
        return self.covariances_

    def _predictions(self, operand: str | InMemory, checkpoint_path: Any = None) -> dict[str, Any]:
        """Return distances, shape (n_samples, num_clusters), and assignments of all rows."""
        found = self._evaluate(operand, ("distances", "assignment"), checkpoint_path)
        return {self.ALL_SCORES: found["distances"], self.ASSIGNMENTS: found["assignment"]}


def _describe_settings() -> None:
    """Add the settings that are keywords to the signature and the docstring."""
    instance, first, *others, n_threads, _ = signature(GMM.__init__).parameters.values()
    first = first.replace(default=Parameter.empty, annotation=int)
    keywords = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Any) for name in KEYWORDS]
    GMM.__init__.__signature__ = Signature([instance, first, *others, *keywords, n_threads])  # type: ignore[attr-defined]
    rows = [f"    {name} : {row.kind}, optional\n        {row.help}\n" for name, row in KEYWORDS.items()]
    GMM.__doc__ = (GMM.__doc__ or "").replace("    n_threads : ", "".join(rows) + "    n_threads : ", 1)


_describe_settings()
