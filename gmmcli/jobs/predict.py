"""predict: one row out per row in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gmmcli.core import quantiles
from gmmcli.core.arrays import Booleans
from gmmcli.engine.evaluate import Evaluator
from gmmcli.errors import TableUnusable, Usage
from gmmcli.jobs.evaluation import evaluate_batches, missing_of
from gmmcli.jobs.reading import reading
from gmmcli.jobs.target import refuse_input, refuse_inside
from gmmcli.notices import Notify, Progress
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.model_dir import ModelDir
from gmmcli.tables.blocks import rows_dropped
from gmmcli.tables.columns import columns_late, match_features, select_extra
from gmmcli.tables.operands import TableRequest
from gmmcli.tables.sink import Sink, open_sink

# For each output the quantity of the core that it is computed from; `all` lists them in this order.
QUANTITY = {
    "assignment": "assignment",
    "probability": "probability",
    "probabilities": "probabilities",
    "distances": "distances",
    "distance": "distance",
    "log_density": "log_density",
    "uncertainty": "probability",
    "outlier": "log_density",
}
ALIASES = {"assignments": ("assignment",), "all_scores": ("distances",), "all": tuple(QUANTITY)}


@dataclass(frozen=True)
class PredictRequest:
    """A request to apply a model; None means that an option was not given.

    Parameters
    ----------
    outputs : tuple of str
        Keys of QUANTITY or ALIASES, in the order of the columns.
    outlier_quantile : float
        A row is an outlier if its log density is below this quantile of the training rows.
    output : Path or None
        The file to write; if it is None, `stdout` is given.
    passed : tuple of str
        Patterns of columns to copy to the output; ("all",) for every column.
    batch_size : int or None
        Rows per write.
    missing : str or None
        How to treat rows with missing values; by default, as when the model was fitted.
    """

    model_dir: Path
    table: TableRequest
    stdout: BinaryIO | None
    outputs: tuple[str, ...]
    outlier_quantile: float
    output: Path | None
    output_format: str
    passed: tuple[str, ...]
    checkpoint: int | None
    batch_size: int | None
    missing: str | None


def resolve_outputs(names: Sequence[str]) -> tuple[str, ...]:
    """Replace aliases by the outputs that they stand for, and drop repetitions.

    Raises
    ------
    Usage
        A name is unknown.
    """
    resolved: dict[str, None] = {}
    for name in names:
        if name not in QUANTITY and name not in ALIASES:
            known = ", ".join((*QUANTITY, *ALIASES))
            raise Usage("--outputs", f'"{name}" is not an output', f"choose from {known}")
        resolved.update(dict.fromkeys(ALIASES.get(name, (name,))))
    return tuple(resolved)


def predict(request: PredictRequest, notify: Notify, progress: Progress) -> None:
    """Write a prediction for every row of the table.

    Raises
    ------
    GmmError
        A failed command leaves no partial target.
    """
    outputs = resolve_outputs(request.outputs)
    checkpoint = ModelDir(request.model_dir).load(request.checkpoint).checkpoint
    with reading(request.table) as tables:
        if request.output is not None:
            refuse_inside(f"-o {request.output}", request.output, request.model_dir)
        output = request.output or request.stdout
        if output is not None:
            refuse_input(output, tables.paths, request.table.stdin)
        features = match_features(tables, checkpoint.features, request.model_dir)
        passed = select_extra(tables, "all" if request.passed == ("all",) else request.passed)
        columns = _Columns(checkpoint, outputs, request.outlier_quantile)
        for name in passed:
            if name in columns.names:
                fact = f'column "{name}" has the name of an output'
                raise TableUnusable(tables.name, fact, "rename it, or choose other columns with --pass")
        missing = missing_of(request.missing, checkpoint, str(request.model_dir))
        n_rows = n_dropped = 0
        with (
            Evaluator(
                checkpoint.state, checkpoint.units, columns.wanted, request.table.n_threads
            ) as evaluator,
            open_sink(request.output, request.output_format, stdout=request.stdout) as sink,
        ):
            batches = tables.iter_batches(features, passed)
            for rows in evaluate_batches(evaluator, batches, features, missing):
                n_dropped += int(rows.incomplete.sum())
                made = {**rows.batch.extra, **columns.make(rows.found, rows.incomplete)}
                _write(sink, made, rows.batch.n_rows, request.batch_size)
                n_rows += rows.batch.n_rows
                progress(f"{n_rows:,} rows")
        if request.passed == ("all",) and tables.late is not None:
            notify(columns_late(tables.late, tuple(tables.late.columns)))
    if n_dropped:
        notify(rows_dropped(n_dropped, "outputs left empty"))


def _write(sink: Sink, columns: Mapping[str, Any], n_rows: int, batch_size: int | None) -> None:
    """Write a batch, `batch_size` rows at a time."""
    step = batch_size or max(n_rows, 1)
    for start in range(0, max(n_rows, 1), step):
        stop = min(start + step, n_rows)
        sink.write({name: column[start:stop] for name, column in columns.items()}, stop - start)


class _Columns:
    """The output columns.

    Attributes
    ----------
    names : tuple of str
        Column names in order.
    wanted : tuple of str
        The quantities of the core that the outputs are computed from.
    """

    def __init__(self, checkpoint: Checkpoint, outputs: tuple[str, ...], outlier_quantile: float) -> None:
        self._outputs = outputs
        self._log_jacobian = checkpoint.units.log_jacobian
        self._threshold = quantiles.quantile(checkpoint.quantiles, outlier_quantile)
        names: list[str] = []
        for output in outputs:
            stem = {"probabilities": "probability", "distances": "distance"}.get(output)
            components = range(checkpoint.state.n_components)
            names += [output] if stem is None else [f"{stem}_{k}" for k in components]
        self.names = tuple(names)
        self.wanted = tuple(dict.fromkeys(QUANTITY[output] for output in outputs))

    def make(self, found: dict[str, Any], incomplete: Booleans) -> dict[str, Any]:
        """Return the columns of a batch; incomplete rows have empty cells."""
        arrays: list[Any] = []
        for output in self._outputs:
            values = found[QUANTITY[output]]
            match output:
                case "probabilities" | "distances":
                    arrays.extend(values)
                case "log_density":
                    arrays.append(values - self._log_jacobian)
                case "uncertainty":
                    arrays.append(1.0 - values)
                case "outlier":
                    arrays.append(values < self._threshold)
                case _:
                    arrays.append(values)
        if incomplete.any():
            arrays = [np.ma.masked_array(values, mask=incomplete) for values in arrays]
        return dict(zip(self.names, arrays, strict=True))
