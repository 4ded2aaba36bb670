"""stdin, stdout and stderr: results, messages, progress, and when to be silent."""

import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from gmmcli.errors import GmmError, NotFound, ReadWriteFailed, Usage, reporting
from gmmcli.notices import Notice
from gmmcli.remedies import in_shell, printable, quoted

if TYPE_CHECKING:
    from rich.status import Status

PROGRESS_INTERVAL_S = 0.1
MESSAGE_CHARACTERS = 1000


class Console:
    """The standard streams of one command, and how much it prints.

    Attributes
    ----------
    verb : str
        The verb of the command line, for messages.
    verbosity : int
        −2 with -qq, −1 with -q, 0, 1 with -v, 2 with -vv.
    color, progress : bool or None
        None: on if stderr is a terminal.
    debug : bool
        Whether to print tracebacks.
    """

    def __init__(self) -> None:
        self.verb = ""
        self.verbosity = 0
        self.color: bool | None = None
        self.progress: bool | None = None
        self.debug = False

    @property
    def stderr_is_terminal(self) -> bool:
        """Whether stderr is a terminal."""
        return sys.stderr is not None and sys.stderr.isatty()

    @property
    def stdout_is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return sys.stdout is not None and sys.stdout.isatty()

    def stdin_for(self, operands: tuple[str, ...]) -> BinaryIO | None:
        """Return stdin if there is no operand or one is `-`, else None.

        Raises
        ------
        Usage
            stdin is a terminal, and no operand is given.
        NotFound
            stdin is closed.
        """
        if operands and "-" not in operands:
            return None
        if sys.stdin is None:
            raise NotFound("-", "stdin is closed", "name a table, or pipe one in")
        if not operands and sys.stdin.isatty():
            raise Usage("TABLE", "none given, and stdin is a terminal", f"{typed()} table.csv")
        return sys.stdin.buffer

    def stdout(self) -> BinaryIO:
        """Return stdout; commands call this before they begin, to fail early.

        Raises
        ------
        ReadWriteFailed
            stdout is closed.
        """
        return sys.stdout.buffer

    def write(self, text: str) -> None:
        """Write a result to stdout.

        Raises
        ------
        ReadWriteFailed
        """
        with reporting("stdout"):
            self.stdout().write(text.encode("utf-8", "surrogateescape"))

    def error(self, error: GmmError) -> None:
        """Print an error and its hint."""
        self._say("error", str(error))
        if error.hint:
            self._print(f"{self._paint('hint:', '36')} {_line(in_shell(error.hint))}")

    def notify(self, notice: Notice) -> None:
        """Print serious warnings unless -qq, others unless -q, information on a terminal or with -v."""
        needed = {"serious": -1, "warning": 0, "information": 0 if self.stderr_is_terminal else 1}
        if self.verbosity >= needed[notice.level]:
            self._say("note" if notice.level == "information" else "warning", notice.text)

    def summary(self, text: str) -> None:
        """Print a line about a success, on a terminal only."""
        if self.stderr_is_terminal and self.verbosity >= 0:
            self._print(_line(text))

    @contextlib.contextmanager
    def following(self, what: str) -> Iterator[Callable[[str], None]]:
        """Yield a function that shows progress: in a live line on a terminal, or with -vv in a line each.

        A job that ends within PROGRESS_INTERVAL_S shows none.
        """
        shows = self.stderr_is_terminal if self.progress is None else self.progress
        if self.verbosity >= 2:
            yield lambda text: self._say("note", text)
        elif shows and self.verbosity >= 0:
            with contextlib.ExitStack() as stack:
                yield self._live_line(what, stack)
        else:
            yield lambda text: None

    def _live_line(self, what: str, stack: contextlib.ExitStack) -> Callable[[str], None]:
        """Return a function that shows progress in a live line; closing the stack removes the line."""
        live: Status | None = None
        last = time.monotonic()

        def show(text: str) -> None:
            nonlocal live, last
            if time.monotonic() - last < PROGRESS_INTERVAL_S:
                return
            if live is None:
                from rich.console import Console as RichConsole

                live = stack.enter_context(
                    RichConsole(stderr=True, no_color=not self._has_color).status(what)
                )
            live.update(f"{what}: {text}")
            last = time.monotonic()

        return show

    @property
    def _has_color(self) -> bool:
        """Whether to print colours; see https://no-color.org."""
        if self.color is not None:
            return self.color
        if os.environ.get("FORCE_COLOR"):
            return True
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return False
        return self.stderr_is_terminal

    def _paint(self, text: str, code: str) -> str:
        """Return the text in a colour, if colours are on."""
        return f"\033[{code}m{text}\033[0m" if self._has_color else text

    def _say(self, level: str, text: str) -> None:
        """Print a message in one line, after the name of the command."""
        name = f"gmmcli {self.verb}".strip()
        mark = {"error": "", "warning": self._paint("warning:", "33") + " ", "note": "note: "}[level]
        self._print(f"{self._paint(name, '1;31' if level == 'error' else '1')}: {mark}{_line(text)}")

    def _print(self, line: str) -> None:
        """Write a line to stderr; ignore failures, which could not be reported."""
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(line + "\n")
                sys.stderr.flush()


class WholeFile(io.FileIO):
    """An open file that takes every byte of a write, or raises `OSError`.

    The file below `sys.stdout` takes fewer bytes on a disk that is almost full, and none if it is a full pipe
    that does not block. Python's own buffer retries only the first, and has no buffer with PYTHONUNBUFFERED.
    """

    def write(self, data: Any, /) -> int:
        """Write all bytes; wait for a reader as long as it takes."""
        whole = memoryview(data).cast("B")
        rest = whole
        while rest:
            written = super().write(rest)
            if written is None:
                select.select([], [self], [])
            else:
                rest = rest[written:]
        return len(whole)


def open_stdout() -> io.TextIOWrapper:
    """Return a text file on stdout whose writes are whole, with Python's encoding for stdout."""
    buffer = io.BufferedWriter(WholeFile(1, "wb", closefd=False))
    return io.TextIOWrapper(
        buffer,
        encoding=sys.stdout.encoding,
        errors=sys.stdout.errors,
        line_buffering=sys.stdout.isatty(),
    )


def typed(after_verb: str = "") -> str:
    """Return the command line as typed, quoted for the shell, with more options after the verb."""
    verb, *rest = sys.argv[1:] or [""]
    return " ".join(["gmmcli", quoted(verb), *filter(None, [after_verb]), *map(quoted, rest)])


class ClosedStdout(io.TextIOBase):
    """A closed stdout: writing raises `ReadWriteFailed`."""

    def write(self, _text: str = "") -> NoReturn:
        """Raise `ReadWriteFailed`."""
        raise ReadWriteFailed("stdout", "closed")

    buffer = property(write)


def _line(text: str) -> str:
    """Return a message in one printable line; cut a long one in the middle, since its end has the cause."""
    if len(text) > MESSAGE_CHARACTERS:
        text = f"{text[: MESSAGE_CHARACTERS // 2]}…{text[1 - MESSAGE_CHARACTERS // 2 :]}"
    return printable(text)
