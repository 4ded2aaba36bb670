"""Gaussian mixtures from the command line: fit, predict, score, export, inspect; and as an estimator, GMM."""

TYPE_CHECKING = False  # importing typing takes as long as the start of Python; type checkers know this name

if TYPE_CHECKING:
    from typing import Any

    from gmmcli.gmm import GMM, RunConfig

__all__ = ["GMM", "RunConfig"]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    """Return the public names, for help() and for completion."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> "Any":
    """Import a public name when it is used; the command line does not need it."""
    if name in __all__:
        from gmmcli import gmm

        return getattr(gmm, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
