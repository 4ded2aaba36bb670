"""What a checkpoint may contain: the names and versions of its format, and the rules that an item keeps.

An item is a path and a numpy array: of rank 0 it is an attribute of its group, of a higher rank a dataset.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FORMAT = "gmmcli-checkpoint"
MAJOR, MINOR = 1, 1
FORMAT_VERSION = f"{MAJOR}.{MINOR}"
ENCODING_VERSION = "1"

AnyArray: TypeAlias = NDArray[Any]
Items: TypeAlias = dict[str, AnyArray]
Kind: TypeAlias = Literal["float", "integer", "flag", "text"]

DTYPES: dict[str, np.dtype[Any]] = {
    "float": np.dtype("<f8"),
    "integer": np.dtype("<i8"),
    "flag": np.dtype("|u1"),
}

# Group path -> encoding_type.
GROUPS = {
    "/": "checkpoint",
    "/data": "operands",
    "/mixture": "mixture",
    "/schema": "schema",
    "/state": "mixture",
    "/statistics": "statistics",
    "/training": "training",
    "/training/run": "run",
    "/units": "units",
}


class Damage(ValueError):
    """The bytes are not those of a checkpoint; the caller, who knows the file's name, reports it."""


class UnknownFormat(Damage):
    """The bytes are whole, but only a newer gmmcli reads them."""


@dataclass(frozen=True)
class Rule:
    """What one item must be.

    Parameters
    ----------
    kind : {"float", "integer", "flag", "text"}
        float64, int64, uint8 of 0 or 1, or fixed-length UTF-8.
    low, high : int
        Range of the rank; 0 is an attribute.
    counts : bool
        Whether the item is part of the content digest.
    required : bool
    """

    kind: Kind
    low: int
    high: int
    counts: bool = False
    required: bool = True


def split(path: str) -> tuple[str, str]:
    """Return the group and the name of an item."""
    group, _, name = path.rpartition("/")
    return group or "/", name
