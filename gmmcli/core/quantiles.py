"""Quantiles of the training rows' log densities, which decide whether a row is an outlier. numpy only."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from gmmcli.core.arrays import Array, Integers

SAMPLE_ROWS = 2**20
_EDGE = 1e-5


def probabilities() -> Array:
    """Return the 1,001 fixed probabilities: 0, then 1e-5 to 1 − 1e-5 with evenly spaced logits, then 1."""
    logit = np.linspace(np.log(_EDGE / (1 - _EDGE)), np.log((1 - _EDGE) / _EDGE), 999)
    return np.concatenate([[0.0], 1 / (1 + np.exp(-logit)), [1.0]])


def sample_size(n_rows: int) -> int:
    """Return m, the number of rows in the sample: rows ⌊i·n/m⌋ for i < m."""
    return min(n_rows, SAMPLE_ROWS)


def sampled_rows(places: Integers, n_rows: int, size: int) -> Integers:
    """Return rows ⌊i·n/m⌋ for the given places i, where m is `size` and n is `n_rows`."""
    return places * n_rows // size


def summarise(log_densities: Array, weights: Array | None = None) -> Array:
    """Return the quantiles of a sample at the fixed probabilities, shape (1001,), interpolated linearly.

    Parameters
    ----------
    log_densities : ndarray of shape (n,), float64
    weights : ndarray of shape (n,), float64, optional
        Of the sampled rows. Only their ratios count: equal weights have no effect.
    """
    if weights is None:
        return np.quantile(log_densities, probabilities())
    order = np.argsort(log_densities[weights > 0], kind="stable")
    values, shares = log_densities[weights > 0][order], weights[weights > 0][order]
    ends = np.cumsum(shares) * (values.size / shares.sum())
    # Positions among n equally weighted rows. A value occupies all positions up to the end of its share.
    places = probabilities() * (values.size - 1)
    whole = np.floor(places)
    low = np.searchsorted(ends, whole * (1 + 1e-12), side="right")
    high = np.searchsorted(ends, (whole + 1) * (1 + 1e-12), side="right")
    low, high = np.minimum(low, values.size - 1), np.minimum(high, values.size - 1)
    return np.asarray(values[low] + (places - whole) * (values[high] - values[low]))


def merge(parts: Iterable[tuple[Array, float]]) -> Array:
    """Return the quantiles of several sets of rows together, at the fixed probabilities.

    Parameters
    ----------
    parts : iterable of (quantiles, weight)
        Quantiles from `summarise`, shape (1001,). Weights are not negative and their sum is positive.

    Returns
    -------
    ndarray of shape (1001,), float64
    """
    p = probabilities()
    weighted = [(quantiles, weight) for quantiles, weight in parts if weight > 0]
    values = np.unique(np.concatenate([quantiles for quantiles, _ in weighted]))
    # Many rows may have the same value; then the share below it differs from the share up to it.
    shares = np.zeros((len(values), 2))
    for quantiles, weight in weighted:
        shares[:, 0] += weight * _share(values, quantiles, p, "left")
        shares[:, 1] += weight * _share(values, quantiles, p, "right")
    shares /= sum(weight for _, weight in weighted)
    return np.asarray(np.interp(p, shares.reshape(-1), np.repeat(values, 2)))


def _share(values: Array, quantiles: Array, p: Array, side: Literal["left", "right"]) -> Array:
    """Return the share of a distribution below each value ("left"), or up to and including it ("right")."""
    last = len(quantiles) - 1
    i = np.searchsorted(quantiles, values, side=side)
    low, high = np.clip(i - 1, 0, last), np.clip(i, 0, last)
    width = quantiles[high] - quantiles[low]
    part = (values - quantiles[low]) / np.where(width > 0, width, 1.0)
    return np.asarray(p[low] + part * (p[high] - p[low]))


def quantile(quantiles: Array, probability: float) -> float:
    """Return the quantile at any probability, interpolated linearly between the stored ones."""
    return float(np.interp(probability, probabilities(), quantiles))
