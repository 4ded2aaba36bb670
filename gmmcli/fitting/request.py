"""The request of a fit: one field for each option of one run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from gmmcli.errors import Usage
from gmmcli.fitting.options import option, options_of

Criterion = Literal["bic", "aic", "icl", "cv", "cv-1se"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
# Those that score rows which were held out.
CROSS_VALIDATED: tuple[Criterion, ...] = ("cv", "cv-1se")

if TYPE_CHECKING:
    from gmmcli.tables.operands import TableRequest


@dataclass(frozen=True)
class FitRequest:
    """A request for one run; None means that an option was not given.

    Parameters
    ----------
    settings : dict
        Fields of `Settings` by name.
    source_date_epoch : int, optional
        Unix time, in seconds, that checkpoints store instead of the clock's.
    monitor : callable, optional
        Called with the number of each step and its mean log-likelihood; the run ends if it returns True.
    columns, exclude, ... : see `help`
        The options. With `partial`, `steps` counts the updates.
    """

    model_dir: Path
    table: "TableRequest"
    settings: dict[str, Any] = field(default_factory=dict)
    source_date_epoch: int | None = None
    monitor: Callable[[int, float], bool] | None = None

    columns: tuple[str, ...] = option(
        "--columns",
        help="Columns to use, separated by commas: names, patterns, or positions from 1 ('#1', '#2-#5') "
        "[default: all numeric columns].",
        kind="names",
        missing=(),
    )
    exclude: tuple[str, ...] = option(
        "--exclude", help="Columns not to use, written as for --columns.", kind="names", missing=()
    )
    criterion: Criterion = option(
        "--criterion",
        help="How to choose among several models: bic, aic, icl, or by cross-validation cv; cv-1se takes the "
        "simplest model within one standard error of the best [default: bic].",
        kind="word",
        words=CRITERIA,
        missing="bic",
    )
    folds: int = option(
        "--folds", help="Folds of the cross-validation [default: 5].", least=2, most=1000, missing=5
    )
    choose: tuple[str, ...] = option(
        "--choose",
        help="Make another model of an earlier choice the newest checkpoint, without fitting: its number of "
        "components, its covariance type, or both, e.g. tied,4.",
        kind="names",
        metavar="[TYPE,]N",
        missing=(),
        excludes=(
            "columns",
            "exclude",
            "steps",
            "max_steps",
            "max_iter",
            "batch_size",
            "partial",
            "validation",
            "fresh",
            "rollback",
            "checkpoint_steps",
            "checkpoint_seconds",
            "time_limit_s",
            "require_convergence",
        ),
    )
    steps: int | None = option(
        "--steps", help="Make N more steps.", least=0, missing=None, excludes=("max_steps", "max_iter")
    )
    max_steps: int | None = option(
        "--max-steps",
        help="Run until the model has made N steps in all.",
        least=0,
        missing=None,
        excludes=("max_iter",),
    )
    max_iter: int | None = option(
        "--max-iter", help="Stop a run to convergence after N steps [default: 1000].", least=0, missing=None
    )
    batch_size: int | None = option(
        "--batch-size",
        help="Make a step after every N rows; --max-iter then counts passes over the table.",
        least=1,
        missing=None,
    )
    partial: bool = option(
        "--partial",
        help="Add the rows of TABLE to the model, with --steps N updates [default: 1].",
        kind="flag",
        missing=False,
        excludes=(
            "max_steps",
            "max_iter",
            "checkpoint_steps",
            "checkpoint_seconds",
            "time_limit_s",
            "fresh",
            "require_convergence",
            "validation",
            "batch_size",
        ),
    )
    decay: float | None = option(
        "--decay",
        help="With --partial: multiply the weight of earlier rows by F first [default: 1].",
        kind="number",
        least=0,
        most=1,
        missing=None,
        needs="partial",
    )
    validation: str | None = option(
        "--validation",
        help="Score this table every --checkpoint-steps steps [default: 10]; keep the best checkpoint.",
        kind="text",
        metavar="TABLE",
        missing=None,
        excludes=("checkpoint_seconds",),
    )
    patience: int | None = option(
        "--patience",
        help="With --validation: stop after N checks in a row without improvement.",
        least=1,
        missing=None,
        needs="validation",
    )
    fresh: bool = option(
        "--fresh",
        help="Ignore the model in the directory and start a new model.",
        kind="flag",
        missing=False,
        excludes=("rollback",),
    )
    rollback: bool = option(
        "--rollback", help="Continue from the newest undamaged checkpoint.", kind="flag", missing=False
    )
    checkpoint_steps: int | None = option(
        "--checkpoint-steps",
        help="Write a checkpoint every N steps.",
        least=1,
        missing=None,
        excludes=("checkpoint_seconds",),
    )
    checkpoint_seconds: float | None = option(
        "--checkpoint-seconds",
        help="Write a checkpoint every F seconds [default: 600].",
        kind="number",
        least=0,
        missing=None,
    )
    log_every: int = option(
        "--log-every", help="Log every Nth step; 0 logs none [default: 100].", least=0, missing=100
    )
    time_limit_s: float | None = option(
        "--time-limit",
        help="Write a checkpoint and stop after F seconds; exit 3 if not converged.",
        kind="number",
        above=0,
        missing=None,
    )
    require_convergence: bool = option(
        "--require-convergence",
        help="Exit 3 if the run does not converge.",
        kind="flag",
        missing=False,
    )

    @property
    def is_counted(self) -> bool:
        """Whether the run ends at a number of steps, rather than at convergence."""
        return self.steps is not None or self.max_steps is not None

    @property
    def update_steps(self) -> int:
        """Number of updates of a partial fit."""
        return 1 if self.steps is None else self.steps

    @property
    def kept_share(self) -> float:
        """Factor on the statistics of earlier rows in a partial fit, 0 to 1."""
        return 1.0 if self.decay is None else self.decay

    def check(self) -> None:
        """Raise `Usage` if an option is given without one that it needs, or with one that it excludes."""
        rows = dict(options_of(type(self)))
        given = {name for name in rows if getattr(self, name) not in (None, False, ())}
        for name, row in rows.items():
            if name in given and row.needs and row.needs not in given:
                needed = rows[row.needs]
                value = f" {needed.metavar}" if needed.metavar else ""
                raise Usage(row.name, f"needs {needed.name}", f"add {needed.name}{value}")
        if self.validation == "-":
            raise Usage("--validation", "must be a file, not stdin", "name a file")
        for name, row in rows.items():
            for other in row.excludes:
                if name in given and other in given:
                    raise Usage(row.name, f"cannot be used with {rows[other].name}", "give one of them")
