"""Options of a fit as rows of tables: shell, Python, checkpoints and man pages take theirs from one row each.

Imports no numpy: the help of the command line is made from these rows.
"""

import math
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

Kind = Literal["integer", "number", "word", "letters", "names", "text", "flag"]
Role = Literal["identity", "start", "run"]


@dataclass(frozen=True)
class Option:
    """One row: how an option is spelled, what it may be, and what it does.

    Parameters
    ----------
    names : tuple of str
        Spellings in the shell, the principal one first.
    help : str
        Effect, unit, default.
    kind : str
        "letters" are some of the letters of `words[0]`, "names" a list with commas, quoted as in CSV.
    least, above, most : float
        Bounds of an integer or a number.
    words : tuple of str
        Values of kind "word".
    metavar : str
        The value in a synopsis; by kind if empty.
    python : str or None
        Argument of `GMM`; None where a Python caller sets it in another way.
    default : object
        Of a new model; None where another option decides.
    role : str
        "identity" never changes in the life of a model, "start" may be repeated and is not used again, "run"
        may change with every run and is remembered.
    changes_steps : bool
        Whether a run with another value makes other steps: their likelihoods start a new history.
    excludes : tuple of str
        Fields that must not be given together with this one.
    needs : str
        Field that must be given together with this one.
    """

    names: tuple[str, ...]
    help: str
    kind: Kind = "integer"
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    words: tuple[str, ...] = ()
    metavar: str = ""
    python: str | None = None
    default: Any = None
    role: Role = "run"
    changes_steps: bool = False
    excludes: tuple[str, ...] = ()
    needs: str = ""

    @property
    def name(self) -> str:
        """The principal spelling: the long one that comes first."""
        return next(name for name in self.names if name.startswith("--"))

    @property
    def fact(self) -> str:
        """What a value must be, in words."""
        match self.kind:
            case "integer" | "number":
                return f"must be {'an integer' if self.kind == 'integer' else 'a number'}{self._range}"
            case "word":
                return f"must be one of {', '.join(self.words)}"
            case "letters":
                return f"must be made of the letters {', '.join(self.words[0])}, each at most once"
            case _:
                return "must be text"

    @property
    def _range(self) -> str:
        """Bounds in words, with a space before."""
        if self.most < math.inf:
            return f" from {self.least:g} to {self.most:g}"
        if self.above > -math.inf:
            return f" > {self.above:g}"
        return f" >= {self.least:g}" if self.least > -math.inf else ""

    def read(self, text: str) -> Any:
        """Return the value that a text on the command line stands for.

        Raises
        ------
        ValueError
            It stands for none: `fact` says what it must be.
        """
        if self.kind == "names":
            return read_names(text)
        try:
            value = {"integer": int, "number": float}.get(self.kind, str)(text)
        except ValueError:
            raise ValueError(f'{self.fact}, not "{text}"') from None
        return self.checked(value, f'"{text}"')

    def checked(self, value: Any, shown: str) -> Any:
        """Return a value; letters in their order, an integer of numpy as one of Python.

        Parameters
        ----------
        value : object
        shown : str
            The value in a message.

        Raises
        ------
        ValueError
            It is none: `fact` says what it must be.
        """
        if not self._allows(value):
            raise ValueError(f"{self.fact}, not {shown}")
        if self.kind == "letters":
            return "".join(letter for letter in self.words[0] if letter in value)
        return int(value) if self.kind == "integer" else value

    def _allows(self, value: Any) -> bool:
        """Tell whether a value is one."""
        match self.kind:
            case "integer":
                return _is_integer(value) and self.least <= value <= self.most
            case "number":
                is_number = _is_integer(value) or isinstance(value, float) or hasattr(value, "__float__")
                is_number = is_number and not isinstance(value, (bool, str))
                return is_number and math.isfinite(value) and self._is_within(float(value))
            case "word":
                return isinstance(value, str) and value in self.words
            case "letters":
                is_made = isinstance(value, str) and value != "" and set(value) <= set(self.words[0])
                return is_made and len(set(value)) == len(value)
            case _:
                return True

    def _is_within(self, number: float) -> bool:
        """Tell whether a number keeps its bounds."""
        return self.least <= number <= self.most and number > self.above


def _is_integer(value: Any) -> bool:
    """Tell whether a value is an integer of Python or of numpy."""
    return hasattr(value, "__index__") and not isinstance(value, bool) and type(value).__name__ != "bool"


def read_names(text: str) -> tuple[str, ...]:
    """Return names separated by commas; a name that holds a comma is quoted as in CSV.

    Raises
    ------
    ValueError
        A name is empty, or a line break is outside quotes.
    """
    import csv  # not for --help

    try:
        names = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error:
        raise ValueError(f"a line break outside quotes in {text!r}") from None
    if not names or not all(names):
        raise ValueError(f'an empty name in "{text}"')
    return tuple(names)


def option(*names: str, help: str, missing: Any = MISSING, **details: Any) -> Any:  # noqa: A002
    """Return the field of a dataclass that is an option.

    Parameters
    ----------
    *names : str
        Spellings in the shell.
    help : str
    missing : object, optional
        Value of the field where the option is not given; without it the field has to be given.
    **details
        As for `Option`.
    """
    return field(default=missing, metadata={"option": Option(names, help, **details)})


def options_of(kind: type) -> Iterator[tuple[str, Option]]:
    """Yield name and row of every field of a dataclass that is an option."""
    for one in fields(kind):
        if "option" in one.metadata:
            yield one.name, one.metadata["option"]
