"""Passes over rows: the protocols, and a table and an engine on this machine."""

from gmmcli.core.passes import Engine, Table

__all__ = ["Engine", "Table"]
