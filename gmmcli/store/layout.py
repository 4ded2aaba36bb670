"""The layout of a checkpoint: names and versions of the format, and the rules for an item.

An item is a path and a numpy array. An array of rank 0 is stored as an attribute of its group, an array of
higher rank as a dataset.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FORMAT = "gmmcli-checkpoint"
MAJOR, MINOR = 1, 2
FORMAT_VERSION = f"{MAJOR}.{MINOR}"
ENCODING_VERSION = "1"

# The greatest integer of a checkpoint: float64 holds it exactly, and int64 holds it plus one.
MOST_INTEGER = 2**53

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
    """The bytes are not those of a checkpoint. The caller knows the file's name and reports it."""


class UnknownFormat(Damage):
    """The bytes are whole, but only a newer gmmcli reads them."""


@dataclass(frozen=True)
class Rule:
    """The type and rank of one item.

    Parameters
    ----------
    kind : {"float", "integer", "flag", "text"}
        float64, int64, uint8 with value 0 or 1, or fixed-length UTF-8.
    low, high : int
        Range of the rank; an attribute has rank 0.
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
