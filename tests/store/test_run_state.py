"""The memory of a run as arrays: nothing is lost, and other arrays are damage."""

import numpy as np
import pytest
from hypothesis import given, settings
from oracles.memories import memories
from oracles.same import assert_same

from gmmcli.core.em.memory import Batches, Converged, Cycle, Memory, Standing
from gmmcli.store.layout import Damage
from gmmcli.store.run_state import from_arrays, to_arrays

WHOLE = Memory(
    reseeded=2,
    approximate=True,
    began=17,
    cycle=Cycle(3, 4, 1, 16.0, 250.0, 2, True, -1.5, np.array([1.0, 2.0])),
    stepwise=Batches(7, 90, np.ones(2), np.ones((2, 3)), np.ones((2, 3, 3)), np.zeros((2, 3)), np.ones(2)),
    validation=Standing(-2.25, 30, 1, 40, "0123456789ab"),
    converged=Converged(1e-6, 30),
)


@settings(max_examples=150, deadline=None)
@given(memory=memories)
def test_every_memory_comes_back_bit_for_bit(memory):
    """Through arrays of float64, the only type that format 1.0 stores for it."""
    arrays = to_arrays(memory)

    assert all(array.dtype == np.float64 and array.size for array in arrays.values())
    assert_same(from_arrays(arrays), memory)


def test_what_a_memory_is_stored_as():
    """Format 1.0: a part is one array of its numbers, in order of definition, and each of its arrays."""
    arrays = to_arrays(WHOLE)

    assert {name: array.tolist() for name, array in arrays.items() if not name.startswith("stepwise_")} == {
        "reseeded": [2.0],
        "approximate": [1.0],
        "began": [17.0],
        "cycle": [3.0, 4.0, 1.0, 16.0, 250.0, 2.0, 1.0, -1.5],
        "cycle_base": [1.0, 2.0],
        "stepwise": [7.0, 90.0],
        "validation": [-2.25, 30.0, 1.0, 40.0, float(0x0123456789AB)],
        "converged": [1e-6, 30.0],
    }
    for name in ("counts", "sums", "squares", "reference", "likelihoods"):
        assert arrays[f"stepwise_{name}"] is getattr(WHOLE.stepwise, name)


def test_a_memory_of_nothing_takes_no_array():
    """A plain counted run has such a memory."""
    assert to_arrays(Memory()) == {}
    assert_same(from_arrays({}), Memory())


ODD = {
    "an unknown part": ({"patience": np.ones(1)}, "unknown part 'patience'"),
    "an array without its part": ({"cycle_base": np.ones(2)}, "unknown part 'cycle_base'"),
    "an array that a part does not have": (
        {"converged": np.ones(2), "converged_base": np.ones(2)},
        "unknown part 'converged_base'",
    ),
    "a matrix for numbers": ({"cycle": np.ones((2, 4))}, r"'cycle' has shape \(2, 4\), not \(8,\)"),
    "too few numbers": ({"validation": np.ones(4)}, r"'validation' has shape \(4,\), not \(5,\)"),
    "too many numbers": ({"converged": np.ones(3)}, r"'converged' has shape \(3,\), not \(2,\)"),
    "no number": ({"began": np.empty(0)}, r"'began' has shape \(0,\), not \(1,\)"),
    "a number of rank 0": ({"reseeded": np.array(1.0)}, r"'reseeded' has shape \(\), not \(1,\)"),
    "a part of a step": ({"began": np.array([1.5])}, r"1\.5 where an integer belongs"),
    "a step that is no number": ({"began": np.array([np.nan])}, "nan where an integer belongs"),
    "infinitely many": ({"reseeded": np.array([np.inf])}, "inf where an integer belongs"),
    "a part of a batch": ({"converged": np.array([1e-6, 0.5])}, r"0\.5 where an integer belongs"),
    "a digest that is no number": (
        {"validation": np.array([-1.0, 1.0, 1.0, 1.0, np.nan])},
        "nan where an integer belongs",
    ),
    "statistics without squares": (
        {name: array for name, array in to_arrays(WHOLE).items() if name != "stepwise_squares"},
        "'stepwise' lacks an array",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_memory_is_damage(case):
    """An unknown name, or numbers that cannot be right."""
    arrays, fact = ODD[case]

    with pytest.raises(Damage, match=fact):
        from_arrays(arrays)
