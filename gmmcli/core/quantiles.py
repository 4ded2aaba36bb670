"""Quantiles of the training rows' log densities: what decides that a row is an outlier. numpy only."""

import numpy as np

from gmmcli.core.mixture import Array, Integers

SAMPLE_ROWS = 2**20
_EDGE = 1e-5


def probabilities() -> Array:
    """Return the 1,001 fixed probabilities: 0, 1, and between them 1e-5 to 1 − 1e-5 evenly in logits."""
    logit = np.linspace(np.log(_EDGE / (1 - _EDGE)), np.log((1 - _EDGE) / _EDGE), 999)
    return np.concatenate([[0.0], 1 / (1 + np.exp(-logit)), [1.0]])


def sample_size(n_rows: int) -> int:
    """Return m, how many rows are sampled: rows ⌊i·n/m⌋ for i < m."""
    return min(n_rows, SAMPLE_ROWS)


def sampled_rows(places: Integers, n_rows: int, size: int) -> Integers:
    """Return the rows ⌊i·n/m⌋ that stand at places i of an even sample of `size` m rows among n."""
    return places * n_rows // size


def summarise(log_densities: Array) -> Array:
    """Return the quantiles of a sample at the fixed probabilities, shape (1001,), linear between."""
    return np.quantile(log_densities, probabilities())


def quantile(quantiles: Array, probability: float) -> float:
    """Return the quantile at any probability, linear between the stored ones."""
    return float(np.interp(probability, probabilities(), quantiles))
