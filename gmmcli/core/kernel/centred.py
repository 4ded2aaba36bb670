"""The centred form: evaluates components about their own means, where the expanded form is inexact or slow.

The squared distance is ‖F (z − μ)‖². Second moments are summed about μ. numpy only.
"""

import numpy as np

from gmmcli.core import family
from gmmcli.core.kernel.block import Block
from gmmcli.core.mixture import Array, Integers, Mixture, covariances_shape


class Centred:
    """Components prepared for evaluation about their means.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    factors : ndarray
        From `family.precision_factors`.
    components : ndarray of int
    """

    def __init__(self, mixture: Mixture, factors: Array, components: Integers) -> None:
        self.components = components
        self._covariance_type = mixture.covariance_type
        self._means = mixture.means[:, :, None]
        self._factors = factors
        n, d = len(components), mixture.n_features
        self.shapes_of_sums = [(n,), (n, d), covariances_shape(mixture.covariance_type, n, d)]
        self._log_peaks = family.log_weights(mixture.weights) + family.log_normalisers(
            factors, mixture.covariance_type, *mixture.means.shape
        )

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
        match self._covariance_type:
            case "full":
                _multiply_triangular(self._factors[k], centred, out=whitened)
            case "tied":
                _multiply_triangular(self._factors, centred, out=whitened)
            case "diag":
                np.multiply(centred, self._factors[k][:, None], out=whitened)
            case "spherical":
                np.multiply(centred, self._factors[k], out=whitened)
        np.einsum("sij,sij->sj", whitened, whitened, out=out)

    def sums(self, block: Block) -> tuple[Array, ...]:
        """Return counts, sums and squares about the means, each per component; for tied the sum of squares.

        Notes
        -----
        d² flops per row and component: A Aᵀ with A = √r (z − μ) costs half of a general product.
        """
        X = block.rows
        n, d = len(self.components), len(X)
        counts, sums = np.empty(n), np.empty((n, d))
        squares = np.zeros(covariances_shape(self._covariance_type, n, d))
        centred = block.centred.reshape(-1)[: X.size].reshape(X.shape)  # the memory, in another shape
        for i, k in enumerate(map(int, self.components)):
            resp = block.per_row(block.log_resp[:, k])
            np.subtract(X, self._means[k], out=centred)
            counts[i] = resp.sum()
            np.matmul(centred, resp, out=sums[i])
            scaled = np.multiply(centred, np.sqrt(resp), out=centred)
            match self._covariance_type:
                case "full":
                    np.matmul(scaled, scaled.T, out=squares[i])
                case "tied":
                    squares += scaled @ scaled.T
                case "diag":
                    np.einsum("ij,ij->i", scaled, scaled, out=squares[i])
                case "spherical":
                    squares[i] = np.einsum("ij,ij->", scaled, scaled)
        return counts, sums, squares


def _multiply_triangular(lower: Array, X: Array, out: Array) -> None:
    """Write the product of a lower triangular matrix with each slab, without most zeros of the matrix."""
    d = len(lower)
    for first in range(0, d, family.TRIANGLE_ROWS):
        last = min(first + family.TRIANGLE_ROWS, d)
        np.matmul(lower[first:last, :last], X[:, :last], out=out[:, first:last])
