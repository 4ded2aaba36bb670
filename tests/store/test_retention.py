"""Which generations retention removes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmcli.store.retention import choose_doomed


@pytest.mark.parametrize(
    ("generations", "damaged", "keep", "keep_every", "doomed"),
    [
        ([1, 2, 3], set(), 5, None, []),
        ([1, 2, 3, 4, 5, 6], set(), 5, None, [1]),
        ([3, 7, 8, 9], set(), 2, None, [3, 7]),
        ([1, 2, 3, 4, 5, 6, 7], set(), 2, 3, [1, 2, 4, 5]),
        ([1, 2, 3], set(), 0, None, []),
        ([1, 2, 3], set(), 1, None, [1, 2]),
        ([1, 2, 3, 4], {3}, 2, None, [1]),
        ([1, 2, 3, 4], {4}, 1, None, [1, 2]),
        ([1, 2, 3], {2, 3}, 1, None, []),
        ([1, 2, 3], {1, 2, 3}, 1, None, []),
        ([], set(), 1, 1, []),
    ],
)
def test_the_newest_good_ones_and_the_multiples_stay(generations, damaged, keep, keep_every, doomed):
    """A damaged generation does not count as kept."""
    assert choose_doomed(generations, damaged, keep=keep, keep_every=keep_every) == doomed


@given(
    st.sets(st.integers(1, 60), min_size=1).map(sorted),
    st.sets(st.integers(1, 60)),
    st.integers(0, 8),
    st.none() | st.integers(1, 9),
)
def test_the_newest_good_one_always_stays(generations, damaged, keep, keep_every):
    """For any damage, the wanted number of good generations stays, the newest included."""
    doomed = set(choose_doomed(generations, damaged, keep=keep, keep_every=keep_every))

    good = [generation for generation in generations if generation not in damaged]
    wanted = good if keep == 0 else good[-keep:]
    assert doomed.isdisjoint(wanted)
    assert doomed <= set(generations)
    assert all(generation % keep_every for generation in doomed if keep_every)


def test_the_best_one_stays_beside_the_newest():
    """It stays while it is passed as the best."""
    assert choose_doomed([1, 2, 3, 4, 5], (), keep=2, keep_every=None, best=2) == [1, 3]
    assert choose_doomed([1, 2, 3, 4, 5], (), keep=2, keep_every=None) == [1, 2, 3]
