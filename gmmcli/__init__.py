"""Gaussian mixtures from the command line: fit, predict, score, export, inspect; and as an estimator, GMM."""

TYPE_CHECKING = False  # as type checkers know it: importing typing takes as long as Python's own start

if TYPE_CHECKING:
    from typing import Any

    from gmmcli.gmm import GMM, RunConfig

__all__ = ["GMM", "RunConfig"]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    """Return the public names, for help() and for completion."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> "Any":
    """Load a public name when it is used: the command line has no need of it."""
    if name in __all__:
        from gmmcli import gmm

        return getattr(gmm, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
