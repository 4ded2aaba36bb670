"""score: how well a mixture explains a table."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gmmcli.core import agreement
from gmmcli.core.arrays import Array, Booleans, Integers
from gmmcli.core.criteria import Fitness
from gmmcli.engine.evaluate import Evaluator
from gmmcli.errors import TableUnusable, ThresholdMissed, Usage
from gmmcli.jobs.evaluation import evaluate_batches, missing_of
from gmmcli.jobs.metrics import LABEL_METRICS, METRICS
from gmmcli.jobs.reading import reading
from gmmcli.notices import Notice, Notify, Progress, untold
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.model_dir import ModelDir
from gmmcli.tables import wording
from gmmcli.tables.batch import Batch
from gmmcli.tables.blocks import rechunk, rows_dropped
from gmmcli.tables.columns import encode_texts, match_features, select_column
from gmmcli.tables.operands import TableRequest

# None if no row of a group has a label.
Metrics = dict[str, float | int | None]
# A text column: for each row the index of its text, and the distinct texts; None stands for empty cells.
Coded = tuple[Integers, list[str | None]]
# A message names at most this many groups below the threshold.
_GROUPS_NAMED = 10
# The quantities of the core that are summed over rows.
_SUMMED = ("log_density", "distance", "log_max_posterior", "entropy")


@dataclass(frozen=True)
class ScoreRequest:
    """A request to measure a table; None means that an option was not given.

    Parameters
    ----------
    metric : str or None
        The metric to print; by default, all are.
    labels, by : str or None
        Names of columns.
    steps, batch_size : int or None
        Given together: measure only the first steps · batch_size rows.
    """

    model_dir: Path
    table: TableRequest
    metric: str | None = None
    labels: str | None = None
    by: str | None = None
    steps: int | None = None
    batch_size: int | None = None
    min_mean_log_likelihood: float | None = None
    checkpoint: int | None = None
    missing: str | None = None

    def check(self) -> None:
        """Raise `Usage` if an option is given without one that it needs."""
        if (self.steps is None) != (self.batch_size is None):
            raise Usage("--steps", "must be given together with --batch-size", "give both")
        if self.metric in LABEL_METRICS and self.labels is None:
            raise Usage(f"--metric {self.metric}", "needs labels", "add --labels COLUMN")


@dataclass(frozen=True)
class ScoreReport:
    """The metrics by name, of the whole table and, with --by, of each group."""

    model_dir: str
    checkpoint: int
    global_step: int
    metrics: Metrics
    groups: dict[str, Metrics] = field(default_factory=dict)
    by: str | None = None
    warnings: tuple[Notice, ...] = ()


def score(request: ScoreRequest, notify: Notify, progress: Progress = untold) -> ScoreReport:
    """Measure how well a mixture explains a table.

    Raises
    ------
    TableUnusable
        There are no rows or no labels, or the table cannot be read.
    GmmError
    """
    request.check()
    stored = ModelDir(request.model_dir).load(request.checkpoint)
    checkpoint, wanted = stored.checkpoint, ("assignment", *_SUMMED)
    missing = missing_of(request.missing, checkpoint, str(request.model_dir))
    notices: list[Notice] = []
    n_rows = n_dropped = 0
    with (
        reading(request.table) as tables,
        Evaluator(checkpoint.state, checkpoint.units, wanted, request.table.n_threads) as evaluator,
    ):
        features = match_features(tables, checkpoint.features, request.model_dir)
        labels, by = (
            None if column is None else select_column(tables, column)
            for column in (request.labels, request.by)
        )
        extra = tuple(dict.fromkeys(name for name in (labels, by) if name is not None))
        whole, groups = _Sums(checkpoint), defaultdict[str, _Sums](lambda: _Sums(checkpoint))
        batches = _first_rows(rechunk(tables.iter_batches(features, extra)), request)
        for evaluated in evaluate_batches(evaluator, batches, features, missing):
            found, complete = evaluated.found, ~evaluated.incomplete
            coded = {column: encode_texts(evaluated.batch.extra[column]) for column in extra}
            of_labels = None if labels is None else coded[labels]
            whole.add(found, np.flatnonzero(complete), of_labels)
            n_rows += evaluated.batch.n_rows
            n_dropped += int(evaluated.incomplete.sum())
            progress(f"{n_rows:,} rows")
            if by is not None:
                for group, members in _split(coded[by], complete):
                    groups[group].add(found, members, of_labels)
        name = tables.name
    if n_dropped:
        notices.append(rows_dropped(n_dropped))
        notify(notices[0])
    if not whole.rows:
        raise TableUnusable(name, "no rows to score")
    if labels is not None and not whole.by_label:
        raise TableUnusable(
            name, f'column "{labels}" has no labels: all cells are empty', "--labels with another column"
        )
    return ScoreReport(
        str(request.model_dir),
        stored.generation,
        checkpoint.global_step,
        whole.metrics(is_labelled=labels is not None),
        {group: sums.metrics(is_labelled=labels is not None) for group, sums in groups.items()},
        by,
        tuple(notices),
    )


def check_threshold(request: ScoreRequest, report: ScoreReport) -> None:
    """Raise `ThresholdMissed` if the mean log-likelihood of the table, or of any group, is too low."""
    least = request.min_mean_log_likelihood
    if least is None:
        return
    parts = {"": report.metrics} if report.by is None else report.groups
    means = ((part, metrics["mean_log_likelihood"]) for part, metrics in parts.items())
    low = sorted((mean, part) for part, mean in means if mean is not None and mean < least)
    if not low:
        return
    if report.by is None:
        fact = f"mean log-likelihood {low[0][0]:.6g} is below {least:g}"
    else:
        groups = ", ".join(f'"{wording.shown(part)}" {mean:.6g}' for mean, part in low[:_GROUPS_NAMED])
        more = f" and {len(low) - _GROUPS_NAMED} more" if len(low) > _GROUPS_NAMED else ""
        n_groups = f"{len(low)} of {wording.counted(len(parts), 'group')}"
        fact = f'mean log-likelihood is below {least:g} in {n_groups} of "{report.by}": {groups}{more}'
    raise ThresholdMissed("--min-mean-log-likelihood", fact)


class _Sums:
    """Sums over rows, from which every metric follows.

    Attributes
    ----------
    rows : int
    by_label : dict of ndarray
        For each label the number of its rows in each component; labels without rows are absent.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.rows = 0
        self._checkpoint, self._n_components = checkpoint, checkpoint.state.n_components
        self._totals = dict.fromkeys(_SUMMED, 0.0)
        self.by_label = defaultdict[str, Integers](lambda: np.zeros(self._n_components, dtype=np.int64))

    def add(self, found: dict[str, Array | Integers], members: Integers, labels: Coded | None) -> None:
        """Add some rows of a batch; rows without a label do not count in the agreement with labels."""
        self.rows += members.size
        for name in _SUMMED:
            self._totals[name] += float(found[name][members].sum())
        if labels is not None:
            K, (codes, texts) = self._n_components, labels
            cells = codes[members] * K + found["assignment"][members]
            counts = np.bincount(cells.astype(np.int64), minlength=len(texts) * K).reshape(-1, K)
            for text, row in zip(texts, counts, strict=True):
                if text is not None and row.any():
                    self.by_label[text] += row

    def metrics(self, *, is_labelled: bool) -> Metrics:
        """Return every metric by name, with `is_labelled` also those of agreement with labels."""
        total, checkpoint = self._totals, self._checkpoint
        fitness = Fitness(
            total["log_density"] - self.rows * checkpoint.units.log_jacobian,
            total["log_max_posterior"],
            self.rows,
            float(self.rows),
            checkpoint.state.n_parameters,
        )
        sums = {"distance_sum": total["distance"], "entropy": total["entropy"]}
        found: Metrics = {name: sums[name] if name in sums else getattr(fitness, name) for name in METRICS}
        if is_labelled:
            table = np.array(list(self.by_label.values()), dtype=np.float64)
            for name in LABEL_METRICS:
                found[name] = getattr(agreement, name)(table) if self.by_label else None
        return found


def _first_rows(batches: Iterator[Batch], request: ScoreRequest) -> Iterator[Batch]:
    """Yield the first steps x batch size rows, or all."""
    if request.steps is None or request.batch_size is None:
        yield from batches
        return
    left = request.steps * request.batch_size
    for batch in batches:
        yield batch.slice(0, left)
        left -= batch.n_rows
        if left <= 0:
            return


def _split(coded: Coded, complete: Booleans) -> Iterator[tuple[str, Integers]]:
    """Yield the complete rows of each group; rows with an empty cell form a group, too."""
    codes, texts = coded
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(texts) + 1))
    for text, begin, end in zip(texts, bounds[:-1], bounds[1:], strict=True):
        members = order[begin:end]
        members = members[complete[members]]
        if members.size:
            yield text or "", members
