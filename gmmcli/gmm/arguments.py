"""The arguments of the estimator: their checks, and their conversion for the jobs."""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from gmmcli.errors import Given, GmmError, Usage
from gmmcli.fitting.init_file import WORDS
from gmmcli.fitting.options import Option, options_of
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.settings import Settings
from gmmcli.notices import Notice
from gmmcli.remedies import in_python
from gmmcli.tables.held import InMemory
from gmmcli.tables.memory import hold

# The arguments of the constructor that set a setting of the model.
SETTINGS = {row.python: row for _, row in options_of(Settings) if row.python is not None}
# The argument for each option of the command line that has one.
_ARGUMENTS = {name: argument for argument, row in SETTINGS.items() for name in row.names}
_ARGUMENTS |= {"--threads": "n_threads", "--checkpoint": "checkpoint_path"}
_OPTION = re.compile(r"--[a-z][a-z-]*")
# The option of a fit that each field of RunConfig sets.
_OF_A_RUN = {
    "save_checkpoints_steps": "checkpoint_steps",
    "save_checkpoints_secs": "checkpoint_seconds",
    "save_summary_steps": "log_every",
    "keep_checkpoint_max": "keep",
    "keep_every": "keep_every",
}
LOG = logging.getLogger("gmmcli")
# For arguments of GaussianMixture that have another name here: what a message adds.
NAME_HERE = {
    "n_components": ": use num_clusters",
    "random_state": ": use random_seed",
    "n_init": ": use restarts",
    "init_params": ": use initial_clusters",
    "means_init": ": use initial_clusters",
    "max_iter": ": use fit(x, steps=N), or monitors for a cap",
}
_CHECKPOINT = re.compile(r"ckpt-(\d+)(?:\.h5)?", re.ASCII)


def in_a_line(value: Any) -> str:
    """Return a value for a message; only its type if it is long."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"of type {type(value).__name__}"


def check_integer(least: int, **values: Any) -> None:
    """Raise `Usage` unless each argument is None or an integer >= `least`."""
    for name, value in values.items():
        _check(Option((), "", least=least), name, value)


def _check(row: Option, name: str, value: Any) -> None:
    """Raise `Usage` unless an argument is None or a value that an option allows."""
    if value is not None:
        try:
            row.checked(value, in_a_line(value))
        except ValueError as error:
            raise Usage(name, str(error)) from None


def check_path(name: str, value: Any) -> None:
    """Raise `Usage` unless an argument is a path: an empty one would be the working directory."""
    text = os.fspath(value) if isinstance(value, str | PathLike) else ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise Usage(name, f"must be a path, not {in_a_line(value)}")


@dataclass(frozen=True)
class RunConfig:
    """How a run writes checkpoints and its log.

    Parameters
    ----------
    save_checkpoints_steps : int, optional
    save_checkpoints_secs : float, optional
        Write a checkpoint after so many steps or seconds; the default is 600 seconds. Both are an error.
    save_summary_steps : int
        Log every Nth step to log.jsonl and to event files; 0 logs none.
    keep_checkpoint_max : int, optional
        Keep the newest N checkpoints; 0 keeps all. The default is that of the model, 5 for a new one.
    keep_every : int, optional
        Also keep every Nth checkpoint.

    Raises
    ------
    ValueError
        A value cannot be used, or two contradict each other.
    """

    save_checkpoints_steps: int | None = None
    save_checkpoints_secs: float | None = None
    save_summary_steps: int = 100
    keep_checkpoint_max: int | None = None
    keep_every: int | None = None

    def __post_init__(self) -> None:
        if self.save_checkpoints_steps is not None and self.save_checkpoints_secs is not None:
            raise Usage("save_checkpoints_steps", "cannot be used with save_checkpoints_secs")
        rows = dict(options_of(Settings)) | dict(options_of(FitRequest))
        for name, option in _OF_A_RUN.items():
            _check(rows[option], name, getattr(self, name))


@dataclass(frozen=True)
class Step:
    """The argument of a monitor: the number of steps of the model, and the mean log-likelihood after them."""

    global_step: int
    mean_log_likelihood: float


Monitor = Callable[[Step], bool | None]


def refuse(fact: str, **values: Any) -> None:
    """Raise `Usage` for the first argument that is given."""
    for name, value in values.items():
        if value is not None:
            raise Usage(name, fact, "omit it")


def check_monitors(monitors: Any) -> None:
    """Raise `Usage` unless monitors are a sequence of callables, or None."""
    if monitors is not None and not (isinstance(monitors, Sequence) and all(map(callable, monitors))):
        raise Usage("monitors", f"must be a list of callables, not {in_a_line(monitors)}")


def call_monitors(monitors: Sequence[Monitor] | None, global_step: int, mean_log_likelihood: float) -> bool:
    """Call every monitor; return whether one of them ends the run."""
    answers = [monitor(Step(global_step, mean_log_likelihood)) for monitor in monitors or ()]
    return any(answers)


def log_notice(notice: Notice) -> None:
    """Pass a notice of a job to Python's logging; options that are arguments here have their names."""
    text = _OPTION.sub(lambda match: _ARGUMENTS.get(match[0], match[0]), notice.text)
    LOG.log(logging.INFO if notice.level == "information" else logging.WARNING, text)


@contextlib.contextmanager
def in_terms_of_python() -> Iterator[None]:
    """Let errors of a job name arguments of Python instead of options of the command line."""
    try:
        yield
    except GmmError as error:
        if isinstance(error.subject, Given):
            error.subject = _ARGUMENTS.get(error.subject.option, error.subject)
        # A hint that is plain text is one for the shell.
        remedy = None if isinstance(error.hint, str | None) else in_python(error.hint, _ARGUMENTS)
        if remedy is not None:
            error.add_note(f"try: {remedy}")
        raise


def validate(params: Mapping[str, Any]) -> None:
    """Check the arguments of the constructor.

    Raises
    ------
    Usage
        A value cannot be used.
    """
    check_integer(1, n_threads=params["n_threads"])
    for name in ("num_clusters", "random_seed"):
        if params[name] is None:
            raise Usage(name, "must be given")
    for name, row in SETTINGS.items():
        _check(row, name, params[name])
    if not isinstance(params["config"], RunConfig | None):
        raise Usage("config", f"must be a RunConfig, not {in_a_line(params['config'])}")
    if params["model_dir"] is not None:
        check_path("model_dir", params["model_dir"])
    given = params["initial_clusters"]
    if params["restarts"] is not None and not (isinstance(given, str) and given in WORDS):
        raise Usage("restarts", "given means are a single start", "omit it")


def operand_of(x: Any, y: Any = None, input_fn: Callable[[], Any] | None = None) -> str | InMemory:
    """Return the table that is x, or that input_fn returns.

    Raises
    ------
    Usage
        Both x and input_fn are given, or neither.
    TableUnusable
        The object is not a table.
    """
    if input_fn is not None and (x is not None or y is not None):
        raise Usage("input_fn", "cannot be used with x and y", "give one of them")
    if x is None and input_fn is None:
        raise Usage("x", "no table is given", "give x or input_fn")
    content = x if input_fn is None else input_fn()
    if isinstance(content, tuple) and input_fn is not None:
        if not content:
            raise Usage("input_fn", "returned nothing", "return a table, or features and labels")
        content = content[0]
    return str(content) if isinstance(content, (str, PathLike)) else hold(content)


def x_or_input_fn(given: Any) -> dict[str, Any]:
    """Return the keyword x or input_fn for an argument that may be either."""
    return {"input_fn" if callable(given) else "x": given}


def split(operand: str | InMemory, batch_size: int) -> Iterator[InMemory]:
    """Yield a table in parts of `batch_size` rows."""
    if isinstance(operand, str):
        raise Usage("batch_size", "needs a table in memory, not a path", "omit it")
    for first in range(0, max(len(operand), 1), batch_size):
        yield operand.part(first, first + batch_size)


def first_rows(operand: str | InMemory, batch_size: int | None, steps: int | None) -> str | InMemory:
    """Return the first batch_size · steps rows of a table; if either is None, all rows."""
    if batch_size is None or steps is None:
        return operand
    if isinstance(operand, str):
        raise Usage("steps", "needs a table in memory, not a path", "omit it")
    return operand.part(0, batch_size * steps)


def generation_of(checkpoint_path: Any, model_dir: str) -> int:
    """Return the number of a checkpoint, given by its number or by the path of its file.

    Raises
    ------
    Usage
        The argument is neither a number nor the path of a checkpoint in `model_dir`.
    """
    if not isinstance(checkpoint_path, (str, PathLike)):
        check_integer(1, checkpoint_path=checkpoint_path)
        return int(checkpoint_path)
    path = Path(checkpoint_path)
    found = _CHECKPOINT.fullmatch(path.name)
    if found is None:
        raise Usage("checkpoint_path", f"must be named ckpt-NUMBER.h5, not {in_a_line(str(path))}")
    folder = Path(model_dir, "checkpoints")
    if path.parent != Path() and path.parent.resolve() != folder.resolve():
        fact = f"must be in {folder}, not {in_a_line(str(path))}"
        raise Usage("checkpoint_path", fact, "use another model_dir")
    return int(found[1])
