"""Centres and partitions of rows in memory: k-means++ seeds, Lloyd's algorithm and Ward's linkage."""

from typing import TypeAlias

import numpy as np

from gmmcli.core.arrays import Array, Integers

# The height at which two clusters are merged, and a row of each.
Merge: TypeAlias = tuple[float, int, int]

LLOYD_MAX_PASSES = 30
# Lloyd stops when the sum of the squared moves of all centres is at most this.
LLOYD_TOLERANCE = 1e-6
# Rows whose distances are computed at a time.
_BLOCK_ROWS = 8192


def spread_rows(
    points: Array, weights: Array | None, n_components: int, rng: np.random.Generator, n_tried: int = 1
) -> Array:
    """Return K rows; each is drawn with probability proportional to its squared distance to earlier ones.

    Parameters
    ----------
    points : ndarray of shape (n_dimensions, n_rows), float64
    weights : ndarray of shape (n_rows,), float64, or None
    n_components : int
    rng : numpy.random.Generator
    n_tried : int
        Rows drawn for each centre; the one that leaves the smallest sum of squared distances is kept.

    Returns
    -------
    ndarray of shape (n_components, n_dimensions), float64

    Notes
    -----
    The seeds of k-means++: Arthur and Vassilvitskii (2007). K·n·n_dimensions·n_tried work.
    """
    n = points.shape[1]
    w = np.ones(n) if weights is None else weights
    places = [_drawn(w, rng)]
    squared = _squared_distances(points, points[:, places[0]])
    while len(places) < n_components:
        tried = [_drawn(w * squared, rng) for _ in range(n_tried)]
        left = [np.minimum(squared, _squared_distances(points, points[:, place])) for place in tried]
        best = int(np.argmin([w @ one for one in left]))
        places.append(tried[best])
        squared = left[best]
    return np.asarray(points[:, places].T)


def _drawn(weights: Array, rng: np.random.Generator) -> int:
    """Return a place drawn with probability proportional to weights; any place if all are 0."""
    cumulated = np.cumsum(weights)
    if not cumulated[-1] > 0:
        return int(rng.integers(len(weights)))
    return min(int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")), len(weights) - 1)


def _squared_distances(points: Array, center: Array) -> Array:
    """Return the squared distances of rows to one centre; that of an equal row is 0."""
    difference = points - center[:, None]
    return np.asarray(np.einsum("ij,ij->j", difference, difference))


def nearest(points: Array, centers: Array) -> Integers:
    """Return the nearest centre of each row, the first among ties, shape (n_rows,)."""
    n = points.shape[1]
    found = np.empty(n, dtype=np.int64)
    lengths = (centers**2).sum(axis=1)[:, None]
    for first in range(0, n, _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        found[block] = np.argmin(lengths - 2 * (centers @ points[:, block]), axis=0)
    return found


def lloyd(points: Array, weights: Array | None, centers: Array) -> Array:
    """Move every centre to the mean of its nearest rows, until the centres stop moving.

    Returns
    -------
    ndarray of shape (n_components, n_dimensions), float64
        A centre that is nearest to no row keeps its place.
    """
    K = len(centers)
    for _ in range(LLOYD_MAX_PASSES):
        label = nearest(points, centers)
        counts = np.bincount(label, weights, K)
        weighted = points if weights is None else points * weights
        sums = np.array([np.bincount(label, row, K) for row in weighted]).T
        moved = np.where(counts[:, None] > 0, sums / np.where(counts > 0, counts, 1.0)[:, None], centers)
        shift = ((moved - centers) ** 2).sum()
        centers = moved
        if shift <= LLOYD_TOLERANCE:
            break
    return centers


def ward(points: Array) -> list[Merge]:
    """Return the merges of Ward's linkage, which `cut` turns into clusters.

    Notes
    -----
    Clusters are merged along chains of nearest neighbours, which gives the tree of the greedy algorithm
    (Murtagh, 1983). n² memory and work: for a few thousand rows.
    """
    n = points.shape[1]
    lengths = (points**2).sum(axis=0)
    between = np.maximum(lengths[:, None] + lengths - 2 * (points.T @ points), 0.0)
    np.fill_diagonal(between, np.inf)
    sizes = np.ones(n)
    merges: list[Merge] = []
    chain: list[int] = []
    is_left = np.ones(n, dtype=bool)
    for _ in range(n - 1):
        if not chain:
            chain.append(int(np.argmax(is_left)))
        while True:
            last = chain[-1]
            before = chain[-2] if len(chain) > 1 else -1
            row = between[last]
            following = int(np.argmin(row))
            if before >= 0 and row[before] <= row[following]:
                break
            chain.append(following)
        b, a = chain.pop(), chain.pop()
        height = between[a, b]
        merges.append((float(height), a, b))
        # Lance and Williams: the distance of the merged cluster to every other one.
        both = sizes[a] + sizes[b]
        merged = (sizes[a] + sizes) * between[a]
        merged += (sizes[b] + sizes) * between[b]
        merged -= sizes * height
        merged /= both + sizes
        merged[[a, b]] = np.inf
        between[a] = between[:, a] = merged
        between[b] = between[:, b] = np.inf
        sizes[a], is_left[b] = both, False
    return sorted(merges)


def cut(merges: list[Merge], n_rows: int, n_components: int) -> Integers:
    """Return the K clusters that the lowest merges leave, as the cluster of each row, shape (n_rows,)."""
    parent = np.arange(n_rows)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for _, a, b in merges[: max(n_rows - n_components, 0)]:
        parent[root(b)] = root(a)
    return np.unique([root(i) for i in range(n_rows)], return_inverse=True)[1]
