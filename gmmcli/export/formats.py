"""The table of export formats; `gmmcli.export.model_<name>` is loaded when a format is used."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gmmcli.export.portable import PortableModel


@dataclass(frozen=True)
class Format:
    """One row.

    Parameters
    ----------
    suffix : str
    is_text : bool
        Whether a terminal can show it.
    """

    suffix: str
    is_text: bool


FORMATS = {"json": Format(".json", is_text=True), "npz": Format(".npz", is_text=False)}


def find_format(suffix: str) -> str | None:
    """Return the name of the format with a suffix, in either case, or None."""
    return next((name for name, row in FORMATS.items() if row.suffix == suffix.lower()), None)


def encode(model: "PortableModel", name: str) -> bytes:
    """Return the model in one of FORMATS."""
    content: bytes = import_module(f"gmmcli.export.model_{name}").encode(model)
    return content
