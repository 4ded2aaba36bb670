"""The centred form: evaluates components about their own means, where the expanded form is inexact or slow.

The squared distance is ‖F (z − μ)‖². Second moments are summed about μ. numpy only.
"""

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.covariances.structure import log_weights
from gmmcli.core.kernel.block import Block
from gmmcli.core.mixture import Mixture


class Centred:
    """Components prepared for evaluation about their means.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    factors : ndarray
        From `precision_factors`.
    components : ndarray of int
    """

    def __init__(self, mixture: Mixture, factors: Array, components: Integers) -> None:
        self.components = components
        self._structure = mixture.structure
        self._means = mixture.means[:, :, None]
        self._factors = factors
        n, d = len(components), mixture.n_features
        self.shapes_of_sums = [(n,), (n, d), self._structure.shape(n, d)]
        log_normalisers = self._structure.log_normalisers(factors, *mixture.means.shape)
        self._log_peaks = log_weights(mixture.weights) + log_normalisers

    def log_joint(self, block: Block) -> None:
        """Write log w_k + log N(z | k) into the block's `log_resp`. 2·d² flops per row and component."""
        for k in map(int, self.components):
            row = block.log_resp[:, k]
            self.squared_distances(k, block, out=row)
            row *= -0.5
            row += self._log_peaks[k]

    def squared_distances(self, k: int, block: Block, out: Array) -> None:
        """Write the squared Mahalanobis distance of each row to a component, shape (n_slabs, slab_rows)."""
        centred, whitened = block.centred, block.whitened
        np.subtract(block.features, self._means[k], out=centred)
        self._structure.whiten(self._factors, k, centred, out=whitened)
        np.einsum("sij,sij->sj", whitened, whitened, out=out)

    def sums(self, block: Block) -> tuple[Array, ...]:
        """Return counts, sums and squares about the means, each per component; a shared one has their sum.

        Notes
        -----
        d² flops per row and component: A Aᵀ with A = √r (z − μ) costs half of a general product.
        """
        X = block.rows
        n, d = len(self.components), len(X)
        counts, sums = np.empty(n), np.empty((n, d))
        squares = np.zeros(self._structure.shape(n, d))
        centred = block.centred.reshape(-1)[: X.size].reshape(X.shape)  # the memory, in another shape
        for i, k in enumerate(map(int, self.components)):
            resp = block.per_row(block.log_resp[:, k])
            np.subtract(X, self._means[k], out=centred)
            counts[i] = resp.sum()
            np.matmul(centred, resp, out=sums[i])
            scaled = np.multiply(centred, np.sqrt(resp), out=centred)
            self._structure.add_squares(scaled, squares, i)
        return counts, sums, squares
