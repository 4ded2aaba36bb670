"""Agreement of two labellings, counted row by row and pair by pair."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations
from math import log


def adjusted_rand_index(labels: Sequence[int], components: Sequence[int]) -> float:
    """Count the pairs that both, one or none of the labellings keep together."""
    pairs = list(combinations(range(len(labels)), 2))
    both = sum(labels[i] == labels[j] and components[i] == components[j] for i, j in pairs)
    first = sum(labels[i] == labels[j] for i, j in pairs)
    second = sum(components[i] == components[j] for i, j in pairs)
    expected = first * second / len(pairs)
    highest = (first + second) / 2
    return 1.0 if highest == expected else (both - expected) / (highest - expected)


def normalized_mutual_information(labels: Sequence[int], components: Sequence[int]) -> float:
    """Sum p(l, c) log(p(l, c) / p(l) p(c)), over the mean of both entropies."""
    n = len(labels)
    joint, first, second = Counter(zip(labels, components, strict=True)), Counter(labels), Counter(components)
    information = sum(c / n * log(c * n / (first[i] * second[j])) for (i, j), c in joint.items())
    entropies = [-sum(c / n * log(c / n) for c in counts.values()) for counts in (first, second)]
    return 1.0 if sum(entropies) == 0 else information / (sum(entropies) / 2)


def accuracy(labels: Sequence[int], components: Sequence[int], n_values: int) -> float:
    """Try every one-to-one renaming of the components."""
    return max(
        sum(naming[c] == label for label, c in zip(labels, components, strict=True)) / len(labels)
        for naming in permutations(range(n_values))
    )
