"""What pyarrow is told before it is used, and which of its types hold numbers or text."""

import sys
from typing import Any

import pyarrow as pa


def is_numeric(kind: Any) -> bool:
    """Tell whether values of an Arrow type are numbers: integers, floats, decimals, booleans or nulls."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return bool(pa.types.is_null(kind) or any(test(kind) for test in tests))


def is_text(kind: Any) -> bool:
    """Tell whether values of an Arrow type are texts, in a dictionary or not."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def fits_parquet(*kinds: Any) -> bool:
    """Tell whether Parquet can hold values of Arrow types: it is tried in memory."""
    from pyarrow import parquet

    columns = {str(j): pa.nulls(1, kind) for j, kind in enumerate(kinds)}
    try:
        parquet.write_table(pa.table(columns), pa.BufferOutputStream())
    except (pa.ArrowException, OSError):  # the latter is what Arrow raises about a scale below zero
        return False
    return True


class _WithoutPandas:
    """A finder of modules that says that pandas is not installed."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse pandas, and leave everything else to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def hide_pandas() -> None:
    """Let pyarrow take pandas for not installed: its first conversion would load it, to recognise frames.

    It asks once. For a program that passes it no frames; afterwards `import pandas` works as ever.
    """
    finder = _WithoutPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)
