"""Small tables that make trouble: ties, constants, collinear columns, gaps, the ends of the doubles."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Column = Callable[[np.random.Generator, Array], Array]

MOST_ROWS = 30
MOST_FEATURES = 5
LARGEST = float(np.finfo(np.float64).max)
SMALLEST = 5e-324
CONSTANTS = (0.0, -0.0, 1.0, 0.1, -3.7e15, 1e300, LARGEST, 1e-300, SMALLEST)


def draw_table(rng: np.random.Generator, n_features: int | None = None) -> Array:
    """Return a table, shape (n, d), with NaN where a value is missing; seldom an infinity.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_features : int, optional
        1 to 5, drawn if not given.
    """
    n = int(rng.integers(1, 5 if rng.random() < 0.25 else MOST_ROWS + 1))
    d = n_features or int(rng.integers(1, MOST_FEATURES + 1))
    rows = pick(rng, ROWS)(rng, n, d)
    if rng.random() < 0.2:
        rows = _make_collinear(rng, rows)
    if rng.random() < 0.2:
        rows = rows[rng.integers(0, rng.integers(1, n + 1), n)]
    if rng.random() < 0.1:
        rows = _add_near_duplicates(rng, rows)
    with np.errstate(over="ignore", under="ignore"):
        rows = _treat_columns(rng, rows)
        if rng.random() < 0.1:
            rows[rng.integers(n), rng.integers(d)] *= 10.0 ** rng.uniform(1, 160)
    return _take_values_away(rng, np.nan_to_num(rows, posinf=LARGEST, neginf=-LARGEST))


def move_table(rng: np.random.Generator, table: Array) -> Array:
    """Return the rows scaled and shifted together, from a little to beyond reason."""
    reach = pick(rng, {1.0: 5, 6.0: 3, 60.0: 1, 140.0: 1})
    factor, offset = 10.0 ** rng.uniform(-reach, reach, 2)
    with np.errstate(over="ignore", under="ignore"):
        moved = table * factor + pick(rng, {0.0: 2, offset: 1})
    moved[np.isinf(moved)] = LARGEST
    return np.asarray(moved)


def pick(rng: np.random.Generator, weights: Mapping[Any, float]) -> Any:
    """Return a key, drawn by its weight."""
    keys, shares = list(weights), np.array(list(weights.values()), dtype=float)
    return keys[int(np.searchsorted(np.cumsum(shares) / shares.sum(), rng.random(), side="right"))]


def _clusters(rng: np.random.Generator, n: int, d: int) -> Array:
    """Return rows about a few centres, at a hundred-millionth of their distance or less."""
    centers = rng.normal(size=(rng.integers(1, 5), d))
    return centers[rng.integers(0, len(centers), n)] + 10.0 ** rng.uniform(-9, 0) * rng.normal(size=(n, d))


def _two_distinct_rows(rng: np.random.Generator, n: int, d: int) -> Array:
    """Return two rows in turn, however near they are."""
    first = rng.normal(size=d)
    return np.where(rng.random((n, 1)) < 0.5, first, first + 10.0 ** rng.uniform(-15, 0) * rng.normal(size=d))


def _ladder(rng: np.random.Generator, n: int, d: int) -> Array:
    """Return values each a power of two apart from the next."""
    return np.exp2(rng.integers(-60, 60, (n, d)).astype(float)) * rng.choice([-1.0, 1.0], (n, d))


ROWS = {
    (lambda rng, n, d: rng.normal(size=(n, d))): 6,
    _clusters: 6,
    (lambda rng, n, d: rng.integers(0, rng.integers(2, 6), (n, d)).astype(float)): 5,
    (lambda rng, n, d: np.tile(rng.normal(size=d), (n, 1))): 1,
    _two_distinct_rows: 2,
    (lambda rng, n, d: rng.standard_cauchy((n, d)) ** 3): 1,
    _ladder: 1,
}


def _make_collinear(rng: np.random.Generator, rows: Array) -> Array:
    """Return rows of which all columns are combinations of fewer."""
    d = rows.shape[1]
    rank = int(rng.integers(1, max(d, 2)))
    if rng.random() < 0.5:
        return rows[:, rng.integers(0, rank, d)]
    return rows[:, :rank] @ rng.integers(-2, 3, (rank, d)).astype(float)


def _add_near_duplicates(rng: np.random.Generator, rows: Array) -> Array:
    """Return rows half of which equal others but for a relative 1e-12."""
    n = len(rows)
    copies = rows[rng.integers(0, n, n)] * (1 + 1e-12 * rng.normal(size=rows.shape))
    return np.where(rng.random((n, 1)) < 0.5, rows, copies)


def _scaled(low: float, high: float) -> Column:
    """Return a treatment: a factor between powers of ten, or their reciprocals."""
    return lambda rng, x: x * 10.0 ** (rng.choice([-1, 1]) * rng.uniform(low, high))


def _far_away(rng: np.random.Generator, x: Array) -> Array:
    """Return the column far from zero against its own spread."""
    scale = 10.0 ** pick(rng, {0.0: 3, float(rng.uniform(-140, 130)): 1})
    return (x + rng.choice([-1, 1]) * 10.0 ** rng.uniform(7, 15)) * scale


COLUMNS: dict[Column, float] = {
    (lambda rng, x: x): 60,
    _scaled(0, 9): 12,
    _scaled(0, 149): 5,
    _scaled(147, 151): 0.5,
    _far_away: 10,
    (lambda rng, x: np.full_like(x, CONSTANTS[rng.integers(len(CONSTANTS))])): 6,
    (lambda rng, x: rng.integers(-2, 3, len(x)) * SMALLEST): 0.5,
    (lambda rng, x: x * 1e-308): 0.5,
    (lambda rng, x: np.where(rng.random(len(x)) < 0.5, 0.0, -0.0)): 1,
    (lambda rng, x: np.where(rng.random(len(x)) < 0.8, 0.0, x)): 3,
    (lambda rng, x: np.sort(x)): 1,
    (lambda rng, x: np.sign(x) * LARGEST): 0.2,
}


def _treat_columns(rng: np.random.Generator, rows: Array) -> Array:
    """Return the rows with something done to each column; now and then the same to all."""
    n, d = rows.shape
    treated = np.empty((n, d))
    is_same = rng.random() < 0.3
    treatment, state = pick(rng, COLUMNS), int(rng.integers(2**32))
    for j in range(d):
        if is_same:
            treated[:, j] = treatment(np.random.default_rng(state), rows[:, j])
        else:
            treated[:, j] = pick(rng, COLUMNS)(rng, rows[:, j])
    return treated


def _take_values_away(rng: np.random.Generator, rows: Array) -> Array:
    """Return the rows, now and then with gaps, seldom with an infinity."""
    n, d = rows.shape
    if rng.random() < 0.1:
        rows[rng.random((n, d)) < pick(rng, {0.05: 3, 0.5: 1})] = np.nan
        if rng.random() < 0.2:
            rows[:, rng.integers(d)] = np.nan
    if rng.random() < 0.003:
        rows[rng.integers(n), rng.integers(d)] = rng.choice([-np.inf, np.inf])
    return rows
