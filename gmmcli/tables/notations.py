r"""Numbers in other notations: what surrounds and divides their digits, and the command that removes it.

Knows cells and lines, no files. The pattern of an `Edit` means the same to `sed -E` and, on bytes, to Python,
which tries it on the beginning of a table before a warning shows the command.
"""

import math
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gmmcli.remedies import quoted
from gmmcli.tables import wording
from gmmcli.tables.numbers import has_digits, parse_number

CURRENCY, PER_CENT, PER_MILLE = "a currency sign", "a per cent sign", "a per mille sign"
THOUSANDS, DECIMAL = "a thousands separator", "a decimal comma"
EXPONENT, MINUS, PARENTHESES = "an exponent in another notation", "a minus sign U+2212", "parentheses"
_MINUS_SIGN = "\N{MINUS SIGN}"
# A number is not longer, however it is decorated.
_LONGEST = 100
_CODES = (
    "AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JPY KES KRW MXN MYR "
    "NGN NOK NZD PEN PHP PKR PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR kr Kč zł Ft Fr Rs lei"
)
_MONEY = rf"(?:[A-Z]{{0,3}}[$¢-¥฿₠-⃀]|(?:{_CODES.replace(' ', '|')})\.?)"
_MONEY_BEFORE = re.compile(rf"([-+]?)(\s?{_MONEY}\s?)(?=[-+0-9.,(])")
_MONEY_BEHIND = re.compile(rf"(?<=[0-9.,)])\s?{_MONEY}$")
_PER = re.compile(r"(?<=[0-9.,])\s?([%‰])$")
_IN_PARENTHESES = re.compile(r"\(([^-+()]*)\)")
_TIMES_TEN = re.compile(r"(?<=[0-9.])(?:[dDqQ]|\s?[*x×·]\s?10(?:\^|\*\*))(?=[-+]?[0-9]+$)")
_EXP = r"(?:[eE][-+]?[0-9]+)?"
_UNSEEN = r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\ufeff]+"
_PADDING = re.compile(f"^{_UNSEEN}|{_UNSEEN}$")
# Groups of three digits, or in India of two before the last three. No zero comes first: 0,123 is not 123.
_GROUPS = "(?:[1-9][0-9]{{0,2}}(?:{0}[0-9]{{3}})+|[1-9][0-9]?(?:{0}[0-9]{{2}})+{0}[0-9]{{3}})"
_SEPARATOR = r"[\s_'’]"
_DIVIDED = re.compile(rf"([-+]?)({_GROUPS.format(_SEPARATOR)})((?:[.,][0-9]*)?{_EXP})")
_COMMAS = re.compile(rf"[-+]?{_GROUPS.format(',')}(?:\.[0-9]*)?{_EXP}")
_POINTS = re.compile(rf"[-+]?[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}}){{2,}}{_EXP}")
_DECIMAL_COMMA = re.compile(rf"[-+]?(?:[0-9]+|[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+)?,[0-9]+{_EXP}")
_SPECIAL_IN_SED = re.compile(r"[][$.*+?(){}|^\\/]")

# What decorates a number: a name for messages, and the text.
Mark = tuple[str, str]


class Reading(NamedTuple):
    """A cell that is a number in another notation.

    Parameters
    ----------
    value : float
    marks : tuple of (str, str)
        What is to be removed or replaced.
    commas : str
        What commas say: "thousands", "decimal" or, where it could be both, "either"; then 1,234 is 1234.
    """

    value: float
    marks: tuple[Mark, ...]
    commas: str

    @property
    def names(self) -> str:
        """The decorations, for a message."""
        return " and ".join(dict.fromkeys(name for name, _ in self.marks))


def read_notation(cell: str) -> Reading | None:
    """Return what a cell says that is a number in another notation, else None."""
    if len(cell) > _LONGEST or not any(c in cell for c in "0123456789"):
        return None
    marks: list[Mark] = []
    text = _without_signs(_without_padding(cell.strip(" \t"), marks), marks)
    if _TIMES_TEN.search(text):
        marks.append((EXPONENT, "10" if "10" in _TIMES_TEN.findall(text)[0] else "d"))
        text = _TIMES_TEN.sub("e", text)
    text, commas = _without_separators(text, marks)
    is_number = bool(marks) and has_digits(text.encode())
    return Reading(float(text), tuple(marks), commas) if is_number else None


def _without_padding(text: str, marks: list[Mark]) -> str:
    """Return a cell without the characters around it that nobody sees."""
    for padding in _PADDING.findall(text):
        marks += [(f"a character U+{ord(c):04X}", c) for c in padding if c not in " \t"]
    return _PADDING.sub("", text)


def _without_signs(text: str, marks: list[Mark]) -> str:
    """Return a cell without the signs of a currency and per cent, with a hyphen for other signs of minus."""
    if _MINUS_SIGN in text:
        marks.append((MINUS, _MINUS_SIGN))
        text = text.replace(_MINUS_SIGN, "-")
    for _ in range(2):  # a sign is inside parentheses or outside
        if found := _MONEY_BEFORE.match(text):
            marks.append((CURRENCY, found[2].strip(" ")))
            text = found[1] + text[found.end() :]
        elif found := _MONEY_BEHIND.search(text):
            marks.append((CURRENCY, found[0].strip(" ")))
            text = text[: found.start()]
        if found := _IN_PARENTHESES.fullmatch(text):
            marks.append((PARENTHESES, ""))
            text = f"-{found[1]}"
    if found := _PER.search(text):
        marks.append((PER_CENT if found[1] == "%" else PER_MILLE, found[0].strip(" ")))
        text = text[: found.start()]
    return text


def _without_separators(text: str, marks: list[Mark]) -> tuple[str, str]:
    """Return a number without thousands separators and with a decimal point, and what its commas say."""
    divided = _DIVIDED.fullmatch(text)
    if divided:
        separators = dict.fromkeys(c for c in divided[2] if not c.isdigit())
        marks += [(THOUSANDS, c) for c in separators]
        text = divided[1] + "".join(filter(str.isdigit, divided[2])) + divided[3]
    if "," in text:
        if not divided and _COMMAS.fullmatch(text):
            marks.append((THOUSANDS, ","))
            commas = "either" if text.count(",") == 1 and "." not in text else "thousands"
            return text.replace(",", ""), commas
        if _DECIMAL_COMMA.fullmatch(text):
            marks += [(DECIMAL, ","), *[(DECIMAL, ".")] * ("." in text)]
            return text.replace(".", "").replace(",", "."), "decimal"
    elif _POINTS.fullmatch(text):
        marks.append((THOUSANDS, "."))
        text = text.replace(".", "")
    return text, ""


def is_number_as_text(cell: str) -> bool:
    """Tell whether a text of a typed format is a number, in whatever notation; 00501 is a code."""
    if re.match(r"0[0-9]", cell):
        return False
    number = parse_number(cell.encode("utf-8", "replace"))
    return read_notation(cell) is not None if number is None else not math.isnan(number)


def value_of(cell: bytes) -> float | None:
    """Return the number in a cell, in whatever notation; NaN where it is missing, None for a text."""
    number = parse_number(cell)
    reading = read_notation(cell.decode("utf-8", "replace")) if number is None else None
    return reading.value if reading is not None else number


@dataclass
class Survey:
    """What the cells of a column say together. Filled by `add`."""

    marks: dict[Mark, None] = field(default_factory=dict)
    has_number: bool = False
    n_texts: int = 0
    texts: set[str] = field(default_factory=set)  # two of them at most
    _examples: dict[str, str] = field(default_factory=dict)

    def add(self, cell: bytes) -> None:
        """Take a cell into account."""
        number = parse_number(cell)
        if number is not None:
            self.has_number = self.has_number or not math.isnan(number)
            if b"." in cell and has_digits(cell):
                self._examples.setdefault("point", cell.decode())
            return
        text = cell.decode("utf-8", "replace")
        reading = read_notation(text)
        if reading is None:
            self.n_texts += 1
            self.texts.update([text] if len(self.texts) < 2 else [])
            return
        self.has_number = True
        self.marks |= dict.fromkeys(reading.marks)
        if reading.commas:
            self._examples.setdefault(reading.commas, text)
        elif (THOUSANDS, ".") in reading.marks:
            self._examples.setdefault("points", text)

    def find_conflict(self) -> str | None:
        """Return the fact that commas or points mean different things in different cells, None if not."""
        said = {
            **dict.fromkeys(("thousands", "either"), THOUSANDS),
            "decimal": DECIMAL,
            "point": "a decimal point",
            "points": "points between thousands",
        }
        for one, other in (
            ("either", "decimal"),
            ("thousands", "decimal"),
            ("point", "decimal"),
            ("point", "points"),
        ):
            if one in self._examples and other in self._examples:
                cells = [wording.shown(self._examples[key]) for key in (one, other)]
                return f'ambiguous: "{cells[0]}" has {said[one]}, "{cells[1]}" has {said[other]}'
        return None


class Edit(NamedTuple):
    """A substitution that a line undergoes, everywhere, or again and again until nothing changes."""

    pattern: str
    replacement: str
    is_repeated: bool = False

    def apply(self, line: bytes) -> bytes:
        """Return a line as sed leaves it."""
        pattern, replacement = self.pattern.encode(), self.replacement.encode()
        if not self.is_repeated:
            return re.sub(pattern, replacement, line)
        # sed makes one substitution at a time. The order does not matter: none prevents another.
        while (changed := re.sub(pattern, replacement, line)) != line:
            line = changed
        return line


def make_edits(marks: Iterable[Mark], kind: str) -> tuple[Edit, ...]:
    """Return what makes plain numbers of numbers with these marks in "csv" or "tsv"."""
    texts: dict[str, list[str]] = {}
    for name, text in marks:
        texts.setdefault(name, []).append(text)
    return (*_edit_signs(texts), *_edit_separators(texts, kind))


def _edit_signs(texts: dict[str, list[str]]) -> Iterator[Edit]:
    """Yield the edits that remove or replace signs, in the order in which they are made."""
    known = (CURRENCY, PER_CENT, PER_MILLE, THOUSANDS, DECIMAL, EXPONENT, MINUS, PARENTHESES)
    if padding := [text for name, (text, *_) in texts.items() if name not in known]:
        yield Edit(_any_of(padding), "")
    if MINUS in texts:
        yield Edit(_MINUS_SIGN, "-")
    if CURRENCY in texts:
        yield Edit(f" ?{_any_of(texts[CURRENCY])} ?", "")
    if PARENTHESES in texts:
        yield Edit(r"\(([0-9.][^()]*)\)", r"-\1")
    # Per cent beside per mille are of another scale.
    if per := texts.get(PER_CENT, texts.get(PER_MILLE)):
        yield Edit(f" ?{_any_of(per)}", "")
    if EXPONENT in texts:
        if "d" in texts[EXPONENT]:
            yield Edit("([0-9.])[dDqQ]([-+]?[0-9])", r"\1e\2")
        if "10" in texts[EXPONENT]:
            yield Edit(r" ?(\*|x|×|·) ?10(\^|\*\*)", "e")


def _edit_separators(texts: dict[str, list[str]], kind: str) -> Iterator[Edit]:
    """Yield the edits that make decimal points and no other separator; in CSV a comma is inside quotes."""
    begin = '("[-+]?[0-9]+)' if kind == "csv" else "([0-9])"
    separators = texts.get(THOUSANDS, [])
    if others := _any_of([text for text in separators if text not in ",."]):
        last = 3 if others.startswith("(") else 2
        yield Edit(f"([0-9]){others}([0-9]{{2}})", rf"\1\{last}", True)
    if "," in separators:
        yield Edit(f"{begin},([0-9]{{2}})", r"\1\2", True)
    if "." in separators:
        yield Edit(r"([0-9])\.([0-9]{3})", r"\1\2", True)
    if DECIMAL in texts:
        if "." in texts[DECIMAL]:
            yield Edit(rf"{begin}\.([0-9]{{3}}[.,])", r"\1\2", True)
        if kind == "csv":
            yield Edit('"([-+]?[0-9]*),([0-9]+[^"]*)"', r"\1.\2")
        else:
            yield Edit("([0-9]?),([0-9])", r"\1.\2")


def _any_of(texts: Sequence[str]) -> str:
    """Return a pattern of texts, in parentheses unless it is that of a single byte."""
    pattern = "|".join("".join(map(_literal, text)) for text in texts)
    return pattern if "".join(texts).isascii() and len("".join(texts)) <= 1 else f"({pattern})"


def _literal(c: str) -> str:
    """Return the pattern of a character; bytes that nobody sees are numbers, which a message can show."""
    if c.isprintable():
        return _SPECIAL_IN_SED.sub(r"\\\g<0>", c)
    return "".join(f"\\x{byte:02x}" for byte in c.encode())


def empty_cells(word: str, column: int, delimiter: str) -> str:
    """Return the command that makes the cells of a column empty that hold a word."""
    between = delimiter.replace("\t", r"\t")
    before = f"^(([^{between}]*{between}){{{column}}})"
    cell = "".join(map(_literal, word))
    pattern = rf'{before} *"?{cell}"? *({between}|\r?$)'
    script = rf"s/{pattern}/\1\3/"
    return f"sed -E {quoted(script)}"


def as_filter(edits: Sequence[Edit], n_header_lines: int) -> str:
    """Return the command that makes edits below a header."""
    steps = []
    for label, edit in zip(string.ascii_lowercase, edits, strict=False):  # more letters than kinds of edits
        substitution = f"s/{edit.pattern}/{edit.replacement}/"
        steps.append(f":{label};{substitution};t{label}" if edit.is_repeated else f"{substitution}g")
    address = "1" if n_header_lines == 1 else f"1,{n_header_lines}"
    script = "; ".join(steps)
    return f"sed -E {quoted(f'{address}!{{{script};}}')}"
