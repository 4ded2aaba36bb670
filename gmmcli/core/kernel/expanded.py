"""The expanded form: log densities as a product W φ, statistics as a product φ R. numpy only."""

from dataclasses import dataclass

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.products import expand_products
from gmmcli.core.covariances.structure import Structure
from gmmcli.core.kernel.block import Block, Layout

# A product of fewer features is slower, even if it saves packing.
MIN_PART = 24


@dataclass(frozen=True)
class Group:
    """Features that are expanded and multiplied together: few enough to stay in the cache.

    Parameters
    ----------
    begin, end : int
        Range of features of φ.
    first, last : int
        Range of shifts (`products.pairs`) of the products in the group. Products are its last features.
    """

    begin: int
    end: int
    first: int
    last: int


class Expanded:
    """All components of a mixture, prepared for evaluation on expanded features.

    Parameters
    ----------
    W : ndarray of shape (K, D), float64
        From `Structure.natural`.
    structure : Structure
    n_features : int
    layout : Layout
    """

    def __init__(self, W: Array, structure: Structure, n_features: int, layout: Layout) -> None:
        self._structure = structure
        self._n_components, D = W.shape
        bundle = layout.bundle_of(self._n_components)
        self._W = np.zeros((layout.n_bundles, D, bundle))
        for i in range(layout.n_bundles):
            part = W[i * bundle : (i + 1) * bundle]
            self._W[i, :, : len(part)] = part.T
        self.shape_of_sums = self._W.shape
        self._groups = divide(structure, n_features, layout.group_features)
        self._part = max(layout.group_features, MIN_PART)

    def log_joint(self, block: Block) -> None:
        """Expand the block, and write W φ into its `log_resp`.

        Notes
        -----
        2·K·D flops per row. In the product the components of a row are contiguous, so that both operands are
        read in memory order. The steps after it need the rows of a component contiguous, hence the copy.
        """
        for group in self._groups:
            phi, out = self._expand(group, block), block.by_row
            if group.begin:
                out = block.by_row_of_group
            np.matmul(phi.transpose(0, 2, 1)[:, None], self._W[:, group.begin : group.end], out=out)
            if out is not block.by_row:
                block.by_row += out
        np.copyto(block.bundles, block.by_row.transpose(0, 1, 3, 2))

    def sums(self, block: Block) -> Array:
        """Return Σ r φ(z) of the block that `log_joint` evaluated last; for the shape see `by_component`.

        Notes
        -----
        2·K·D flops per row. The last group is still in the cache. The others are expanded again, which is
        faster than reading them from main memory.
        """
        np.copyto(block.by_row, block.bundles.transpose(0, 1, 3, 2))
        total = np.empty(self.shape_of_sums)
        for group in reversed(self._groups):
            length = group.end - group.begin
            is_there = group is self._groups[-1]
            phi = block.phi[:, :length] if is_there else self._expand(group, block)
            for part in parts(length, self._part):
                products = block.products[:, :, : part.stop - part.start]
                np.matmul(phi[:, None, part], block.by_row, out=products)
                begin = group.begin
                np.add.reduce(products, axis=0, out=total[:, begin + part.start : begin + part.stop])
        return total

    def _expand(self, group: Group, block: Block) -> Array:
        """Write a group's features to the beginning of `phi`, and return them."""
        phi = block.phi[:, : group.end - group.begin]
        n_others = 0
        if not group.begin:
            self._structure.expand(block.features, out=phi)
            n_others = 1 + block.features.shape[1]
        if group.last > group.first:
            expand_products(block.shifted, group.first, group.last, out=phi[:, n_others:])
        return phi

    def by_component(self, sums: Array) -> Array:
        """Return sums of shape (n_bundles, D, components of a bundle) in the shape of W, (K, D)."""
        n_bundles, D, bundle = sums.shape
        return sums.transpose(0, 2, 1).reshape(n_bundles * bundle, D)[: self._n_components]


def divide(structure: Structure, n_features: int, group_features: int) -> list[Group]:
    """Divide all features into groups of at most `group_features`, each with whole shifts."""
    d, D = n_features, structure.expanded_length(n_features)
    if not structure.has_products:
        return [Group(0, D, 0, 0)]
    groups: list[Group] = []
    begin, first, n_shifts = 0, 0, d // 2 + 1
    room = group_features - 1 - d
    while begin < D:
        last = min(first + max(room // d, 1 if groups else 0), n_shifts)
        end = min((0 if groups else 1 + d) + begin + (last - first) * d, D)
        groups.append(Group(begin, end, first, last))
        begin, first, room = end, last, group_features
    return groups


def parts(length: int, longest: int) -> list[slice]:
    """Cut `length` features into as few parts of at most `longest` as possible, of nearly equal length."""
    part = -(-length // -(-length // longest))
    return [slice(begin, min(begin + part, length)) for begin in range(0, length, part)]
