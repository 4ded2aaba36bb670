"""What pyarrow is told before it is used."""

import sys

import pyarrow as pa


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
