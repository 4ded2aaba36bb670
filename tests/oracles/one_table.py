"""An engine and its only table: what most tests of core pass over."""

from contextlib import ExitStack

import numpy as np

from gmmcli.core.rows import Rows
from gmmcli.engine.in_memory import InMemoryTable
from gmmcli.engine.local import LocalEngine


def as_rows(piece):
    """Return an array of shape (n_features, n_rows) as rows; rows as they are."""
    return piece if isinstance(piece, Rows) else Rows(piece)


class OneTable:
    """An engine with a table attached. A context manager; closing it ends the workers.

    Parameters
    ----------
    operands : list of list of ndarray of shape (n_features, n_rows), or of Rows
    n_workers : int
    check : callable
    """

    def __init__(self, operands, n_workers=1, check=lambda: None):
        self.table = InMemoryTable([[as_rows(piece) for piece in operand] for operand in operands])
        self.engine = LocalEngine(n_workers, check)
        self._stack = ExitStack()
        self._stack.enter_context(self.engine.attached(self.table))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the workers; the next pass makes new ones."""
        self.attached.dismiss_crew()

    @property
    def attached(self):
        """What the engine keeps of the table."""
        return self.engine._attached[self.table]

    def expectation(self, mixture, *, hard=False):
        """Return one E over the table."""
        return self.engine.expectation(self.table, mixture, hard=hard)

    def all_rows(self):
        """Return the rows one by one, shape (n_rows, n_features)."""
        return self.table.take(np.arange(self.table.n_rows)).X.T
