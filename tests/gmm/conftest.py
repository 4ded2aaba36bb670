"""What the tests of the estimator have in common."""

import tempfile

import numpy as np
import pytest
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli import GMM


@pytest.fixture
def rows():
    """Return 300 rows about three centres."""
    return random_rows(
        np.random.default_rng(1), random_mixture(np.random.default_rng(2), "full", 3, 2), 300
    ).T


@pytest.fixture
def model(tmp_path, rows):
    """Return a fitted estimator."""
    return GMM(3, tmp_path / "m", n_threads=1).fit(rows, steps=5)


@pytest.fixture(autouse=True)
def _temporary_models_go_with_the_test(tmp_path, monkeypatch):
    """Those of estimators that were given no directory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
