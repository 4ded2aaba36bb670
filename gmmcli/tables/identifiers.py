"""Columns that number rows rather than measure them. Knows names and values, no files."""

import re
from collections.abc import Sequence

import numpy as np

from gmmcli.core.arrays import Array

# Of fewer rows, values that count up by one say little.
_FEWEST_ROWS = 5
_NAME = re.compile(
    r"(?:.*[_ .-])?(?:id|index|idx|key|nr|no)|row|record|unnamed: 0|row[_ .-]?(?:names?|num(?:ber)?)",
    re.IGNORECASE,
)
_CAMEL_NAME = re.compile(r".*[a-z0-9](?:Id|ID|Key|Index)")


@np.errstate(over="ignore")  # values near the ends of the doubles do not count
def find_counting(blocks: Sequence[Array]) -> list[int]:
    """Return the columns whose values go up by one from row to row.

    Parameters
    ----------
    blocks : sequence of ndarray of shape (n_features, n_rows), float64
        Without missing values.
    """
    if sum(block.shape[1] for block in blocks) < _FEWEST_ROWS:
        return []
    first = blocks[0][:, 0]
    candidates: list[int] = np.flatnonzero(first == np.round(first)).tolist()
    n_before = 0
    for block in blocks:
        rows = np.arange(n_before, n_before + block.shape[1])
        candidates = [j for j in candidates if np.array_equal(block[j] - first[j], rows)]
        n_before += block.shape[1]
    return candidates


def find_named(blocks: Sequence[Array], names: Sequence[str]) -> list[int]:
    """Return the columns that are named like identifiers, and have another integer in each row.

    Parameters
    ----------
    blocks : sequence of ndarray of shape (n_features, n_rows), float64
        Without missing values.
    names : sequence of str
    """
    if sum(block.shape[1] for block in blocks) < _FEWEST_ROWS:
        return []
    found = []
    for j, name in enumerate(names):
        if _NAME.fullmatch(name) or _CAMEL_NAME.fullmatch(name):
            values = np.concatenate([block[j] for block in blocks])
            if np.array_equal(values, np.round(values)) and np.unique(values).size == values.size:
                found.append(j)
    return found
