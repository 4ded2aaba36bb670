"""What to type next, as values: the shell and Python spell each in their own words.

A hint that only helps in the shell may be plain text. The last three functions write text for a shell.
"""

import shlex
from collections.abc import Mapping
from typing import NamedTuple


class Set(NamedTuple):
    """Give an option a value: a number or a word, as typed."""

    option: str
    value: str


class Increase(NamedTuple):
    """Give an option a larger value than it has."""

    option: str


class Exclude(NamedTuple):
    """Leave columns out, which only a new model can: their names, or `#i` for a column without one."""

    columns: tuple[str, ...]


class Emptied(NamedTuple):
    """Make the cells empty that hold a word for a missing value, by a command, and drop their rows."""

    word: str
    command: str


class Rollback(NamedTuple):
    """Continue from the newest undamaged checkpoint of a model directory, with the tables that it read."""

    model_dir: str
    tables: tuple[str, ...] = ()


class StartAnew(NamedTuple):
    """Begin a new model in a model directory."""

    model_dir: str


class ReadCheckpoint(NamedTuple):
    """Use an older checkpoint without continuing from it."""

    number: int


class AnyOf(NamedTuple):
    """Several ways; one is enough. A text among them names no option."""

    ways: tuple["Hint", ...]


class OrElse(NamedTuple):
    """Something to do by hand, and a remedy if that cannot be done."""

    first: str
    second: "Hint"


Remedy = Set | Increase | Exclude | Emptied | Rollback | StartAnew | ReadCheckpoint | AnyOf | OrElse
Hint = str | Remedy
# A command with more tables says TABLE.
_TABLES_NAMED = 10


def in_shell(hint: Hint) -> str:
    """Return a hint as it is typed on the command line."""
    match hint:
        case str():
            return hint
        case Set(option, value):
            return f"{option} {quoted(value)}"
        case Increase(option):
            return f"fit with a larger {option}"
        case Exclude(columns):
            return f"--exclude {listed(columns)}"
        case Emptied(word, command):
            return f'if "{printable(word)}" means missing: {command}; then --missing drop'
        case Rollback(model_dir, tables):
            named = " ".join(map(quoted, tables)) if 0 < len(tables) <= _TABLES_NAMED else "TABLE"
            return f"gmmcli fit -m {quoted(model_dir)} --rollback {named}"
        case StartAnew(model_dir):
            return f"gmmcli fit -m {quoted(model_dir)} --fresh -k 3 TABLE"
        case ReadCheckpoint(number):
            return f"--checkpoint {number} to read that one"
        case AnyOf(ways):
            return _alternatives([in_shell(way) for way in ways])
        case OrElse(first, second):
            return f"{first}, or: {in_shell(second)}"


def in_python(hint: Hint, arguments: Mapping[str, str]) -> str | None:
    """Return a hint as a Python caller can follow it; None where Python has no such setting.

    Parameters
    ----------
    hint : Remedy or str
    arguments : mapping of str to str
        The Python argument for each option of the command line that has one.
    """
    match hint:
        case str():
            return hint
        case Set(option, value) if option in arguments:
            return f"{arguments[option]}={value}" if value[0].isdigit() else f'{arguments[option]}="{value}"'
        case Increase(option) if option in arguments:
            return f"a larger {arguments[option]}"
        case Exclude(columns):
            names = ", ".join(f'"{printable(name)}"' for name in columns)
            return f"a table without column{'s' * (len(columns) > 1)} {names}"
        case Rollback(model_dir):  # the tables of Python may have no file
            return f"in a shell, {in_shell(Rollback(model_dir))}"
        case StartAnew():
            return "another model_dir"
        case ReadCheckpoint(number) if "--checkpoint" in arguments:
            return f"{arguments['--checkpoint']}={number} to read that one"
        case AnyOf(ways):
            known = [text for way in ways if (text := in_python(way, arguments)) is not None]
            return _alternatives(known) if known else None
        case OrElse(first, second):
            text = in_python(second, arguments)
            return first if text is None else f"{first}, or: {text}"
    return None


def without(hint: Hint | None, kind: type) -> Hint | None:
    """Return a hint less the remedies of a kind; None if none is left."""
    match hint:
        case AnyOf(ways):
            left = tuple(one for way in ways if (one := without(way, kind)) is not None)
            return AnyOf(left) if len(left) > 1 else next(iter(left), None)
        case OrElse(first, second):
            rest = without(second, kind)
            return first if rest is None else OrElse(first, rest)
        case _:
            return None if isinstance(hint, kind) else hint


def _alternatives(ways: list[str]) -> str:
    """Return ways in a row, with "or" before the last."""
    return ", or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)


def printable(text: str) -> str:
    """Return a text with its control characters escaped: a name in a table must not drive the terminal."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    """Return a character as an escape; a byte of a path that is not UTF-8 as that byte."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def quoted(text: str) -> str:
    """Return a text as a shell takes it; with control characters, as bash, zsh and ksh do."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + printable(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def listed(items: tuple[str, ...]) -> str:
    """Return the items of an option that takes a LIST, as a shell takes it."""
    cells = ['"' + item.replace('"', '""') + '"' if set(item) & set(',"\n\r') else item for item in items]
    return quoted(",".join(cells))
