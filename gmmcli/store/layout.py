"""What a checkpoint may contain: every group, dataset and attribute, with type and rank.

The one list that writing, reading and the content digest share. An item is a path and a numpy array: of
rank 0 it is an attribute of its group, of a higher rank a dataset. Knows neither HDF5 nor what the numbers
mean.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FORMAT = "gmmcli-checkpoint"
MAJOR, MINOR = 1, 0
FORMAT_VERSION = f"{MAJOR}.{MINOR}"
ENCODING_VERSION = "1"

AnyArray: TypeAlias = NDArray[Any]
Items: TypeAlias = dict[str, AnyArray]

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

    kind: Literal["float", "integer", "flag", "text"]
    low: int
    high: int
    counts: bool
    required: bool = True


_SCALAR_TEXT = Rule("text", 0, 0, counts=False)
_RUN_STATE = Rule("float", 1, 3, counts=True, required=False)
_RUN_NAME = re.compile(r"/training/run/[a-z][a-z0-9_]{0,63}")


def _mixture_rules(group: str) -> dict[str, Rule]:
    """Return the rules of the three arrays of a mixture."""
    return {
        f"{group}/covariances": Rule("float", 1, 3, counts=True),
        f"{group}/means": Rule("float", 2, 2, counts=True),
        f"{group}/weights": Rule("float", 1, 1, counts=True),
    }


RULES: dict[str, Rule] = {
    "/blas_kernel": _SCALAR_TEXT,
    "/created": _SCALAR_TEXT,
    "/format": _SCALAR_TEXT,
    "/format_version": _SCALAR_TEXT,
    "/generation": Rule("integer", 0, 0, counts=False),
    "/lineage": _SCALAR_TEXT,
    "/parent_sha256": _SCALAR_TEXT,
    "/versions": _SCALAR_TEXT,
    "/data/absorbed_digests": Rule("text", 1, 1, counts=False),
    "/data/digests": Rule("text", 1, 1, counts=False),
    "/data/names": Rule("text", 1, 1, counts=False),
    "/data/quantiles": Rule("float", 1, 1, counts=False),
    "/data/rows": Rule("integer", 1, 1, counts=False),
    "/data/sizes": Rule("integer", 1, 1, counts=False),
    **_mixture_rules("/mixture"),
    "/mixture/covariance_type": Rule("text", 0, 0, counts=True),
    "/schema/features": Rule("text", 1, 1, counts=True),
    "/schema/weights_column": Rule("text", 0, 0, counts=True, required=False),
    **_mixture_rules("/state"),
    "/statistics/counts": Rule("float", 1, 1, counts=True),
    "/statistics/log_likelihood": Rule("float", 0, 0, counts=True),
    "/statistics/log_max_posterior": Rule("float", 0, 0, counts=True),
    "/statistics/reference": Rule("float", 2, 2, counts=True),
    "/statistics/rows": Rule("integer", 0, 0, counts=True),
    "/statistics/squares": Rule("float", 1, 3, counts=True),
    "/statistics/sums": Rule("float", 2, 2, counts=True),
    "/statistics/total_weight": Rule("float", 0, 0, counts=True),
    "/training/converged": Rule("flag", 0, 0, counts=True),
    "/training/global_step": Rule("integer", 0, 0, counts=True),
    "/training/log_likelihoods": Rule("float", 1, 1, counts=False),
    "/training/random_state": _SCALAR_TEXT,
    "/training/settings": _SCALAR_TEXT,
    "/training/stopping": Rule("float", 1, 1, counts=True),
    "/units/center": Rule("float", 1, 1, counts=True),
    "/units/scale": Rule("float", 1, 1, counts=True),
}


def find_rule(path: str) -> Rule | None:
    """Return the rule of an item, or None where format 1.0 has no such item."""
    if _RUN_NAME.fullmatch(path):
        return _RUN_STATE
    return RULES.get(path)


def split(path: str) -> tuple[str, str]:
    """Return the group and the name of an item."""
    group, _, name = path.rpartition("/")
    return group or "/", name
