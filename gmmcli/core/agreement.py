"""Measures of agreement between an assignment and labels, from their table of counts."""

import numpy as np

from gmmcli.core.arrays import Array


def adjusted_rand_index(table: Array) -> float:
    """Return the Rand index corrected for chance; Hubert and Arabie (1985).

    Parameters
    ----------
    table : ndarray of shape (n_labels, n_components), float64
        Number of rows by label and component.
    """
    partitions = (table, table.sum(axis=1), table.sum(axis=0), table.sum())
    pairs, by_label, by_component, everything = (np.sum(counts * (counts - 1) / 2) for counts in partitions)
    expected = by_label * by_component / everything if everything else 0.0
    highest = 0.5 * (by_label + by_component)
    return 1.0 if highest == expected else float((pairs - expected) / (highest - expected))


def normalized_mutual_information(table: Array) -> float:
    """Return the mutual information over the arithmetic mean of both entropies."""
    joint = table / table.sum()
    label, component = joint.sum(axis=1), joint.sum(axis=0)
    mean_entropy = 0.5 * (_entropy(label) + _entropy(component))
    if mean_entropy == 0:
        return 1.0
    information = _entropy(label) + _entropy(component) - _entropy(joint)
    return float(min(max(information / mean_entropy, 0.0), 1.0))


def accuracy(table: Array) -> float:
    """Return the share of rows on the best one-to-one matching of labels and components."""
    from scipy.optimize import linear_sum_assignment

    matched = linear_sum_assignment(table, maximize=True)
    return float(table[matched].sum() / table.sum())


def _entropy(probabilities: Array) -> float:
    """Return the entropy of a distribution, nats."""
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())
