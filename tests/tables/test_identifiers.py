"""Which columns number rows: by their values, or by their names and values."""

import numpy as np
import pytest

from gmmcli.tables.identifiers import find_counting, find_named


def blocks_of(*columns):
    """Return columns as blocks of three rows."""
    X = np.array(columns, dtype=np.float64)
    return [X[:, begin : begin + 3] for begin in range(0, X.shape[1], 3)]


def test_columns_that_count_up_by_one_are_found():
    """From any integer, over the ends of blocks; halves, steps of two and gaps are something else."""
    n = np.arange(8)
    gap = n + (n > 6)
    assert find_counting(blocks_of(n, n - 3, n + 0.5, 2 * n, n[::-1], gap, n * 0, n + 1e9)) == [0, 1, 7]
    assert find_counting(blocks_of(n[:4])) == []


IDENTIFIERS = (
    *("id", "ID", "Id", "index", "row", "Row", "key", "no", "nr", "GeneID", "PassengerId", "customer_id"),
    *("CUSTOMER_ID", "order no", "order-key", "row_number", "rownames", "Unnamed: 0", "sample.index"),
)
OTHERS = ("grid", "acid", "x", "width", "rows", "number", "GRID", "android", "monkey", "nose", "idle")


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_different_integers_under_the_name_of_an_identifier_are_found(name):
    """In any order; the same integer twice, or a half, is a measurement."""
    values = np.array([7, 1, 4, 3, 9, 12, 2])
    assert find_named(blocks_of(values), [name]) == [0]
    assert find_named(blocks_of(values // 2 * 2), [name]) == []
    assert find_named(blocks_of(values / 2), [name]) == []
    assert find_named(blocks_of(values[:4]), [name]) == []


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_no_identifiers(name):
    """Though they end or begin alike."""
    assert find_named(blocks_of(np.array([7, 1, 4, 3, 9])), [name]) == []
