"""Where a pass over the rows runs: the protocols, and the table and the engine of this machine."""

from gmmcli.core.passes import Engine, Table

__all__ = ["Engine", "Table"]
