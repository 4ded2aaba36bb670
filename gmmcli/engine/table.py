"""A table in memory, cut into blocks."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np

from gmmcli.core.mixture import Array, Integers


class TableInMemory:
    """Rows in standard units, kept as they were loaded.

    Parameters
    ----------
    chunks : sequence of sequence of ndarray
        Per operand, arrays of shape (n_features, n_rows), float64. Kept, not copied.
    """

    def __init__(self, chunks: Sequence[Sequence[Array]]) -> None:
        self._chunks = [chunk for operand in chunks for chunk in operand if chunk.shape[1]]
        self._first_rows = [0, *accumulate(chunk.shape[1] for chunk in self._chunks)]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self._first_rows[-1])

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self._chunks[0].shape[0])

    def take(self, indices: Integers) -> Array:
        """Return some rows, shape (len(indices), n_features)."""
        where = np.searchsorted(self._first_rows, indices, side="right") - 1
        rows = [self._chunks[c][:, i - self._first_rows[c]] for c, i in zip(where, indices, strict=True)]
        return np.array(rows)

    def count_distinct(self, most: int) -> int:
        """Return how many different rows there are, or `most` as soon as it is reached."""
        found = set[bytes]()
        for _, X in self.blocks(4096):
            rows = X.T + 0.0  # −0 + 0 is 0: equal rows, equal bytes
            found.update(row.tobytes() for row in np.unique(rows, axis=0))
            if len(found) >= most:
                return most
        return len(found)

    def part(self, first: int, count: int) -> list[Array]:
        """Return views of consecutive rows, the first row following the last, each shape (n_features, n)."""
        found = []
        while count:
            c = int(np.searchsorted(self._first_rows, first, side="right")) - 1
            begin = first - self._first_rows[c]
            end = min(begin + count, self._chunks[c].shape[1])
            found.append(self._chunks[c][:, begin:end])
            count -= end - begin
            first = (first + end - begin) % self.n_rows
        return found

    def blocks(self, longest: int, shortest: int | None = None) -> Iterator[tuple[int, Array]]:
        """Yield (first row, block); a block never spans two chunks, nor, then, two operands.

        Parameters
        ----------
        longest : int
            Rows of a block.
        shortest : int, optional
            Rows of the last ones: as soon as the rows that are left in the whole table make no more than two
            blocks, these are half as long, down to this. `longest` if not given.
        """
        for first, chunk in zip(self._first_rows, self._chunks, strict=False):
            offset, rows = 0, longest
            while offset < chunk.shape[1]:
                while rows > (shortest or longest) and self.n_rows - first - offset <= 2 * rows:
                    rows //= 2
                yield first + offset, chunk[:, offset : offset + rows]
                offset += rows
