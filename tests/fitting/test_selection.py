"""Which model of a grid is the best, and what an option with several values means."""

from dataclasses import replace

import numpy as np
import pytest

from gmmcli.core.rows import Rows
from gmmcli.core.units import measure
from gmmcli.engine.in_memory import InMemoryTable
from gmmcli.fitting.candidate import Candidate, best_of
from gmmcli.fitting.grid import Grid
from gmmcli.fitting.options import options_of
from gmmcli.fitting.rows import TrainingRows, part_of
from gmmcli.fitting.settings import Settings

ROWS = dict(options_of(Settings))
ONE = Candidate(1, "full", -100.0, 5, 210.0, 220.0, 220.0, -2.0, 0.1, 2, True, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1:4", (1, 2, 3, 4)),
        ("8,2,4,2", (2, 4, 8)),
        ("1:3,9", (1, 2, 3, 9)),
        ("5:5", 5),
        ("2,2", 2),
        ("auto", "auto"),
    ],
)
def test_a_list_of_numbers_is_sorted_and_one_value_is_that_value(text: str, value: object) -> None:
    """Ranges have both ends."""
    assert ROWS["components"].read(text) == value


@pytest.mark.parametrize(
    "text", ["0", "1:", ":3", "1:2:3", "3:2", "1,,2", "a:b", "1:1e9", "0:3", "1:1001", "all"]
)
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    """The message has the whole text."""
    with pytest.raises(
        ValueError, match=r"must be an integer >= 1, a range A:B, a list with commas, or auto, not "
    ):
        ROWS["components"].read(text)


def test_names_of_mclust_may_be_in_a_list_of_types() -> None:
    """They become our names."""
    assert ROWS["covariance_type"].read("EEE,full") == ("tied", "full")
    assert ROWS["covariance_type"].read("VVV") == "full"
    assert len(ROWS["covariance_type"].read("all")) == 6


def test_families_of_a_grid_come_after_those_nested_in_them() -> None:
    """In any order that they are asked for."""
    grid = Grid.asked({"components": 3, "covariance_type": ("full", "spherical", "tied")}, by_default=False)

    assert grid is not None
    assert (grid.counts, grid.types) == ((3,), ("spherical", "tied", "full"))
    assert Grid.asked({"components": 3, "covariance_type": "full"}, by_default=True) is None
    assert Grid.asked({}, by_default=False) is None
    automatic = Grid.asked({}, by_default=True)
    assert automatic is not None
    assert (automatic.grows, automatic.most, (20, "full") in automatic) == (True, 1, True)


def test_a_spurious_model_is_chosen_only_if_there_is_no_other() -> None:
    """However low its criterion is."""
    spurious = replace(ONE, components=2, bic=100.0, flaw="narrow")

    assert best_of([ONE, spurious], "bic") is ONE
    assert best_of([spurious], "bic") is spurious


def test_one_standard_error_takes_the_simplest_model_within_it() -> None:
    """The error is that of the best model."""
    simple = replace(ONE, cv=-1.55, cv_error=0.5, n_parameters=3)
    best = replace(ONE, components=3, cv=-1.5, cv_error=0.1, n_parameters=20)
    between = replace(ONE, components=2, cv=-1.52, n_parameters=10)
    far = replace(ONE, components=4, cv=-1.7, n_parameters=1)

    assert best_of([simple, between, best, far], "cv") is best
    assert best_of([simple, between, best, far], "cv-1se") is simple


def test_parts_are_disjoint_and_even_and_keep_the_order_of_rows() -> None:
    """Together they are the table."""
    X = np.arange(2000.0).reshape(2, 1000)
    units = measure([Rows(X)]).units(common=False)
    rows = TrainingRows(("a", "b"), units, InMemoryTable([[Rows(X[:, :300])], [Rows(X[:, 300:])]]), ())

    seen = []
    for others, part in rows.parts(5):
        (inside, outside) = (
            np.concatenate([block.X[0] for block in one.table.blocks(10_000)]) for one in (part, others)
        )
        assert (np.diff(inside) > 0).all()
        assert sorted([*inside, *outside]) == X[0].tolist()
        assert 150 < len(inside) < 250
        seen += inside.tolist()
    assert sorted(seen) == X[0].tolist()
    assert part_of(np.arange(5), 3).tolist() == part_of(np.arange(9), 3)[:5].tolist()


def test_rows_in_a_common_scale_are_those_of_the_table_in_its_units() -> None:
    """Each column keeps its centre; the scale is the root of the mean variance."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3, 200)) * [[1.0], [20.0], [0.0]] + [[5.0], [-3.0], [7.0]]
    units = measure([Rows(X)]).units(common=False)
    rows = TrainingRows(("a", "b", "c"), units, InMemoryTable([[Rows(units.standardise(X.copy()))]]), ())

    found = rows.in_units_of("spherical")

    expected = measure([Rows(X)]).units(common=True)
    np.testing.assert_allclose(found.units.scale, expected.scale, rtol=1e-12)
    (block,) = found.table.blocks(1000)
    np.testing.assert_allclose(block.X, expected.standardise(X.copy()), rtol=1e-9, atol=1e-12)
    assert rows.in_units_of("full") is rows
    assert rows.in_units_of("spherical") is found
