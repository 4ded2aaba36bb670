"""The expanded form: log densities as a product W φ, statistics as a product φ R. numpy only."""

from dataclasses import dataclass

import numpy as np

from gmmcli.core import family
from gmmcli.core.block import Block
from gmmcli.core.mixture import Array, CovarianceType, Mixture

# Fewer features than this in a product lose more than packing costs.
MIN_PART = 24


@dataclass(frozen=True)
class Group:
    """Features that are expanded and multiplied at once: few enough to stay in the cache meanwhile.

    Parameters
    ----------
    features : slice
        Of φ.
    first, last : int
        Range of shifts (`family.pairs`) of the products among them, which are the group's last features.
    """

    features: slice
    first: int
    last: int


class Expanded:
    """All components of a mixture, made ready to be evaluated on expanded features.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    factors : ndarray
        Of `family.precision_factors`.
    group_features : int
        How many features a group should have at most.
    """

    def __init__(self, mixture: Mixture, factors: Array, group_features: int) -> None:
        self._covariance_type = mixture.covariance_type
        self._W = np.ascontiguousarray(family.natural(mixture, factors).T)
        self._groups = divide(mixture.covariance_type, mixture.n_features, group_features)
        D = len(self._W)
        part = -(-D // -(-D // max(group_features, MIN_PART)))
        self._parts = [slice(begin, begin + part) for begin in range(0, D, part)]

    def log_joint(self, block: Block) -> None:
        """Expand the block, and write W φ into its `log_resp`.

        Notes
        -----
        2·K·D flops per row. The product has components side by side, as in this form both operands are read
        in the order of memory; what follows wants rows side by side.
        """
        for group in self._groups:
            phi, out = block.phi[:, group.features], block.by_row
            n_products = phi.shape[1]
            if group.features.start == 0:
                family.expand(block.features, self._covariance_type, out=phi)
                n_products -= 1 + block.features.shape[1]
            else:
                out = block.by_row_of_group
            if group.last > group.first:
                family.expand_products(block.X, group.first, group.last, out=phi[:, -n_products:])
            np.matmul(phi.transpose(0, 2, 1), self._W[group.features], out=out)
            if out is not block.by_row:
                block.by_row += out
        np.copyto(block.log_resp, block.by_row.transpose(0, 2, 1))

    def sums(self, block: Block) -> Array:
        """Return Σ r φ(z) of the block as last expanded, shape (D, K). 2·K·D flops per row."""
        np.copyto(block.by_row, block.log_resp.transpose(0, 2, 1))
        for features in self._parts:
            np.matmul(block.phi[:, features], block.by_row, out=block.sums[:, features])
        total: Array = np.add.reduce(block.sums, axis=0)
        return total


def divide(covariance_type: CovarianceType, n_features: int, group_features: int) -> list[Group]:
    """Return the groups of all features: whole shifts each, as many as fit."""
    d, D = n_features, family.expanded_length(covariance_type, n_features)
    if covariance_type != "full":
        return [Group(slice(0, D), 0, 0)]
    groups: list[Group] = []
    begin, first, n_shifts = 0, 0, family.n_shifts(d)
    room = group_features - 1 - d
    while begin < D:
        last = min(first + max(room // d, 1 if groups else 0), n_shifts)
        end = min((0 if groups else 1 + d) + begin + (last - first) * d, D)
        groups.append(Group(slice(begin, end), first, last))
        begin, first, room = end, last, group_features
    return groups
