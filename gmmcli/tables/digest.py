"""The digest of an operand: what tells whether a table is the same, whatever its format."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from gmmcli.core.arrays import Array


def make_canonical(X: Array) -> Array:
    """Turn −0 into 0 and every NaN into one, in place."""
    X += 0.0
    X[np.isnan(X)] = np.nan
    return X


def digest(features: Sequence[str], chunks: Iterable[Array]) -> str:
    """Return the SHA-256 of an operand in hexadecimal.

    Parameters
    ----------
    features : sequence of str
        Each goes in as UTF-8 with a NUL after it.
    chunks : iterable of ndarray of shape (n_features, n_rows), float64
        Canonical; all rows, 65,536 in each but the last.
    """
    sha = hashlib.sha256()
    for name in features:
        sha.update(name.encode() + b"\0")
    for chunk in chunks:
        sha.update(np.ascontiguousarray(chunk, dtype="<f8").data)
    return sha.hexdigest()
