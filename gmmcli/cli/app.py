"""The program and its verbs. Turns errors and signals into exit statuses."""

import contextlib
import os
import resource
import signal
import sys
import traceback
import warnings
from importlib import import_module
from typing import NoReturn

import click

import gmmcli
from gmmcli import interrupt
from gmmcli.cli import libraries, signals
from gmmcli.cli.console import ClosedStdout, Console, open_stdout, typed
from gmmcli.errors import (
    GmmError,
    OutOfMemory,
    ReadWriteFailed,
    Stopped,
    Usage,
    from_os_error,
    lacks_memory,
    reporting,
)
from gmmcli.remedies import quoted

# The verbs with their short help, in the order in which users need them: --help loads none of them.
VERBS = {
    "fit": "Estimate a mixture, or continue one.",
    "predict": "Write the component of every row.",
    "score": "Measure how well a mixture explains a table.",
    "export": "Write a model for other programs.",
    "inspect": "Show what a model directory holds; check it.",
}


class LazyGroup(click.Group):
    """A group that imports the module of a verb when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a verb, or None."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"gmmcli.cli.{cmd_name}").command
        command.short_help = VERBS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs with their short help; Click would call them commands."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    options_metavar="",
    subcommand_metavar="VERB [OPTIONS] [TABLE]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  gmmcli fit -m geyser -k 2 faithful.csv
  gmmcli predict -m geyser faithful.csv > clusters.csv
  gmmcli score -m geyser faithful.csv
  gmmcli inspect -m geyser
""",
)
@click.option("--version", is_flag=True, help="Print the version and exit; with -v, also those of libraries.")
@click.option("-v", "--verbose", count=True, help="With --version: versions of libraries.")
@click.pass_context
def cli(ctx: click.Context, version: bool, verbose: int) -> None:
    """Fit Gaussian mixtures to tables, and find clusters and outliers with them.

    Tables are CSV, TSV, JSON lines, Parquet or Arrow. A model is a directory of numbered checkpoints; a later
    fit continues from the newest one.
    """
    console: Console = ctx.obj
    console.verb = ctx.invoked_subcommand or ""
    if verbose and not version:
        raise Usage("-v", "must follow a verb, or --version", "gmmcli --help")
    if version:
        console.write(_version_text(detailed=verbose > 0))
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Usage.status)


def main() -> NoReturn:
    """Run the command line, and exit with the status of its result."""
    console = Console()
    if "--no-color" in sys.argv:  # also for errors about the options themselves
        console.color = False
    libraries.prepare_openblas()
    libraries.spare_addresses()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        _prepare_streams()
        warnings.simplefilter("ignore")
        status = _flushed(console, _run(console))
        signals.release()
    except Stopped as stopped:
        signals.die_by(stopped.signum)
    _leave(status)


def _flushed(console: Console, status: int) -> int:
    """Write what stdout still holds; return the exit status."""
    try:
        with reporting("stdout"):
            sys.stdout.flush()  # a full disk is an error
    except GmmError as error:
        # A failed write was reported when it was made: Python would try the same bytes again.
        return status if status == ReadWriteFailed.status else _report(console, error)
    return status


def _run(console: Console) -> int:
    """Return the exit status of the command line."""
    try:
        result = cli.main(prog_name="gmmcli", obj=console, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        return _report(console, _usage_error(console, error))
    except GmmError as error:
        return _report(console, error)
    except OSError as error:
        return _report(console, from_os_error(str(error.filename or "stdout"), error), error)
    except Exception as error:
        if lacks_memory(error):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            return _report(console, OutOfMemory("memory", f"exhausted at {peak} MiB"), error)
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        return _report(
            console, GmmError("bug", text, "run it again with --debug and report what it prints"), error
        )


def _usage_error(console: Console, error: click.ClickException) -> GmmError:
    """Convert an error of Click to ours: one line, one hint."""
    hint = f"gmmcli {console.verb} --help".replace("  ", " ")
    message = (error.message or error.format_message()).rstrip(".").replace("\n", " ")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name, metavar = error.param.opts[0], error.param.metavar or "VALUE"
        return Usage(name, "needed", _with_option(console.verb, name, metavar, error.ctx))
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        return Usage(error.param.opts[0], message, hint)
    return Usage("usage", error.format_message().rstrip(".").replace("\n", " "), hint)


def _with_option(verb: str, name: str, metavar: str, context: click.Context | None) -> str:
    """Return the command as typed, with an option that it needs; a lone word is taken for its value.

    Only a verb that reads no tables has no other use for a word.
    """
    words = sys.argv[sys.argv.index(verb) + 1 :]
    reads_tables = context is None or any(isinstance(one, click.Argument) for one in context.command.params)
    if len(words) == 1 and not words[0].startswith("-") and not reads_tables:
        return f"gmmcli {verb} {name} {quoted(words[0])}"
    return typed(f"{name} {metavar}")


def _report(console: Console, error: GmmError, cause: BaseException | None = None) -> int:
    """Print an error, with --debug also its traceback; return its exit status.

    Raises
    ------
    Stopped
        A signal caused the error.
    """
    interrupt.recall()
    if console.debug:
        traceback.print_exception(cause or error)
    console.error(error)
    return error.status


def _prepare_streams() -> None:
    """Open /dev/null for closed standard streams, so that no other file gets their number; replace stdout."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = ClosedStdout() if sys.stdout is None else open_stdout()


def _leave(status: int) -> NoReturn:
    """Exit without the interpreter's own flush, which would write again what stdout could not take."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.flush()
    os._exit(status)


def _version_text(*, detailed: bool) -> str:
    """Return the line `gmmcli 1.0.0`; if detailed, also the versions of libraries and the BLAS kernel."""
    lines = [f"gmmcli {gmmcli.__version__}"]
    if detailed:
        libraries.check_limit("inspect")
        from gmmcli.engine.blas import blas_kernel
        from gmmcli.jobs.versions import versions

        lines += [f"{name} {number}" for name, number in versions().items() if name != "gmmcli"]
        lines.append(f"BLAS {blas_kernel()}")
    return "\n".join(lines) + "\n"
