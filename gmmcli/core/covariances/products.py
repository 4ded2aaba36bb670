"""The products z_i z_j of two columns in φ(z): their order, and how a block of rows gets them."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gmmcli.core.arrays import Array, Integers


def pairs(n_features: int) -> tuple[Integers, Integers]:
    """Return i and j of the products z_i z_j in the order of φ: by shift, then by i.

    The shift of a pair is j − i modulo d. It takes the values 0 to d // 2; for even d the last shift has
    only d / 2 pairs. In this order one or two multiplications expand a range of shifts, for any d.
    """
    d = n_features
    whole = (d - 1) // 2 + 1
    shift, i = np.divmod(np.arange(d * (d + 1) // 2), d)
    return i, np.where(shift < whole, (i + shift) % d, i + d // 2)


def shifted(X: Array, n_features: int) -> Array:
    """Return views of a block's features, one view per shift: the factors for `expand_products`.

    Parameters
    ----------
    X : ndarray of shape (n_slabs, n_features + n_repeated, n_rows), float64
        The features, followed by a copy of the first `n_repeated` features.
    n_features : int

    Returns
    -------
    ndarray of shape (n_slabs, 1 + n_repeated, n_features, n_rows)
        At [:, shift, i] feature i + shift modulo n_features.
    """
    n_slabs, width, n_rows = X.shape
    slab, step, place = X.strides
    shape = (n_slabs, 1 + width - n_features, n_features, n_rows)
    return as_strided(X, shape, (slab, step, step, place), writeable=False)


def expand_products(features: Array, first: int, last: int, out: Array) -> None:
    """Write the products z_i z_j whose shifts are in first ≤ shift < last, in the order of `pairs`.

    Parameters
    ----------
    features : ndarray of shape (n_slabs, n_features // 2 + 1, n_features, n_rows), float64
        The result of `shifted`, with half of the features repeated.
    first, last : int
        Between 0 and n_features // 2 + 1.
    out : ndarray of shape (n_slabs, number of such pairs, n_rows), float64
    """
    n_slabs, _, d, n_rows = features.shape
    whole = min(last, (d - 1) // 2 + 1)
    n = max(whole - first, 0)
    if n:
        products = out[:, : n * d].reshape(n_slabs, n, d, n_rows)
        np.multiply(features[:, :1], features[:, first:whole], out=products)
    if last > whole:
        half = d // 2
        np.multiply(features[:, 0, :half], features[:, half, :half], out=out[:, n * d :])
