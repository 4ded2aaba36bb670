"""Rows that are left out of their own component."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.start.leave_one_out import labels_without_self


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 4), weighted=st.booleans())
def test_labels_are_those_of_components_fitted_without_the_row(seed: int, d: int, weighted: bool) -> None:
    """Two overlapping clusters; each row's own component is fitted again without it."""
    rng = np.random.default_rng(seed)
    n = 8 * (d + 1)
    X = np.hstack([rng.normal(size=(d, n // 2)), rng.normal(size=(d, n - n // 2)) + 1.0])
    own = np.repeat([0, 1], [n // 2, n - n // 2])
    weights = rng.uniform(0.5, 2.0, n) if weighted else np.ones(n)

    def fitted(k: int, left_out: int | None = None) -> tuple[float, np.ndarray, np.ndarray]:
        is_used = own == k
        if left_out is not None:
            is_used[left_out] = False
        w, rows = weights[is_used], X[:, is_used]
        mean = rows @ w / w.sum()
        centred = rows - mean[:, None]
        return w.sum() / weights.sum(), mean, (centred * w) @ centred.T / w.sum()

    whole = [fitted(0), fitted(1)]
    mixture = Mixture(*(np.array(part) for part in zip(*whole, strict=True)), "full")

    before, after = labels_without_self(mixture, Rows(X, weights if weighted else None))

    for i in range(n):
        with_self = [np.log(w) + multivariate_normal.logpdf(X[:, i], m, c) for w, m, c in whole]
        assert before[i] == np.argmax(with_self)
        if before[i] == own[i]:
            w, m, c = fitted(own[i], i)
            alone = np.log(w) + multivariate_normal.logpdf(X[:, i], m, c)
            assert (after[i] == own[i]) == (alone > with_self[1 - own[i]])


def test_a_row_that_alone_spans_a_direction_leaves() -> None:
    """Without it, its component would be flat, and its density there 0."""
    X = np.array([[0.0, 1.0, 2.0, 0.5, 9.0, 9.5, 8.0, 9.2], [0.0, 0.0, 0.0, 1.0, 9.0, 8.0, 9.5, 9.4]])
    halves = X[:, :4], X[:, 4:]
    covariances = np.array([np.cov(half, bias=True) for half in halves])
    mixture = Mixture(np.full(2, 0.5), np.array([half.mean(axis=1) for half in halves]), covariances, "full")

    before, after = labels_without_self(mixture, Rows(X))

    assert before.tolist() == [0] * 4 + [1] * 4
    assert after[3] == 1
