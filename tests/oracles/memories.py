"""Strategies: what a run may know beside its mixture."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gmmcli.core.em.memory import Batches, Converged, Cycle, Memory, Standing

# Numbers of a memory are stored as doubles.
counts = st.integers(0, 2**53)
numbers = st.floats(allow_nan=False)
lists = st.lists(st.floats(), max_size=5).map(np.array)


def blocks(max_dims: int = 3) -> st.SearchStrategy[np.ndarray]:
    """Return arrays of at least one number."""
    return arrays(np.float64, array_shapes(max_dims=max_dims, max_side=3))


cycles = st.builds(
    Cycle,
    plain=counts,
    since=st.integers(-1, 2**53),
    calm=counts,
    longest=numbers,
    slowest=numbers,
    failures=counts,
    is_fast=st.booleans(),
    likelihood=numbers,
    base=lists,
)
batches = st.builds(Batches, counts, counts, blocks(), blocks(), blocks(), blocks(), likelihoods=lists)
standings = st.builds(
    Standing,
    best=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    best_step=st.integers(-1, 2**53),
    misses=counts,
    checked_step=st.integers(-1, 2**53),
    table=st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
)
memories = st.builds(
    Memory,
    reseeded=st.integers(0, 3),
    approximate=st.booleans(),
    began=st.none() | counts,
    cycle=st.none() | cycles,
    stepwise=st.none() | batches,
    validation=st.none() | standings,
    converged=st.none() | st.builds(Converged, tol=numbers, batch_rows=counts),
)
