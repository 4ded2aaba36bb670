"""Samples of log densities are lent without a copy, and never change while they are held."""

import numpy as np
import pytest
from oracles.one_table import OneTable
from oracles.random_mixtures import random_mixture, random_rows

from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.engine.processes.memory import SharedArrays


def test_an_array_is_lent_again_when_no_part_of_it_is_held():
    """A reshaped slice of a slice holds it too; if all are lent, a copy is returned."""
    arrays = SharedArrays(6, 3)
    first, second = arrays.lend(1), arrays.lend(arrays.find_free())
    assert arrays.find_free() == 0
    arrays.at(0)[:] = 7.0
    copied = arrays.lend(0)
    arrays.at(0)[:] = 8.0

    part = first[1:][1:].reshape(2, 2)
    del first
    assert arrays.find_free() == 0
    del part
    assert arrays.find_free() == 1
    del second
    assert copied.tolist() == [7.0] * 6
    with pytest.raises(ValueError, match="read-only"):
        arrays.lend(1)[0] = 1.0


@pytest.mark.parametrize("n_workers", [1, 2])
def test_log_densities_stay_what_they_were_however_many_are_held(n_workers):
    """Ten steps of one run are all held; another run holds none."""
    rng = np.random.default_rng(3)
    mixture = random_mixture(rng, "full", 3, 2)
    X = random_rows(rng, mixture, 40_000)
    with OneTable([[X]], n_workers) as rows:
        steps = iterate(Origin(mixture), rows.engine, rows.table, Rules())
        held = [next(steps) for _ in range(10)]
        before = [step.expectation.log_densities.copy() for step in held]

        fresh = iterate(Origin(mixture), rows.engine, rows.table, Rules())
        again = [next(fresh).expectation.log_densities.tobytes() for _ in range(10)]

    for step, copied, repeated in zip(held, before, again, strict=True):
        assert step.expectation.log_densities.tobytes() == copied.tobytes() == repeated
    assert len({copied.tobytes() for copied in before}) == 10
