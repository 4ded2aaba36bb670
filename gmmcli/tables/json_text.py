"""Values of JSON lines that are passed through: a column of them, each as it was written."""

import json
import math
import re
from typing import Any

import pyarrow as pa

from gmmcli.errors import TableUnusable
from gmmcli.tables import wording

# By the types of a column's values, as Python reads them, the Arrow type that holds them all.
_ARROW_TYPES = (
    (frozenset((bool,)), pa.bool_()),
    (frozenset((int,)), pa.int64()),
    (frozenset((int, float)), pa.float64()),
)
_LARGEST_INT = 2**63
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
# Of an object without backslashes, and with neither objects nor arrays in it: as most are.
_PLAIN_PAIR = re.compile(r'"([^"]*)"\s*:\s*("[^"]*"|[^,}\s]+)')
_NOT_FINITE = re.compile("NaN|Infinity")


class JsonText(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no types
    """The type of such a column: texts of values, null where a value is null or absent.

    Parameters
    ----------
    kind : pyarrow.DataType
        What typed formats take the values for.
    """

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        super().__init__(pa.string(), "gmmcli.json")

    def __arrow_ext_serialize__(self) -> bytes:
        """Return what tells one kind from another; columns of this type never leave the process."""
        return str(self.kind).encode()

    def array(self, texts: list[str | None]) -> Any:
        """Return a column of this type."""
        texts = [None if text == "null" else text for text in texts]
        return pa.ExtensionArray.from_storage(self, pa.array(texts, pa.string()))


def kind_of(values: list[Any]) -> Any:
    """Return the Arrow type for values; texts, mixtures and nested values are strings."""
    found = frozenset(map(type, values)) - {type(None)}
    if not all(map(_is_int64, values)):
        return pa.string()
    return next((kind for types, kind in _ARROW_TYPES if found and found <= types), pa.string())


def texts_of(line: str) -> dict[str, str]:
    """Return each value of an object as it is written, by its key, which is known to be on the line."""
    if line.count("{") == 1 and "[" not in line and "\\" not in line:
        return dict(_PLAIN_PAIR.findall(line))
    found: dict[str, str] = {}
    at = _after_space(line, line.index("{") + 1)
    while line[at] != "}":
        key, at = _DECODER.raw_decode(line, at)
        start = _after_space(line, _after_space(line, at) + 1)  # behind the colon
        at = _DECODER.raw_decode(line, start)[1]
        found[key] = line[start:at]
        at = _after_space(line, at)
        if line[at] == ",":
            at = _after_space(line, at + 1)
    return found


def as_json(values: Any) -> list[str]:
    """Return a column as JSON texts, with null for the words that Python takes for numbers beside JSON's."""
    texts = ["null" if text is None else text for text in values.storage.to_pylist()]
    for i, text in enumerate(texts):
        if text[0] != '"' and _NOT_FINITE.search(text):
            value = json.loads(text)
            clean = finite(value)
            texts[i] = text if clean == value else json.dumps(clean, ensure_ascii=False)
    return texts


def as_texts(values: Any) -> Any:
    """Return a column as one of strings: texts without their quotes, the rest as it is written."""
    texts = values.storage.to_pylist()
    return pa.array([json.loads(t) if t is not None and t[0] == '"' else t for t in texts], pa.string())


def as_typed(name: str, values: Any) -> Any:
    """Return a column in the Arrow type that its kind says.

    Raises
    ------
    TableUnusable
        A value is of another kind.
    """
    kind = values.type.kind
    allowed = next((types for types, arrow_type in _ARROW_TYPES if arrow_type == kind), None)
    if allowed is None:
        return as_texts(values)
    found = []
    for text in values.storage.to_pylist():
        value = None if text is None else json.loads(text)
        if value is not None and not (type(value) in allowed and _is_int64(value)):
            fact = f"{wording.column(name)}: not {kind} as before: {wording.shown(text)}"
            raise TableUnusable("--pass", fact, "--output-format csv")
        found.append(float(value) if value is not None and kind == pa.float64() else value)
    return pa.array(found, kind)


def _after_space(line: str, at: int) -> int:
    """Return where the next token begins."""
    found = _SPACE.match(line, at)
    return at if found is None else found.end()


def finite(value: Any) -> Any:
    """Return a value, nested or not, with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_int64(value: float | None) -> bool:
    """Tell whether a value is none that 64 bits cannot hold."""
    return type(value) is not int or -_LARGEST_INT <= value < _LARGEST_INT
