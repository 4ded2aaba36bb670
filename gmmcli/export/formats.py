"""The table of export formats; `encode` imports the module of a format when it is used."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gmmcli.export.portable import PortableModel


@dataclass(frozen=True)
class Format:
    """An export format: the suffix of its files, and whether a terminal can show it."""

    suffix: str
    is_text: bool


FORMATS = {"json": Format(".json", is_text=True), "npz": Format(".npz", is_text=False)}


def encode(model: "PortableModel", name: str) -> bytes:
    """Return the bytes of a file of one of FORMATS."""
    content: bytes = import_module(f"gmmcli.export.model_{name}").encode(model)
    return content
