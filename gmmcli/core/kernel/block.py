"""The layout of a block of rows in memory, and the arrays that one thread works in.

A block is cut into slabs of a fixed number of rows. Slabs are small matrices: one call of `matmul` multiplies
many of them without a return to the interpreter. The results of a row depend on its place in its slab, but
not on the other rows. numpy only: predict pays for this import.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.matrices import TRIANGLE_ROWS
from gmmcli.core.covariances.products import shifted
from gmmcli.core.covariances.structure import Structure
from gmmcli.core.mixture import Mixture

Value = TypeVar("Value", bound=np.generic)
# Target time of a block: long enough to be worth handing to a worker.
BLOCK_NS = 2e6
# Target time of a block for each number in its sums.
SUM_NS = 75
# Time of the last blocks of a table relative to the other blocks, so that workers do not wait for them long.
LAST_PART = 0.25
MAX_BLOCK_ROWS, MAX_TILE_ROWS = 65_536, 8_192
# Target time of a tile: the overhead of its calls is a tenth of it, and its arrays stay in the caches.
TILE_NS = 3.3e5
# Rows x features of a tile in centred form.
CENTRED_TILE = 2**16
# Rows of a slab. With fewer rows the overhead of numpy's inner loops exceeds their work.
SLAB_ROWS = 256
# BLAS multiplies without packing its operands up to this product of rows, columns and depth.
PRODUCT = 1_000_000
# Shifts (`products.pairs`) that are expanded and multiplied together, if slabs can be short enough.
LEAST_SHIFTS = 4
# Components that are multiplied together: as many as the registers of BLAS's innermost loop hold.
BUNDLE, MAX_BUNDLE = 16, 24
# Returns float64 arrays of zeros, given their shapes.
Allocate: TypeAlias = Callable[..., Iterable[Array]]


@dataclass(frozen=True)
class Layout:
    """Sizes of a block. They depend only on the structure, d and K (docs/blocks.md).

    Parameters
    ----------
    block_rows : int
        Rows that a worker takes at a time. All four numbers of rows are powers of two.
    last_rows : int
        Rows that a worker takes at the end of a table, so that the others do not wait for it.
    tile_rows : int
        Rows that are evaluated at a time.
    slab_rows : int
    n_bundles : int
        Bundles of components, which are multiplied one after the other.
    group_features : int
        Expanded features that are multiplied together; 0 if all components are in centred form.
    row_ns : float
        Estimated time per row, in nanoseconds.
    most_sums : int
        The greatest number of float64 values in the sums of a block, whichever form each component has. A
        mixture of this size, and its constants, hold no more than that each.
    """

    block_rows: int
    last_rows: int
    tile_rows: int
    slab_rows: int
    n_bundles: int
    group_features: int
    row_ns: float
    most_sums: int

    def bundle_of(self, n_components: int) -> int:
        """Return the number of components in a bundle; the last bundle is padded to it."""
        return -(-n_components // self.n_bundles)


def choose_layout(structure: Structure, n_features: int, n_components: int) -> Layout:
    """Return the layout of blocks for mixtures of a structure and size."""
    d, K = n_features, n_components
    D = structure.expanded_length(d)
    row_ns = 5.0 + 3.0 * K
    sums_of_centred = K * (1 + d + d * d)
    if prefers_centred(structure, d, K, n_unsafe=0):
        row_ns += K * structure.centred_ns(d)
        slab = _power_of_two(PRODUCT / (4 * TRIANGLE_ROWS * d), 64, SLAB_ROWS)
        tile, n_bundles, group = _power_of_two(CENTRED_TILE / d, SLAB_ROWS, MAX_TILE_ROWS), 1, 0
        sums = most_sums = sums_of_centred
    else:
        row_ns += _expanded_ns(structure, d, K)
        n_bundles = 1 if K <= MAX_BUNDLE else -(-K // BUNDLE)
        bundle = -(-K // n_bundles)
        slab, n_groups = SLAB_ROWS, 1
        if structure.has_products:
            lengths = (SLAB_ROWS, SLAB_ROWS // 2, SLAB_ROWS // 4)
            slab = next((n for n in lengths if LEAST_SHIFTS * bundle * d * n <= PRODUCT), lengths[-1])
            n_groups = -(-D * bundle * slab // PRODUCT)
        group = PRODUCT // (bundle * slab)
        # Each group except the last is expanded and multiplied twice.
        tile = _power_of_two((2 * n_groups - 1) * TILE_NS / row_ns, SLAB_ROWS, MAX_TILE_ROWS)
        sums = n_bundles * bundle * D
        most_sums = sums + sums_of_centred
    rows = max(BLOCK_NS, SUM_NS * sums) / row_ns
    block = _power_of_two(rows, tile, MAX_BLOCK_ROWS)
    last = _power_of_two(LAST_PART * rows, max(tile // 2, slab), block)
    return Layout(block, last, tile, slab, n_bundles, group, row_ns, most_sums)


def prefers_centred(structure: Structure, n_features: int, n_components: int, n_unsafe: int) -> bool:
    """Return whether it is faster to evaluate all components in centred form.

    Parameters
    ----------
    structure : Structure
    n_features, n_components : int
    n_unsafe : int
        Components for which the expanded form would lose digits: these are in centred form anyway.
    """
    saved_ns = (n_components - n_unsafe) * structure.centred_ns(n_features)
    return saved_ns < _expanded_ns(structure, n_features, n_components)


def _expanded_ns(structure: Structure, n_features: int, n_components: int) -> float:
    """Return the time per row of all components in expanded form; fitted to docs/blocks.md."""
    D = structure.expanded_length(n_features)
    return (0.5 + 0.045 * n_components) * D


def _power_of_two(rows: float, least: int, most: int) -> int:
    """Return the power of two nearest to `rows`, between `least` and `most`."""
    return int(min(max(2 ** round(math.log2(max(rows, 1))), least), most))


class Workspace:
    """The arrays that one thread works in, allocated once.

    Parameters
    ----------
    mixture : Mixture
        Any mixture of the shape and type to be evaluated.
    layout : Layout
    allocate : callable
        Returns the arrays: an engine may have better memory than numpy's.
    """

    def __init__(
        self,
        mixture: Mixture,
        layout: Layout,
        allocate: Allocate = lambda *shapes: map(np.zeros, shapes),
    ) -> None:
        K, d = mixture.means.shape
        self.layout = layout
        self.n_features = d
        n_slabs, s = layout.tile_rows // layout.slab_rows, layout.slab_rows
        n_bundles, bundle = layout.n_bundles, layout.bundle_of(K)
        D, n_repeated = mixture.structure.expanded_length(d), 0
        if mixture.structure.has_products:
            D, n_repeated = min(D, max(layout.group_features, 1 + d)), d // 2
        by_row = (n_slabs, n_bundles, s, bundle)
        # Arrays that the centred form does not use are at the end, so that their pages are never touched.
        (
            self.X,
            self.bundles,
            self.peak,
            self.total,
            self.centred,
            self.whitened,
            self.by_row,
            self.by_row_of_group,
            self.phi,
            self.products,
        ) = allocate(
            (n_slabs, d + n_repeated, s),
            (n_slabs, n_bundles, bundle, s),
            (n_slabs, 1, s),
            (n_slabs, 1, s),
            (n_slabs, d, s),
            (n_slabs, d, s),
            by_row,
            by_row,
            (n_slabs, D, s),
            (n_slabs, n_bundles, D, bundle),
        )
        # The padding of the last bundle is always 0 here.
        self.log_resp = self.bundles.reshape(n_slabs, -1, s)[:, :K]
        self._blocks: dict[int, Block] = {}

    def load(self, X: Array, offset: int = 0) -> "Block":
        """Copy rows into slabs, and return them as a block.

        Parameters
        ----------
        X : ndarray of shape (n_features, n_rows), float64
            Finite, in standard units. `offset` + n_rows is at most the rows of a tile.
        offset : int
            Place of the first row in its slab. Places without a row hold zeros.
        """
        n_slabs = -(-(offset + X.shape[1]) // self.layout.slab_rows)
        if n_slabs not in self._blocks:
            self._blocks[n_slabs] = Block(self, n_slabs)
        block = self._blocks[n_slabs]
        block.fill(X, offset)
        return block


class Block:
    """Rows in slabs, with views of the part of a workspace that they need.

    Attributes
    ----------
    features : ndarray of shape (n_slabs, n_features, slab_rows)
    shifted : ndarray of shape (n_slabs, n_shifts, n_features, slab_rows)
        See `products.shifted`; n_shifts is 1 without products.
    rows : ndarray of shape (n_features, n_rows)
        The rows as they were loaded.
    log_resp : ndarray of shape (n_slabs, n_components, slab_rows)
    bundles : ndarray of shape (n_slabs, n_bundles, components of a bundle, slab_rows)
        The memory of `log_resp`, with zeros in the padding of the last bundle.
    peak, total : ndarray of shape (n_slabs, 1, slab_rows)
    centred, whitened : ndarray of shape (n_slabs, n_features, slab_rows)
    by_row, by_row_of_group : ndarray of shape (n_slabs, n_bundles, slab_rows, components of a bundle)
    phi : ndarray of shape (n_slabs, most features of a group, slab_rows)
    products : ndarray of shape (n_slabs, n_bundles, most features of a group, components of a bundle)
    """

    def __init__(self, work: Workspace, n_slabs: int) -> None:
        # No reference to the workspace itself: a cycle would keep the arrays of both alive.
        self._n_slabs, self._slab_rows = n_slabs, work.layout.slab_rows
        self._n_places = n_slabs * work.layout.slab_rows
        self._begin, self._end = 0, 0
        self.rows = work.X[0]
        self._X = work.X[:n_slabs]
        self.features = self._X[:, : work.n_features]
        self.shifted = shifted(self._X, work.n_features)
        self.log_resp, self.bundles = work.log_resp[:n_slabs], work.bundles[:n_slabs]
        self.peak, self.total = work.peak[:n_slabs], work.total[:n_slabs]
        self.centred, self.whitened = work.centred[:n_slabs], work.whitened[:n_slabs]
        self.by_row, self.by_row_of_group = work.by_row[:n_slabs], work.by_row_of_group[:n_slabs]
        self.phi, self.products = work.phi[:n_slabs], work.products[:n_slabs]

    def per_row(self, values: NDArray[Value]) -> NDArray[Value]:
        """Return the values of the loaded rows, shape (n_rows,), from shape (n_slabs, 1, slab_rows)."""
        return values.reshape(-1)[self._begin : self._end]

    def per_component(self, values: Array) -> Array:
        """Return the values of the loaded rows, shape (m, n_rows), from shape (n_slabs, m, slab_rows)."""
        flat = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
        return np.asarray(flat[:, self._begin : self._end])

    def weigh(self, row_weights: Array) -> None:
        """Multiply the responsibilities of each row by its weight."""
        weights = np.zeros(self._n_places)
        weights[self._begin : self._end] = row_weights
        self.log_resp *= weights.reshape(self._n_slabs, 1, -1)

    def clear_places_without_row(self) -> None:
        """Set the responsibilities of places without a row to zero."""
        s = self._slab_rows
        if self._begin:
            self.log_resp[: self._begin // s] = 0.0
            self.log_resp[self._begin // s, :, : self._begin % s] = 0.0
        if self._end < self._n_places:
            self.log_resp[self._end // s, :, self._end % s :] = 0.0

    def fill(self, X: Array, offset: int) -> None:
        """Copy rows to their places."""
        d, n = X.shape
        self._begin, self._end = offset, offset + n
        self.rows = X
        s = self._slab_rows
        if n == self._n_places:
            self.features[:] = X.reshape(d, -1, s).transpose(1, 0, 2)
        else:
            self._fill_in_part(X, offset)
        self._X[:, d:] = self._X[:, : self._X.shape[1] - d]

    def _fill_in_part(self, X: Array, offset: int) -> None:
        """Copy rows to their places, and zeros to the other places."""
        s, begin = self._slab_rows, 0
        for i in range(self._n_slabs):
            slab, first = self.features[i], max(offset - i * s, 0)
            count = min(s - first, X.shape[1] - begin)
            slab[:, :first] = 0.0
            slab[:, first : first + count] = X[:, begin : begin + count]
            slab[:, first + count :] = 0.0
            begin += count
