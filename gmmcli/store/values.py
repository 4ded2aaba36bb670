"""Python values <-> items: numpy arrays of the four types that a checkpoint knows.

Text is fixed-length UTF-8, because variable-length text in HDF5 lives in a heap that no checksum of a chunk
covers. Knows nothing of which item is which.
"""

import json
from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from gmmcli.store.layout import DTYPES, AnyArray, Damage


def from_floats(values: object) -> AnyArray:
    """Return an item of float64: the array itself where it is one. Nobody changes an item."""
    return np.asarray(values, DTYPES["float"], order="C")


def from_integers(values: object) -> AnyArray:
    """Return an item of int64."""
    return np.array(values, DTYPES["integer"])


def from_text(text: str) -> AnyArray:
    """Return a text as an item of rank 0.

    Raises
    ------
    Damage
        The text ends with NUL, which fixed-length HDF5 text cannot keep, or is not Unicode.
    """
    return np.array(_encoded(text))


def from_texts(texts: tuple[str, ...]) -> AnyArray:
    """Return texts as an item of rank 1, as wide as the longest of them.

    Raises
    ------
    Damage
        As `from_text`.
    """
    return np.array([_encoded(text) for text in texts], dtype="S" if texts else "S1")


def to_text(item: AnyArray) -> str:
    """Return the text of an item of rank 0.

    Raises
    ------
    Damage
        It is not UTF-8.
    """
    return to_texts(item.reshape(1))[0]


def to_texts(item: AnyArray) -> tuple[str, ...]:
    """Return the texts of an item of rank 1.

    Raises
    ------
    Damage
        One is not UTF-8.
    """
    try:
        return tuple(bytes(text).decode("utf-8") for text in item)
    except UnicodeDecodeError as error:
        raise Damage(f"a text is not UTF-8: {error.reason}") from error


def _encoded(text: str) -> bytes:
    """Return the UTF-8 bytes of a text that fixed-length HDF5 text can keep."""
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Damage(f"text {text!r} is not Unicode") from error
    if encoded.endswith(b"\0"):
        raise Damage(f"text {text!r} ends with a NUL byte")
    return encoded


def from_json(value: Mapping[str, object]) -> AnyArray:
    """Return a JSON object as a text that does not depend on the order of the keys.

    Raises
    ------
    ValueError
        It holds NaN or an infinity.
    """
    return from_text(json.dumps(dict(value), sort_keys=True, ensure_ascii=True, allow_nan=False))


def to_json(item: AnyArray) -> dict[str, object]:
    """Return the JSON object of an item of rank 0.

    Raises
    ------
    Damage
        It is not one.
    """
    try:
        value = json.loads(to_text(item), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Damage(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Damage("not a JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and infinity, which JSON does not have."""
    raise ValueError(f"{name} is not a number of JSON")
