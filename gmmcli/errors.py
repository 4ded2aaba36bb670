"""Every error that gmmcli can report: what is wrong, its exit status, what to type next.

A message is `subject: fact`; the hint, if any, is something to type: a remedy that each face spells, or plain
text. Exit statuses follow sysexits.h where it has one. Knows nothing of the rest of the program.
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from gmmcli.remedies import AnyOf, Hint, Increase, without


class Given(NamedTuple):
    """An option with its value, as the subject of an error: Python names its argument instead."""

    option: str
    value: str

    def __str__(self) -> str:
        return f"{self.option} {self.value}"


class GmmError(Exception):
    """Something the user can be told in one line.

    Parameters
    ----------
    subject : str or Given
        What the message is about: a file with line, a model directory, an option.
    fact : str
        What is so, with numbers.
    hint : Remedy or str, optional
        What to type next.
    """

    status = 1

    def __init__(self, subject: str | Given, fact: str, hint: Hint | None = None) -> None:
        super().__init__(subject, fact, hint)
        self.subject = subject
        self.fact = fact
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.subject}: {self.fact}"

    def without(self, kind: type) -> Self:
        """Return the error; take remedies of a kind that cannot be followed here out of its hint."""
        self.hint = without(self.hint, kind)
        return self


class Usage(GmmError, ValueError):
    """The command line is wrong: an unknown option or value, or a contradiction, also to the model."""

    status = 2


class NotConverged(GmmError):
    """The run ended before it converged, and --require-convergence or --time-limit is given."""

    status = 3


class ThresholdMissed(GmmError):
    """The mean log-likelihood is below --min-mean-log-likelihood."""

    status = 4


class TableUnusable(GmmError, ValueError):
    """The content of a table or file cannot be used."""

    status = 65


class NoNumbers(TableUnusable, TypeError):
    """An array holds values that are not numbers. In Python, this is a TypeError as well."""


class NotFound(GmmError):
    """A table, model directory or checkpoint does not exist."""

    status = 66


class NotFitted(NotFound, ValueError, AttributeError):
    """An estimator has no model yet."""


class NumericalFailure(GmmError):
    """The computation cannot continue, for example because a covariance is singular."""

    status = 70


class CovarianceNotPositive(NumericalFailure):
    """A covariance has no Cholesky factor.

    Parameters
    ----------
    component : int or None
        None for the one that all components share.
    features : tuple of int
        Positions of the columns that take part in the direction without variance.
    """

    def __init__(self, component: int | None, features: tuple[int, ...]) -> None:
        where = "all components" if component is None else f"component {component}"
        hint = AnyOf((Increase("--reg-covar"), "fewer components"))
        super().__init__(where, "covariance not positive definite", hint)
        self.component = component
        self.features = features

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.component, self.features)


class OutOfMemory(GmmError):
    """There is not enough memory."""

    status = 71


class CannotCreate(GmmError):
    """The output or the model directory cannot be created."""

    status = 73


class ReadWriteFailed(GmmError):
    """Reading or writing failed, for example because the disk is full."""

    status = 74


class ModelDirBusy(GmmError):
    """Another process writes to the model directory, or was first: try again later."""

    status = 75

    def __init__(self, subject: str, fact: str, hint: Hint | None = "try again later") -> None:
        super().__init__(subject, fact, hint)


class CheckpointCorrupt(GmmError):
    """A checkpoint is damaged or missing, or has a format that this version does not know."""

    status = 76


class FormatUnknown(CheckpointCorrupt):
    """A checkpoint is undamaged, but only a newer version can read its format."""


class PermissionRefused(GmmError):
    """The operating system refused access."""

    status = 77


class Stopped(BaseException):
    """A signal asked the process to end; not an error, hence not an Exception."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


_BY_ERRNO: dict[int, type[GmmError]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EACCES: PermissionRefused,
    errno.EPERM: PermissionRefused,
    errno.EROFS: PermissionRefused,
    errno.ENOMEM: OutOfMemory,
}


# How libraries put it that there is no memory.
_NO_MEMORY = (
    "annot allocate memory",
    "failed to map segment",
    "launch worker thread",
    "start new thread",
    "Unable to allocate",
)


def lacks_memory(error: Exception) -> bool:
    """Tell whether an error of Python or of a library says that there is no memory, or no thread."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def from_os_error(subject: str | Given, error: OSError, hint: Hint | None = None) -> GmmError:
    """Return the error of gmmcli that an operating system error stands for.

    A missing path is 66, a refused one 77, no memory 71, everything else 74.
    """
    kind = _BY_ERRNO.get(error.errno or 0, ReadWriteFailed)
    fact = (error.strerror or str(error)).lower()
    return kind(subject, fact, hint)


@contextlib.contextmanager
def reporting(subject: str | Path) -> Iterator[None]:
    """Turn operating system errors in the block into those of gmmcli."""
    try:
        yield
    except OSError as error:
        raise from_os_error(str(subject), error) from error
