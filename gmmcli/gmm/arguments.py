"""Arguments of the estimator: what they may be, and what they stand for."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from gmmcli.core.em import PARAMS
from gmmcli.core.mixture import COVARIANCE_TYPES
from gmmcli.errors import Usage
from gmmcli.jobs.notice import Notice
from gmmcli.tables.held import InMemory
from gmmcli.tables.memory import hold

LOG = logging.getLogger("gmmcli")
_CHECKPOINT = re.compile(r"(?:.*/)?ckpt-(\d+)(?:\.h5)?")


@dataclass(frozen=True)
class RunConfig:
    """How a run writes checkpoints and its log.

    Parameters
    ----------
    save_checkpoints_steps : int, optional
    save_checkpoints_secs : float, optional
        600 if neither is given; both are an error.
    save_summary_steps : int
        Steps between two that log.jsonl tells of; 0: of none.
    keep_checkpoint_max : int
        Newest checkpoints that stay; 0: all.
    keep_every : int, optional
        Checkpoints whose number it divides stay for ever.
    """

    save_checkpoints_steps: int | None = None
    save_checkpoints_secs: float | None = None
    save_summary_steps: int = 100
    keep_checkpoint_max: int = 5
    keep_every: int | None = None

    def __post_init__(self) -> None:
        if self.save_checkpoints_steps is not None and self.save_checkpoints_secs is not None:
            raise Usage("save_checkpoints_steps", "excludes save_checkpoints_secs")


@dataclass(frozen=True)
class Step:
    """What a monitor is told: M-steps made so far, and the mean log-likelihood that they came to."""

    global_step: int
    mean_log_likelihood: float


Monitor = Callable[[Step], bool | None]


def is_any_done(monitors: Sequence[Monitor] | None, step: Step) -> bool:
    """Tell every monitor of a step, and whether one of them asks for the end."""
    return True in [bool(monitor(step)) for monitor in monitors or ()]


def log_notice(notice: Notice) -> None:
    """Log what a job tells."""
    LOG.log(logging.WARNING if notice.is_warning else logging.INFO, notice.text)


def validate(params: Mapping[str, Any]) -> None:
    """Check the arguments of the constructor, each by itself.

    Raises
    ------
    Usage
        One makes no sense.
    """
    for name, least in (("num_clusters", 1), ("random_seed", 0)):
        value = params[name]
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise Usage(name, f"{value!r} is no whole number of at least {least}")
    letters = params["params"]
    if not isinstance(letters, str) or not letters or set(letters) - set(PARAMS):
        raise Usage("params", f"{letters!r} is no combination of w, m, c")
    for name, known in (
        ("covariance_type", COVARIANCE_TYPES),
        ("missing", ("error", "drop")),
        ("accelerate", ("auto", "none")),
    ):
        if params[name] not in known:
            raise Usage(name, f"{params[name]!r} is none of {', '.join(known)}")
    for name in ("tol", "reg_covar"):
        value = params[name]
        if not isinstance(value, (int, float, np.number)) or not 0 <= value < np.inf:
            raise Usage(name, f"{value!r} is no number of at least 0")


def operand_of(x: Any, y: Any, input_fn: Callable[[], Any] | None) -> str | InMemory:
    """Return the table that x or input_fn stands for.

    Raises
    ------
    Usage
        Both are given, or neither.
    TableUnusable
        It is no table.
    """
    if input_fn is not None and (x is not None or y is not None):
        raise Usage("input_fn", "excludes x and y", "give one of them")
    if x is None and input_fn is None:
        raise Usage("x", "no table is given", "give x or input_fn")
    content = x if input_fn is None else input_fn()
    if isinstance(content, tuple) and input_fn is not None:
        content = content[0]  # features and labels
    return str(content) if isinstance(content, (str, PathLike)) else hold(content)


def x_or_input_fn(given: Any) -> tuple[Any, Callable[[], Any] | None]:
    """Return x and input_fn, of which one is given in the place of the other."""
    return (None, given) if callable(given) else (given, None)


def split(operand: str | InMemory, batch_size: int) -> Iterator[InMemory]:
    """Yield parts of a table of so many rows."""
    if isinstance(operand, str):
        raise Usage("batch_size", "goes with a table in memory", "leave it away")
    for first in range(0, len(operand), batch_size):
        yield operand.part(first, first + batch_size)


def generation_of(checkpoint_path: str | int | None) -> int | None:
    """Return the number of a checkpoint, given that or the path of its file.

    Raises
    ------
    Usage
        It is neither.
    """
    if checkpoint_path is None or isinstance(checkpoint_path, int):
        return checkpoint_path
    found = _CHECKPOINT.fullmatch(str(checkpoint_path))
    if found is None:
        raise Usage("checkpoint_path", f"{checkpoint_path!r} is no ckpt-NUMBER.h5")
    return int(found[1])
