"""The options that several verbs share, and the types of option values."""

import itertools
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gmmcli.cli import libraries, signals
from gmmcli.cli.console import Console
from gmmcli.errors import Usage
from gmmcli.fitting.options import Kind, Option, options_of
from gmmcli.tables.suffixes import FORMATS

if TYPE_CHECKING:
    from gmmcli.tables.operands import TableRequest

T = TypeVar("T")


class Value(click.ParamType[Any]):
    """The value of an option, as an `Option` describes it."""

    def __init__(self, row: Option) -> None:
        self.name, self.row = row.kind, row

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the text of a value; a default is a value already."""
        if not isinstance(value, str):
            return value
        try:
            return self.row.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the value in a synopsis."""
        return self.row.metavar or METAVARS.get(self.row.kind) or f"[{'|'.join(self.row.words)}]"


METAVARS = {"integer": "N", "number": "F", "names": "LIST"}


def of(kind: type) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return a decorator that adds the options of a dataclass to a command, in their order."""

    def add(command: Callable[..., T]) -> Callable[..., T]:
        for name, row in reversed(list(options_of(kind))):
            if row.kind == "names":
                command = names(*row.names, name, help=row.help)(command)
            elif row.kind == "flag":
                command = click.option(*row.names, name, is_flag=True, help=row.help)(command)
            else:
                command = click.option(*row.names, name, type=Value(row), help=row.help)(command)
        return command

    return add


def names(*declarations: str, **attributes: Any) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return an option that takes a list of names; a repeated option adds to the list."""
    return click.option(
        *declarations,
        type=value("names"),
        multiple=True,
        callback=lambda ctx, param, lists: tuple(itertools.chain(*lists)),
        **attributes,
    )


class PathName(click.Path):
    """A path, which must not be empty: an empty path is usually a shell variable that was not set."""

    def __init__(
        self, *, allow_dash: bool = False, is_file: bool = False, path_type: type | None = Path
    ) -> None:
        super().__init__(readable=False, allow_dash=allow_dash, path_type=path_type)
        self._is_file = is_file

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the text of a path."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        if self._is_file and str(value).endswith("/"):
            self.fail("this is the name of a directory", param, ctx)
        return super().convert(value, param, ctx)


def value(kind: Kind, **bounds: Any) -> Value:
    """Return the type of a value of a kind, with bounds."""
    return Value(Option((), "", kind, **bounds))


# Up to the year 5138.
MAX_EPOCH_DIGITS = 11
COUNT = value("integer", least=1)

model_dir = click.option(
    "-m",
    "--model-dir",
    required=True,
    envvar="GMMCLI_MODEL_DIR",
    show_envvar=True,
    type=PathName(),
    metavar="DIR",
    help="Model directory.",
)
tables = click.argument(
    "tables", nargs=-1, metavar="[TABLE]...", type=PathName(allow_dash=True, path_type=None)
)
input_format = click.option(
    "--input-format",
    type=click.Choice(FORMATS),
    help="Format of the tables [default: from the content, then the suffix].",
)
checkpoint = click.option(
    "--checkpoint", type=COUNT, metavar="N", help="Use checkpoint N instead of the newest."
)
threads = click.option(
    "--threads",
    "n_threads",
    type=COUNT,
    metavar="N",
    help="Number of processes or threads [default: all available CPUs].",
)


def missing(effect: str = "") -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return the option --missing, with the effect of "drop" for its help."""
    return click.option(
        "--missing",
        type=click.Choice(["error", "drop"]),
        help=f"Rows with missing values: error (exit 65), or drop{effect} [default: as in fit].",
    )


json_switch = click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON.")
output = click.option(
    "-o",
    "--output",
    type=PathName(allow_dash=True, is_file=True),
    metavar="FILE",
    callback=lambda ctx, param, value: None if value is None or str(value) == "-" else value,
    help="Write to FILE [default: stdout].",
)


def table_request(
    console: Console, tables: tuple[str, ...], given: dict[str, Any], *, may_be_stdin: bool = True
) -> "TableRequest":
    """Return the request for the tables; remove its options from `given`."""
    from gmmcli.engine.blas import available_cpus
    from gmmcli.tables.operands import TableRequest

    stdin = console.stdin_for(tables) if may_be_stdin else None
    n_threads = given.pop("n_threads") or available_cpus()
    return TableRequest(tables, stdin, given.pop("input_format"), n_threads)


def source_date_epoch() -> int | None:
    """Return SOURCE_DATE_EPOCH, the time that reproducible builds set, or None.

    Raises
    ------
    Usage
        The variable is not a number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_EPOCH_DIGITS:
        fact = f'must be a number of seconds, not "{text}"'
        raise Usage("SOURCE_DATE_EPOCH", fact, "unset SOURCE_DATE_EPOCH")
    return int(text)


def general(command: Callable[..., T]) -> Callable[..., T]:
    """Add the options of every verb to a command, and pass it the console."""

    @click.option("-v", "--verbose", count=True, help="Also show notes on stderr; -vv: every step.")
    @click.option("-q", "--quiet", count=True, help="Show only serious warnings on stderr; -qq: none.")
    @click.option(
        "--progress/--no-progress", default=None, help="Show progress on stderr [default: on a terminal]."
    )
    @click.option("--no-color", is_flag=True, help="Use no colour on stderr.")
    @click.option("--debug", is_flag=True, help="Show a traceback with an error.")
    @click.pass_context
    @wraps(command)
    def with_console(ctx: click.Context, /, **given: Any) -> T:
        console: Console = ctx.obj
        verbose, quiet = given.pop("verbose"), given.pop("quiet")
        console.verbosity = -quiet if quiet else verbose
        console.progress, console.debug = given.pop("progress"), given.pop("debug")
        if given.pop("no_color"):
            console.color = False
        libraries.load_job(ctx.command.name or "")
        signals.catch()
        return command(console, **given)

    return with_console
