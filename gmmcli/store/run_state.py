"""Conversion between the memory of a run and arrays of numbers, as format 1.0 stores it."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.em.memory import Batches, Converged, Cycle, Memory, Standing
from gmmcli.store import layout
from gmmcli.store.layout import Damage

NAMES = (
    "reseeded",
    "approximate",
    "began",
    "cycle",
    "cycle_base",
    "stepwise",
    "stepwise_counts",
    "stepwise_sums",
    "stepwise_squares",
    "stepwise_reference",
    "stepwise_likelihoods",
    "validation",
    "converged",
)
_NUMBERS: dict[str, type] = {"reseeded": int, "approximate": bool, "began": int}
_PARTS: dict[str, type] = {
    "cycle": Cycle,
    "stepwise": Batches,
    "validation": Standing,
    "converged": Converged,
}


def to_arrays(memory: Memory) -> dict[str, Array]:
    """Return the arrays of a memory, by name."""
    found = {
        "reseeded": [memory.reseeded] if memory.reseeded else None,
        "approximate": [1] if memory.approximate else None,
        "began": None if memory.began is None else [memory.began],
    }
    arrays = {name: np.array(value, np.float64) for name, value in found.items() if value is not None}
    for name, kind in _PARTS.items():
        part = getattr(memory, name)
        if part is not None:
            values = {one.name: getattr(part, one.name) for one in fields(kind)}
            numbers = [_to_number(value) for value in values.values() if not isinstance(value, np.ndarray)]
            arrays[name] = np.array(numbers, np.float64)
            arrays |= {
                f"{name}_{key}": value
                for key, value in values.items()
                if isinstance(value, np.ndarray) and value.size
            }
    return arrays


def from_arrays(arrays: Mapping[str, Array]) -> Memory:
    """Return the memory that the arrays describe.

    Raises
    ------
    Damage
        A name, a shape or a number is not possible in a memory.
    """
    left = dict(arrays)
    found: dict[str, Any] = {}
    for name, of_type in _NUMBERS.items():
        if name in left:
            found[name] = _from_number(_numbers(left, name, 1)[0], of_type)
    for name, kind in _PARTS.items():
        if name in left:
            found[name] = _part(name, kind, left)
    if left:
        raise Damage(f"the run state has an unknown part {min(left)!r}")
    return Memory(**found)


def _part(name: str, kind: type, left: dict[str, Array]) -> Any:
    """Remove the arrays of one part of a memory from `left`, and return the part."""
    kinds = {one.name: one.type for one in fields(kind)}
    scalars = [key for key, of_type in kinds.items() if of_type in (int, float, bool, str, float | None)]
    numbers = _numbers(left, name, len(scalars))
    values: dict[str, Any] = {
        key: _from_number(number, kinds[key]) for key, number in zip(scalars, numbers, strict=True)
    }
    values |= {
        key: left.pop(f"{name}_{key}") for key in kinds.keys() - values.keys() if f"{name}_{key}" in left
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise Damage(f"the run state {name!r} lacks an array") from error


def _numbers(left: dict[str, Array], name: str, count: int) -> list[float]:
    """Remove an array of `count` numbers from `left`, and return its numbers."""
    array = left.pop(name)
    if array.shape != (count,):
        raise Damage(f"the run state {name!r} has shape {array.shape}, not ({count},)")
    return [float(number) for number in array]


def _to_number(value: object) -> float:
    """Return a value of a memory as a number. A digest is read as a hexadecimal number."""
    if value is None:
        return -math.inf
    return float(int(value, 16)) if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def _from_number(number: float, kind: object) -> Any:
    """Return the value of a kind that a number describes."""
    if kind is float:
        return number
    if kind == float | None:
        return None if number == -math.inf else number
    if not (number.is_integer() and -1 <= number <= layout.MOST_INTEGER):
        raise Damage(f"the run state holds {number!r} where an integer belongs")
    return f"{int(number):012x}" if kind is str else kind(int(number))  # type: ignore[operator]
