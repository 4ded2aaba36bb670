"""A table and a mixture that several processes pass over."""

import numpy as np
import pytest
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.engine import local
from gmmcli.engine.blas import one_blas_thread
from gmmcli.engine.processes import preparation


@pytest.fixture(params=["constants found by each", "constants found by all"])
def every_pass_is_handed_out(monkeypatch, request):
    monkeypatch.setattr(local, "INLINE_NS", 0.0)
    if request.param == "constants found by all":
        monkeypatch.setattr(preparation, "LEAST_WORK", 0.0)
    with one_blas_thread():
        yield


@pytest.fixture
def mixture():
    return random_mixture(np.random.default_rng(1), "full", 3, 4)


@pytest.fixture
def engine(mixture):
    X = random_rows(np.random.default_rng(2), mixture, 100_000)
    with OneTable([[X[:, :65_536], X[:, 65_536:]]], 3) as engine:
        yield engine
