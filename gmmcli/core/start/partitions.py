"""Partitions of rows in memory: what starts are made of. All candidates of a sweep share them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.passes import Table
from gmmcli.core.rows import Rows
from gmmcli.core.start.centers import Merge, cut, lloyd, nearest, spread_rows, ward
from gmmcli.core.start.spaces import DIRECTIONS, points_in

# If a table has more than twice as many rows, starts are found and compared on this many, evenly spaced.
START_ROWS = 20_000
# Ward's linkage takes at most this many rows, evenly spaced.
_WARD_ROWS = 1000
# Rows tried for each seed of k-means.
_SEEDS_TRIED = 4


class Kind(NamedTuple):
    """How a start is made, and the space in which it looks for clusters."""

    method: str
    space: str = "standard"


@dataclass(eq=False)
class Partitions:
    """Finds clusters of some rows, and remembers what does not depend on their number.

    Parameters
    ----------
    sample : Table
        The rows, in standard units.
    scale : ndarray of shape (n_features,), float64
        One standard unit of each column, in the table's units.
    """

    sample: Table
    scale: Array
    _points: dict[tuple[str, int], Array] = field(default_factory=dict)
    _trees: dict[str, list[Merge]] = field(default_factory=dict)

    @cached_property
    def rows(self) -> Rows:
        """All rows of the sample as one block."""
        blocks = list(self.sample.blocks(self.sample.n_rows))
        weights = [block.weights for block in blocks]
        together = None
        if any(one is not None for one in weights):
            together = np.concatenate(
                [np.ones(b.n_rows) if w is None else w for b, w in zip(blocks, weights, strict=True)]
            )
        return Rows(np.concatenate([block.X for block in blocks], axis=1), together)

    def labels(self, kind: Kind, n_components: int, turn: int, rng: np.random.Generator) -> Integers:
        """Return the cluster of each row, shape (n_rows,).

        Parameters
        ----------
        kind : Kind
            Its method is "kmeans", "kmeans++" or "ward".
        n_components : int
        turn : int
            Counts the starts of this kind.
        rng : numpy.random.Generator
        """
        points = self._points_in(kind.space, turn)
        if kind.method != "ward":
            return nearest(points, self.centers(kind, n_components, turn, rng))
        some = points[:, :: -(-points.shape[1] // _WARD_ROWS)]
        if kind.space not in self._trees:
            self._trees[kind.space] = ward(some)
        label = cut(self._trees[kind.space], some.shape[1], n_components)
        if some.shape == points.shape:
            return label
        return nearest(points, np.array([some[:, label == k].mean(axis=1) for k in range(label.max() + 1)]))

    def centers(self, kind: Kind, n_components: int, turn: int, rng: np.random.Generator) -> Array:
        """Return the centres of k-means, or its seeds alone, in the space of a kind."""
        points, weights = self._points_in(kind.space, turn), self.rows.weights
        if kind.method == "kmeans++":
            return spread_rows(points, weights, n_components, rng)
        return lloyd(points, weights, spread_rows(points, weights, n_components, rng, _SEEDS_TRIED))

    def _points_in(self, space: str, turn: int) -> Array:
        """Return the rows in a space."""
        turns = {"principal": len(DIRECTIONS), "column": self.sample.n_features}
        key = (space, turn % turns.get(space, 1))
        if key not in self._points:
            self._points[key] = points_in(space, self.rows.X, self.scale, turn)
        return self._points[key]
