"""The hot path: evaluates a block to log densities, responsibilities and statistics.

The E-step is one matrix product W φ, and the sums for the M-step are one product R φᵀ. If the expanded form
would lose digits of a component, the component is evaluated in centred form, about its own mean. numpy only:
predict pays for this import.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.kernel.block import SLAB_ROWS, Block, Layout, Workspace, choose_layout, prefers_centred
from gmmcli.core.kernel.centred import Centred
from gmmcli.core.kernel.constants import Constants
from gmmcli.core.kernel.expanded import Expanded
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.statistics import Statistics

# exp() of a smaller number would be subnormal, and many processors are a hundred times slower on those.
LOWEST_EXPONENT = -700.0
_LOWEST_ROW = np.full(SLAB_ROWS, LOWEST_EXPONENT)  # np.maximum of two arrays is faster than with a scalar
_LOWEST = float(np.exp(np.full(64, LOWEST_EXPONENT))[0])  # rounded as numpy's loop over an array rounds it


@dataclass(eq=False)
class Sums:
    """The sums of some blocks, in the kernel's own arrays. Sums add in place.

    Parameters
    ----------
    arrays : tuple of ndarray
        One array of the expanded form, then three of the centred form. A form without components has none.
    log_likelihood, log_max_posterior, total_weight : float
    rows : int
    """

    arrays: tuple[Array, ...]
    log_likelihood: float
    log_max_posterior: float
    rows: int
    total_weight: float

    def __iadd__(self, other: Self) -> Self:
        """Add the sums of other blocks."""
        for own, others in zip(self.arrays, other.arrays, strict=True):
            own += others
        self.log_likelihood += other.log_likelihood
        self.log_max_posterior += other.log_max_posterior
        self.rows += other.rows
        self.total_weight += other.total_weight
        return self


class Kernel:
    """A mixture prepared for evaluation on many blocks.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    layout : Layout, optional
        Of the blocks. Default: the layout for mixtures of this type and size.
    constants : Constants, optional
        Of the mixture. Default: computed here.

    Attributes
    ----------
    needs_scatter : bool
        Whether `statistics` needs Σ w z zᵀ over the table, which does not depend on the mixture.
    shapes_of_sums : list of tuple of int
        The shapes of the arrays in the sums of a block.

    Raises
    ------
    CovarianceNotPositive
    """

    def __init__(
        self, mixture: Mixture, layout: Layout | None = None, constants: Constants | None = None
    ) -> None:
        K, d = mixture.means.shape
        self.mixture = mixture
        self.layout = layout or choose_layout(mixture.structure, d, K)
        constants = constants or Constants.of(mixture, self.layout)
        self.factors, self.is_centred = constants.factors, constants.is_unsafe
        if prefers_centred(mixture.structure, d, K, int(self.is_centred.sum())):
            self.is_centred = np.ones(K, dtype=bool)
        self._expanded, self._centred = None, None
        self.needs_scatter = False
        self.shapes_of_sums: list[tuple[int, ...]] = []
        if not self.is_centred.all():
            self._expanded = Expanded(constants.natural, mixture.structure, d, self.layout)
            self.needs_scatter = mixture.structure.is_shared
            self.shapes_of_sums.append(self._expanded.shape_of_sums)
        if self.is_centred.any():
            self._centred = Centred(mixture, self.factors, np.flatnonzero(self.is_centred))
            self.shapes_of_sums += self._centred.shapes_of_sums

    def log_joint(self, block: Block) -> Array | None:
        """Write log w_k + log N(z | k) of every row into the block's `log_resp`, up to a shift per row.

        Returns
        -------
        ndarray of shape (n_slabs, 1, slab_rows), float64, or None
            The shift to add to every component of a row: the quadratic of a shared covariance.
        """
        shift = None
        if self._expanded is not None:
            self._expanded.log_joint(block)
            if self.mixture.structure.is_shared:
                np.matmul(self.factors, block.features, out=block.whitened)
                shift = -0.5 * np.einsum("sij,sij->sj", block.whitened, block.whitened)[:, None]
        if self._centred is not None:
            self._centred.log_joint(block)
        return shift

    def distances(self, block: Block) -> Array:
        """Return the Mahalanobis distance of every row to every component, in sd.

        Uses the centred form, since near a mean the expanded form would give rounding error only.

        Returns
        -------
        ndarray of shape (K, n_rows), float64
        """
        centred = Centred(self.mixture, self.factors, np.arange(self.mixture.n_components))
        squared = np.empty_like(block.log_resp)
        for k in range(self.mixture.n_components):
            centred.squared_distances(k, block, out=squared[:, k])
        return np.sqrt(block.per_component(squared))

    def expectation(self, rows: Rows, work: Workspace, *, hard: bool = False) -> tuple[Sums, Array]:
        """Sum the posterior-weighted expanded features of one block.

        Parameters
        ----------
        rows : Rows
            Finite, in standard units; no more than a tile. Finiteness is the caller's duty.
        work : Workspace
        hard : bool
            Assign each row to its most probable component alone, shared equally among ties, and return the
            log joint density of that component as its log density: Lloyd's algorithm as EM.

        Returns
        -------
        sums : Sums
            `log_likelihood` in nats, summed over the block.
        log_density : ndarray of shape (n_rows,), float64
            Of each row, without row weights.

        Notes
        -----
        4·K·D flops and K exponentials per row. Numerics, section 2; Dempster, Laird and Rubin (1977).
        """
        block = work.load(rows.X)
        shift = self.log_joint(block)
        if hard:
            harden(block, shift)
        else:
            normalise(block, shift)
        peak, total = block.per_row(block.peak), block.per_row(block.total)
        log_density = peak.copy() if hard else peak + total
        log_max_posterior = -total
        if rows.weights is None:
            n_rows = rows.n_rows
            log_likelihood, certainty = log_density.sum(), log_max_posterior.sum()
        else:
            block.weigh(rows.weights)
            n_rows = int(np.count_nonzero(rows.weights))
            log_likelihood, certainty = log_density @ rows.weights, log_max_posterior @ rows.weights
        block.clear_places_without_row()
        arrays: tuple[Array, ...] = ()
        if self._expanded is not None:
            arrays += (self._expanded.sums(block),)
        if self._centred is not None:
            arrays += self._centred.sums(block)
        return Sums(arrays, float(log_likelihood), float(certainty), n_rows, rows.total_weight), log_density

    def statistics(self, sums: Sums, scatter: Array | None = None) -> Statistics:
        """Convert sums of this kernel's blocks to statistics.

        Parameters
        ----------
        sums : Sums
        scatter : ndarray of shape (n_features, n_features), optional
            Σ w z zᵀ over the rows; required if the kernel `needs_scatter`.
        """
        covariance_type = self.mixture.covariance_type
        K, d = self.mixture.means.shape
        arrays, reference = sums.arrays, np.zeros((K, d))
        if self._expanded is not None:
            by_component = self._expanded.by_component(arrays[0])
            counts, totals = by_component[:, 0].copy(), by_component[:, 1 : 1 + d].copy()
            squares = self.mixture.structure.squares_of(by_component, scatter, d)
            arrays = arrays[1:]
        else:
            none = Statistics.empty(covariance_type, K, d)
            counts, totals, squares = none.counts, none.sums, none.squares
        if self._centred is not None:
            k = self._centred.components
            counts[k], totals[k] = arrays[0], arrays[1]
            reference[k] = self.mixture.means[k]
            squares[() if self.mixture.structure.is_shared else k] = arrays[2]
        return Statistics(
            counts,
            totals,
            squares,
            reference,
            log_likelihood=sums.log_likelihood,
            log_max_posterior=sums.log_max_posterior,
            rows=sums.rows,
            total_weight=sums.total_weight,
            covariance_type=covariance_type,
        )


def normalise(block: Block, shift: Array | None) -> None:
    """Convert log joint densities to responsibilities, in place.

    Writes the largest log joint density of each row, shift included, to `peak`, and minus the log of its
    largest responsibility to `total`. Their sum is the log density of the row.
    """
    resp, peak = block.log_resp, block.peak
    np.maximum.reduce(resp, axis=1, out=peak, keepdims=True)
    np.subtract(resp, peak, out=resp)
    np.maximum(resp, _LOWEST_ROW[: resp.shape[-1]], out=resp)
    np.exp(resp, out=resp)
    np.subtract(resp, _LOWEST, out=resp)
    _share_out(block, shift)


def harden(block: Block, shift: Array | None) -> None:
    """Assign each row to its best component, shared among ties; `peak` and `total` as in `normalise`."""
    resp, peak = block.log_resp, block.peak
    np.maximum.reduce(resp, axis=1, out=peak, keepdims=True)
    np.equal(resp, peak, out=resp)
    _share_out(block, shift)


def _share_out(block: Block, shift: Array | None) -> None:
    """Divide the unnormalised responsibilities of each row by their sum; complete `total` and `peak`."""
    resp, total = block.log_resp, block.total
    np.add.reduce(resp, axis=1, out=total, keepdims=True)
    np.multiply(resp, 1.0 / total, out=resp)
    np.log(total, out=total)
    if shift is not None:
        block.peak += shift
