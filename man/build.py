"""Fill the man page templates from the command line itself, and write the completion scripts.

A template is a man page with placeholders of the form `@WORD@` or `@WORD arguments@`. This script fills in
options, exit statuses, environment, version and date of the program. Usage: build.py DIRECTORY
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

import gmmcli
from gmmcli import errors
from gmmcli.cli.app import cli

SOURCE = Path(__file__).parent
COMPLETIONS = {"bash": "gmmcli.bash", "fish": "gmmcli.fish", "zsh": "_gmmcli"}
# Statuses without an error class.
OTHER_STATUSES = {
    "0": "Done.",
    "1": "A bug in gmmcli.",
    "129": "Ended by SIGHUP.",
    "130": "Ended by SIGINT.",
    "141": "Ended by SIGPIPE: the reader of stdout closed it.",
    "143": "Ended by SIGTERM.",
}
_OPTION = re.compile(r"--?[a-z][a-z-]*")
_PLACE = re.compile(r"@([A-Z_]+)((?: \w+)*)@")


def statuses() -> dict[str, str]:
    """Return the meaning of every exit status, in ascending order."""
    found = dict(OTHER_STATUSES)
    for error in vars(errors).values():
        if isinstance(error, type) and error is not errors.GmmError and "status" in vars(error):
            found[str(vars(error)["status"])] = (error.__doc__ or "").splitlines()[0]
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def escape(text: str) -> str:
    """Escape a text so that roff prints it unchanged."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    return re.sub(r"^(?=[.'])", r"\\&", text)


def _entry(term: str, text: str) -> Iterator[str]:
    """Yield a tagged paragraph."""
    yield from (".TP", term, escape(text))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield every option, in the order of --help, with the text of --help."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield from _entry(_spelling(record[0]), record[1])


def _spelling(spelling: str) -> str:
    """Return the names of an option in bold and its value in italics."""
    end = max(match.end() for match in _OPTION.finditer(spelling.partition(" [")[0]))
    names = _OPTION.sub(lambda match: rf"\fB{escape(match[0])}\fR", spelling[:end])
    value = spelling[end:].strip()
    return rf"{names} \fI{escape(value)}\fR" if value else names


def _environment(command: click.Command) -> Iterator[str]:
    """Yield the environment variables that set options."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and isinstance(parameter.envvar, str):
            yield from _entry(
                rf"\fB{parameter.envvar}\fR",
                f"The value of {max(parameter.opts, key=len)}, if the option is not given.",
            )


def _release_date() -> str:
    """Return the date of the newest dated version in the change log."""
    found = re.search(r"^## .*(\d{4}-\d\d-\d\d)$", (SOURCE.parent / "CHANGELOG.md").read_text(), re.MULTILINE)
    return found[1] if found else ""


def _commands(context: click.Context) -> Iterator[str]:
    """Yield every verb with its short help."""
    for name in cli.list_commands(context):
        verb = cli.get_command(context, name)
        if verb is not None:
            yield from _entry(rf"\fBgmmcli\-{name}\fR(1)", verb.get_short_help_str(limit=100))


def _exit_statuses(wanted: list[str]) -> Iterator[str]:
    """Yield the given statuses; all if none is given."""
    known = statuses()
    for status in wanted or known:
        yield from _entry(rf"\fB{status}\fR", known[status])


def fill(template: str, name: str) -> str:
    """Return the page of a template.

    Parameters
    ----------
    template : str
    name : str
        The name of the page without its section: "gmmcli-fit".

    Raises
    ------
    KeyError
        A placeholder of the template is unknown.
    """
    context = click.Context(cli, info_name="gmmcli", **cli.context_settings)
    command = cli.get_command(context, name.removeprefix("gmmcli-")) or cli

    def text_of(match: re.Match[str]) -> str:
        word, arguments = match[1], match[2].split()
        texts = {
            "COMMANDS": lambda: _commands(context),
            "DATE": lambda: iter([_release_date()]),
            "ENVIRONMENT": lambda: _environment(command),
            "EXIT_STATUS": lambda: _exit_statuses(arguments),
            "OPTIONS": lambda: _options(command, context),
            "VERSION": lambda: iter([gmmcli.__version__]),
        }
        return "\n".join(texts[word]())

    return _PLACE.sub(text_of, template)


def build(directory: Path) -> None:
    """Write all pages and completion scripts."""
    (directory / "completions").mkdir(parents=True, exist_ok=True)
    for template in sorted(SOURCE.glob("*.in")):
        page = directory / template.stem
        page.write_text(fill(template.read_text(), page.stem))
    for shell, name in COMPLETIONS.items():
        script = get_completion_class(shell)
        if script is None:
            raise KeyError(shell)
        text = script(cli, {}, "gmmcli", "_GMMCLI_COMPLETE")
        (directory / "completions" / name).write_text(text.source_template % text.source_vars() + "\n")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
