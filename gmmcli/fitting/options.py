"""The definition of an option: the shell, Python, checkpoints and man pages read it from one place.

Imports no numpy, because `--help` needs these definitions.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

Kind = Literal["integer", "number", "word", "letters", "names", "text", "flag"]
Role = Literal["identity", "start", "run"]

# Python refuses to convert longer integers.
_LONGEST_NUMBER = 4000
# A range has at most so many values.
_LONGEST_RANGE = 1000
# Python also takes underscores, and the digits and blanks of other scripts.
_TEXTS = {
    "integer": re.compile(r"[+-]?[0-9]+"),
    "number": re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"),
}


@dataclass(frozen=True)
class Option:
    """One option: its spellings, its values, its default and its effect.

    Parameters
    ----------
    names : tuple of str
        Spellings in the shell; the first long one is used in messages.
    help : str
        Effect, unit, default.
    kind : str
        "letters" allows any of the letters of `words[0]`; "names" is a list with commas, quoted as in CSV.
    least, above, most : float
        Bounds of an integer or a number; `above` is excluded.
    words : tuple of str
        Values of kind "word".
    aliases : mapping of str to object
        The value for each word that is another spelling of it.
    metavar : str
        The value in a synopsis; the default depends on the kind.
    python : str or None
        Argument of `GMM`; None if `GMM` has no argument of its own for it.
    default : object
        Value in a new model; None if there is none or another option decides.
    before : object
        Value in checkpoints of versions that did not have the setting; None if that is the default.
    role : str
        "identity" never changes. "start" may be given again with the same value, and has no effect then.
        "run" may change with every run, and is remembered.
    changes_steps : bool
        Whether a run with another value makes other steps, and thus starts a new history of likelihoods.
    excludes : tuple of str
        Fields that cannot be used together with this one.
    needs : str
        Field that must be given together with this one.
    several : mapping of str to object
        If it is not empty, the command line also takes a list with commas, for integers with ranges A:B, and
        these words. The value of a list is a tuple without repetitions, of integers in ascending order.
    """

    names: tuple[str, ...]
    help: str
    kind: Kind = "integer"
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    words: tuple[str, ...] = ()
    aliases: Mapping[str, Any] = field(default_factory=dict)
    metavar: str = ""
    python: str | None = None
    default: Any = None
    before: Any = None
    role: Role = "run"
    changes_steps: bool = False
    excludes: tuple[str, ...] = ()
    needs: str = ""
    several: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The first long spelling."""
        return next(name for name in self.names if name.startswith("--"))

    @property
    def fact(self) -> str:
        """The requirement on a value, for a message."""
        more = "".join(f", or {word}" for word in self.several)
        match self.kind:
            case "integer" if self.several:
                return f"must be an integer{self._range}, a range A:B, a list with commas{more}"
            case "word" if self.several:
                return f"must be one of {', '.join(self.words)}, a list of them{more}"
            case "integer" | "number":
                other = "".join(f", or {alias}" for alias in self.aliases)
                return f"must be {'an integer' if self.kind == 'integer' else 'a number'}{self._range}{other}"
            case "word":
                return f"must be one of {', '.join(self.words)}"
            case "letters":
                return f"must be made of the letters {', '.join(self.words[0])}, each at most once"
            case _:
                return "must be text"

    @property
    def _range(self) -> str:
        """The bounds, for a message, after a space."""
        if self.most < math.inf:
            return f" from {self.least:g} to {self.most:g}"
        if self.above > -math.inf:
            return f" > {self.above:g}"
        return f" >= {self.least:g}" if self.least > -math.inf else ""

    def read(self, text: str) -> Any:
        """Convert a text of the command line to a value.

        Raises
        ------
        ValueError
            The value is not allowed; the message says what it must be.
        """
        if self.kind == "names":
            return read_names(text)
        if text in self.several:
            return self.several[text]
        parts = re.split(r"[,:]", text) if self.several else [text]
        if len(parts) > 1 and all(parts):
            return self._read_list(text)
        return self._read_one(text)

    def _read_list(self, text: str) -> Any:
        """Convert a list; one that names a single value is that value."""
        found: dict[Any, None] = {}
        for part in text.split(","):
            first, *last = map(self._read_one, part.split(":") if self.kind == "integer" else [part])
            if len(last) > 1 or (last and not first <= last[0] < first + _LONGEST_RANGE):
                raise ValueError(f'{self.fact}, not "{text}"')
            found |= dict.fromkeys(range(first, last[0] + 1) if last else [first])
        values = tuple(sorted(found) if self.kind == "integer" else found)
        return values if len(values) > 1 else values[0]

    def _read_one(self, text: str) -> Any:
        """Convert a single value."""
        value: Any = text
        if text in self.aliases:
            return self.aliases[text]
        if self.kind in _TEXTS:
            number = text.strip(" \t\r\n")
            if not _TEXTS[self.kind].fullmatch(number) or len(number) > _LONGEST_NUMBER:
                raise ValueError(f'{self.fact}, not "{text}"')
            value = int(number) if self.kind == "integer" else float(number)
        return self.checked(value, f'"{text}"')

    def checked(self, value: Any, shown: str) -> Any:
        """Return a value in its standard form: letters in order, integers as `int`.

        Parameters
        ----------
        value : object
        shown : str
            The value, for a message.

        Raises
        ------
        ValueError
            The value is not allowed; the message says what it must be.
        """
        if isinstance(value, str) and value in self.aliases:
            return self.aliases[value]
        if not self._allows(value):
            raise ValueError(f"{self.fact}, not {shown}")
        if self.kind == "letters":
            return "".join(letter for letter in self.words[0] if letter in value)
        return int(value) if self.kind == "integer" else value

    def _allows(self, value: Any) -> bool:
        """Tell whether a value is allowed."""
        match self.kind:
            case "integer":
                # Integers of numpy are allowed. True and false are not; numpy 2 calls their type bool, too.
                is_integer = hasattr(value, "__index__") and type(value).__name__ != "bool"
                return is_integer and self.least <= value <= self.most
            case "number":
                if isinstance(value, bool) or not hasattr(value, "__float__") or not math.isfinite(value):
                    return False
                return self.least <= float(value) <= self.most and float(value) > self.above
            case "word":
                return isinstance(value, str) and value in self.words
            case "letters":
                is_text = isinstance(value, str) and value != ""
                return is_text and set(value) <= set(self.words[0]) and len(set(value)) == len(value)
            case _:
                return True


def read_names(text: str) -> tuple[str, ...]:
    """Split a list of names at commas; names that contain a comma are quoted as in CSV.

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
    """Return the field of a dataclass that an option sets.

    Parameters
    ----------
    *names, help, **details
        See `Option`.
    missing : object, optional
        Value of the field if the option is not given; without it the field is required.
    """
    return field(default=missing, metadata={"option": Option(names, help, **details)})


def options_of(kind: type) -> Iterator[tuple[str, Option]]:
    """Yield the name and the option of each field of a dataclass that an option sets."""
    for one in fields(kind):
        if "option" in one.metadata:
            yield one.name, one.metadata["option"]
