"""What may be asked of fit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gmmcli.errors import Usage
from gmmcli.jobs.reading import TableRequest

# A pair of options that exclude one another stands under the one that is named first.
_EXCLUDED = {
    "steps": ("max_steps", "max_iter"),
    "max_steps": ("max_iter",),
    "checkpoint_steps": ("checkpoint_seconds",),
    "fresh": ("rollback",),
    "partial": (
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
    "validation": ("checkpoint_seconds",),
}
# Options whose name is not that of their field.
_OPTIONS = {"time_limit_s": "time_limit"}


@dataclass(frozen=True)
class FitRequest:
    """What was asked for; None is "not given".

    Parameters
    ----------
    model_dir : Path
    table : TableRequest
    settings : dict
        components, covariance_type, init, restarts, seed, params, reg_covar, missing, tol, accelerate, keep,
        keep_every.
    columns, exclude : tuple of str
    steps, max_steps, max_iter : int
        With `partial`, `steps` are those of the update.
    checkpoint_steps : int
    checkpoint_seconds, time_limit_s : float
    fresh, rollback, require_convergence : bool
    log_every : int
        Steps between two that the log tells of; 0: it tells of none.
    batch_size : int
        Rows to learn from before each step.
    validation : str
        A table to check checkpoints by.
    patience : int
        Checks without a gain after which the run ends.
    partial : bool
        Add the table to what the model knows, rather than learn from it alone.
    decay : float
        What the model knows is multiplied by it first; of `partial`.
    source_date_epoch : int
    monitor : callable
        Told step and mean log-likelihood of every pair; True ends the run. Python only.
    """

    model_dir: Path
    table: TableRequest
    settings: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    steps: int | None = None
    max_steps: int | None = None
    max_iter: int | None = None
    checkpoint_steps: int | None = None
    checkpoint_seconds: float | None = None
    time_limit_s: float | None = None
    fresh: bool = False
    rollback: bool = False
    require_convergence: bool = False
    log_every: int = 100
    batch_size: int | None = None
    validation: str | None = None
    patience: int | None = None
    partial: bool = False
    decay: float | None = None
    source_date_epoch: int | None = None
    monitor: Callable[[int, float], bool] | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the run ends at a number of steps, rather than at convergence."""
        return self.steps is not None or self.max_steps is not None

    @property
    def update_steps(self) -> int:
        """Steps of a partial fit."""
        return 1 if self.steps is None else self.steps

    @property
    def kept_share(self) -> float:
        """What a partial fit keeps of earlier rows, 0 to 1."""
        return 1.0 if self.decay is None else self.decay

    def check(self) -> None:
        """Raise `Usage` where options exclude one another."""
        if self.decay is not None and not self.partial:
            raise Usage("--decay", "goes with --partial", "add --partial")
        if self.patience is not None and self.validation is None:
            raise Usage("--patience", "goes with --validation", "add --validation TABLE")
        if self.validation == "-":
            raise Usage("--validation", "is read from a file, not from stdin", "name a file")
        for one, others in _EXCLUDED.items():
            for other in others:
                if self._is_given(one) and self._is_given(other):
                    names = [f"--{_OPTIONS.get(name, name).replace('_', '-')}" for name in (one, other)]
                    raise Usage(names[0], f"excludes {names[1]}", "give one of them")

    def _is_given(self, name: str) -> bool:
        """Tell whether an option is there."""
        value = getattr(self, name)
        return value is not None and value is not False
