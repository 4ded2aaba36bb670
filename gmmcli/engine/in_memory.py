"""A table in memory, cut into blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.quantiles import sample_size, sampled_rows
from gmmcli.core.rows import Rows


class InMemoryTable:
    """Rows in standard units, in the pieces in which they were loaded: a `Table`.

    Parameters
    ----------
    operands : sequence of sequence of Rows
        The rows of each operand, in order. The table keeps them without a copy: they must not change after
        the first pass.

    Attributes
    ----------
    n_rows, n_features : int
    total_weight : float
    """

    def __init__(self, operands: Sequence[Sequence[Rows]]) -> None:
        self._pieces = [rows for operand in operands for rows in operand if rows.n_rows]
        self._first_rows = [0, *accumulate(rows.n_rows for rows in self._pieces)]
        self._has_weights = any(rows.weights is not None for rows in self._pieces)
        self.n_rows = self._first_rows[-1]
        self.n_features = self._pieces[0].X.shape[0] if self._pieces else 0
        self.total_weight: float = sum(rows.total_weight for rows in self._pieces)

    def take(self, indices: Integers) -> Rows:
        """Return the rows of these numbers, with their weights."""
        where = np.searchsorted(self._first_rows, indices, side="right") - 1
        places = [(self._pieces[c], i - self._first_rows[c]) for c, i in zip(where, indices, strict=True)]
        X = np.array([rows.X[:, i] for rows, i in places]).T
        if not self._has_weights:
            return Rows(X)
        return Rows(X, np.array([1.0 if rows.weights is None else rows.weights[i] for rows, i in places]))

    def sampled_weights(self) -> Array | None:
        """Return the weights of the rows whose log densities a pass samples; None if all weights are 1."""
        m = sample_size(self.n_rows)
        return self.take(sampled_rows(np.arange(m), self.n_rows, m)).weights if self._has_weights else None

    def count_distinct(self, most: int) -> int:
        """Return the number of distinct rows, at most `most`."""
        found = set[bytes]()
        for rows in self.blocks(4096):
            cells = rows.X.T + 0.0  # −0 + 0 is 0: equal rows, equal bytes
            found.update(row.tobytes() for row in np.unique(cells, axis=0))
            if len(found) >= most:
                return most
        return len(found)

    def part(self, first: int, count: int) -> "InMemoryTable":
        """Return `count` consecutive rows as a table that shares memory; the first row follows the last."""
        found = []
        while count:
            c = int(np.searchsorted(self._first_rows, first, side="right")) - 1
            begin = first - self._first_rows[c]
            end = min(begin + count, self._pieces[c].n_rows)
            found.append(self._pieces[c][begin:end])
            count -= end - begin
            first = (first + end - begin) % self.n_rows
        return InMemoryTable([found])

    def sample(self, n_rows: int) -> "InMemoryTable":
        """Return `n_rows` evenly spaced rows as a table; this table if that is half of its rows or more."""
        if self.n_rows <= 2 * n_rows:
            return self
        rows = self.take(sampled_rows(np.arange(n_rows), self.n_rows, n_rows))
        return InMemoryTable([[Rows(np.ascontiguousarray(rows.X), rows.weights)]])

    def blocks(self, longest: int, shortest: int | None = None) -> Iterator[Rows]:
        """Yield blocks; no block spans two pieces. See `passes.Table.blocks`.

        Once two blocks or less are left of the table, the length is halved, down to `shortest` rows.
        """
        for first, piece in zip(self._first_rows, self._pieces, strict=False):
            offset, length = 0, longest
            while offset < piece.n_rows:
                while length > (shortest or longest) and self.n_rows - first - offset <= 2 * length:
                    length //= 2
                end = min(offset + length, piece.n_rows)
                yield replace(piece[offset:end], first_row=first + offset)
                offset += length
