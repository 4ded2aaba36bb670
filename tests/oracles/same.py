"""Two values that are the same to the last bit."""

from dataclasses import fields, is_dataclass

import numpy as np


def assert_same(first: object, second: object, path: str = "value") -> None:
    """Compare two values field by field, arrays bit for bit."""
    assert type(first) is type(second), path
    if is_dataclass(first):
        for item in fields(first):
            assert_same(getattr(first, item.name), getattr(second, item.name), f"{path}.{item.name}")
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype, path
        assert first.shape == second.shape, path
        assert first.tobytes() == second.tobytes(), path
    elif isinstance(first, dict | tuple | list):
        assert len(first) == len(second), path
        keys = first if isinstance(first, dict) else range(len(first))
        for key in keys:
            assert_same(first[key], second[key], f"{path}[{key!r}]")
    else:
        assert first == second, path
