"""Tables on which the original's own tests, or its users, came to grief."""

import json

import numpy as np
import pytest
from shell.session import Session, write_table


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_as_many_components_as_rows_of_a_hundred_columns_give_numbers(
    empty_session: Session, covariance_type: str
) -> None:
    """Twenty of each: covariances that the regularisation alone keeps from collapsing, and no NaN."""
    write_table(empty_session.directory / "t.csv", np.random.default_rng(4).normal(size=(20, 100)))

    command = f"gmmcli fit -q -m m -k 20 --covariance-type {covariance_type} --init random --steps 10 t.csv"
    assert empty_session.run(command).status == 0

    model = json.loads(empty_session.run("gmmcli export -m m").stdout)
    assert all(np.isfinite(model[name]).all() for name in ("weights", "means", "covariances"))
    predicted = empty_session.run("gmmcli predict -m m --outputs all t.csv").stdout
    assert "nan" not in predicted.lower()
    assert len(predicted.splitlines()) == 21


def test_rows_of_zeros_are_shared_by_equal_components(empty_session: Session) -> None:
    """Ten of them and two diagonal components: half each, about zero."""
    write_table(empty_session.directory / "t.csv", np.zeros((10, 3)))

    command = "gmmcli fit -q -m m -k 2 --covariance-type diag --init random --steps 5 t.csv"
    assert empty_session.run(command).status == 0

    model = json.loads(empty_session.run("gmmcli export -m m").stdout)
    assert model["weights"] == [0.5, 0.5]
    assert model["means"] == [[0.0] * 3] * 2
