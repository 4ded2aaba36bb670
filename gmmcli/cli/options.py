"""Options that two verbs or more share, each defined once, and the types that options take."""

import itertools
import math
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gmmcli.cli.console import Console
from gmmcli.errors import Usage
from gmmcli.tables.suffixes import FORMATS

if TYPE_CHECKING:
    from gmmcli.jobs.reading import TableRequest

T = TypeVar("T")


class Number(click.ParamType[float]):
    """A finite number, at least or above a bound.

    Parameters
    ----------
    least : float, optional
    above : float, optional
    most : float, optional
    """

    name = "number"

    def __init__(self, *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf) -> None:
        self.least, self.above, self.most = least, above, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f'not a number: "{value}"', param, ctx)
        if not math.isfinite(number) or number < self.least or number <= self.above or number > self.most:
            self.fail(f"out of range: {value}", param, ctx)
        return number

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what help shows."""
        return "F"


class NameList(click.ParamType[tuple[str, ...]]):
    """Names separated by commas; one that holds a comma is quoted as in CSV."""

    name = "list"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names."""
        import csv

        try:
            names = next(csv.reader([value], skipinitialspace=True), [])
        except csv.Error:
            self.fail(f"a line break outside quotes in {value!r}", param, ctx)
        if not names or not all(names):
            self.fail(f'an empty name in "{value}"', param, ctx)
        return tuple(names)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what help shows."""
        return "LIST"


class PathName(click.Path):
    """A path. Whether it may be read shows when it is; an empty one is a variable that was not set."""

    def __init__(self, *, allow_dash: bool = False, path_type: type | None = Path) -> None:
        super().__init__(readable=False, allow_dash=allow_dash, path_type=path_type)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


class Count(click.IntRange):
    """A whole number, at least a bound."""

    name = "whole number"


# The year 5138: what comes after has no ISO 8601 form of four digits for long.
MAX_EPOCH_DIGITS = 11
COUNT = Count(min=1)
COUNT_OR_ZERO = Count(min=0)

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
    "--input-format", type=click.Choice(FORMATS), help="Format of the tables (by content, then suffix)."
)
checkpoint = click.option(
    "--checkpoint", type=COUNT, metavar="N", help="Use checkpoint N instead of the newest."
)
threads = click.option(
    "--threads", "n_threads", type=COUNT, metavar="N", help="Worker threads (the CPUs this process may use)."
)


def names(*declarations: str, **attributes: Any) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return an option that takes names; one that is given again adds to them."""
    return click.option(
        *declarations,
        type=NameList(),
        multiple=True,
        callback=lambda ctx, param, lists: tuple(itertools.chain(*lists)),
        **attributes,
    )


def missing(default: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return the option about rows with missing values; what is the default is put in words."""
    return click.option(
        "--missing",
        type=click.Choice(["error", "drop"]),
        help=f"What becomes of rows with a missing value ({default}).",
    )


json_switch = click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON.")
output = click.option(
    "-o",
    "--output",
    type=PathName(allow_dash=True),
    metavar="FILE",
    callback=lambda ctx, param, value: None if value is None or str(value) == "-" else value,
    help="Write to FILE (stdout).",
)


def table_request(console: Console, tables: tuple[str, ...], given: dict[str, Any]) -> "TableRequest":
    """Return the tables that were asked for; takes their options out of `given`."""
    from gmmcli.jobs.reading import TableRequest

    stdin = console.stdin_for(tables)
    return TableRequest(tables, stdin, given.pop("input_format"), given.pop("n_threads"))


def source_date_epoch() -> int | None:
    """Return SOURCE_DATE_EPOCH, which makes builds reproducible, or None.

    Raises
    ------
    Usage
        It is not a number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_EPOCH_DIGITS:
        raise Usage("SOURCE_DATE_EPOCH", f'not a number of seconds: "{text}"', "unset SOURCE_DATE_EPOCH")
    return int(text)


def general(command: Callable[..., T]) -> Callable[..., T]:
    """Add the options that every verb has, and pass the console."""

    @click.option("-v", "--verbose", count=True, help="Say more on stderr; -vv: every step.")
    @click.option("-q", "--quiet", is_flag=True, help="No warnings on stderr.")
    @click.option("--progress/--no-progress", default=None, help="Progress on stderr (on a terminal only).")
    @click.option("--no-color", is_flag=True, help="No colour on stderr.")
    @click.option("--debug", is_flag=True, help="Traceback with an error.")
    @click.pass_context
    @wraps(command)
    def with_console(ctx: click.Context, /, **given: Any) -> T:
        console: Console = ctx.obj
        console.verbosity = -1 if given.pop("quiet") else given["verbose"]
        del given["verbose"]
        console.progress, console.debug = given.pop("progress"), given.pop("debug")
        if given.pop("no_color"):
            console.color = False
        return command(console, **given)

    return with_console
