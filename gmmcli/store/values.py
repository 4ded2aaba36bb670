"""Conversion between Python texts and mappings, and items: numpy arrays of the types of a checkpoint.

Text is fixed-length UTF-8, because HDF5 keeps variable-length text in a heap without checksums. Does not know
which item is which.
"""

import json
from typing import NoReturn

import numpy as np

from gmmcli.store.layout import AnyArray, Damage


def from_text(text: str) -> AnyArray:
    """Return a text as an item of rank 0.

    Raises
    ------
    Damage
        The text ends with NUL, which fixed-length HDF5 text loses, or is not Unicode.
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
        The text is not UTF-8.
    """
    return to_texts(item.reshape(1))[0]


def to_texts(item: AnyArray) -> tuple[str, ...]:
    """Return the texts of an item of rank 1.

    Raises
    ------
    Damage
        A text is not UTF-8.
    """
    try:
        return tuple(bytes(text).decode("utf-8") for text in item)
    except UnicodeDecodeError as error:
        raise Damage(f"a text is not UTF-8: {error.reason}") from error


def _encoded(text: str) -> bytes:
    """Return the UTF-8 bytes of a text, if fixed-length HDF5 text can keep them."""
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Damage(f"text {text!r} is not Unicode") from error
    if encoded.endswith(b"\0"):
        raise Damage(f"text {text!r} ends with a NUL byte")
    return encoded


def to_json(item: AnyArray) -> dict[str, object]:
    """Return the JSON object of an item of rank 0.

    Raises
    ------
    Damage
        The text is not a JSON object.
    """
    try:
        value = json.loads(to_text(item), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Damage(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Damage("not a JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python reads but JSON does not have."""
    raise ValueError(f"{name} is not a number of JSON")
