"""What a table's units, its offset and the size of its clusters must not change."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from oracles.kernels import workspace_of
from shell.session import EXAMPLES, Session, write_table

from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.kernel.posterior import evaluate
from gmmcli.fitting.request import FitRequest
from gmmcli.jobs.fit import fit
from gmmcli.store.model_dir import ModelDir
from gmmcli.tables.operands import TableRequest

TYPES = ("full", "tied", "diag", "spherical")
# Factor and offset of each column.
WHOLE_TABLE = {
    "times 1e5": ((1e5, 1e5), (0.0, 0.0)),
    "times 1e-5": ((1e-5, 1e-5), (0.0, 0.0)),
    "plus 1e7": ((1.0, 1.0), (1e7, 1e7)),
}
ONE_COLUMN = {
    "first column times 1e9": ((1e9, 1.0), (0.0, 0.0)),
    "second column times 1e9": ((1.0, 1e9), (0.0, 0.0)),
}
# A family that is not closed under scaling columns one by one is not held to it.
CHANGES = [(name, change, TYPES) for name, change in WHOLE_TABLE.items()] + [
    (name, change, TYPES[:3]) for name, change in ONE_COLUMN.items()
]
CASES = [
    pytest.param(covariance_type, change, id=f"{covariance_type}, {name}")
    for name, change, types in CHANGES
    for covariance_type in types
]


def fitted(directory: Path, rows: np.ndarray, covariance_type: str, n_components: int):
    """Fit in this process, return labels and log-likelihood in the table's units."""
    table = TableRequest((str(write_table(directory / "t.csv", rows, "xy")),), n_threads=1)
    settings = {"components": n_components, "covariance_type": covariance_type}

    report = fit(FitRequest(directory / "m", table, settings), lambda notice: None, lambda text: None)

    checkpoint = ModelDir(directory / "m").load().checkpoint
    kernel = Kernel(checkpoint.state)
    Z = checkpoint.units.standardise(rows.T.copy())
    found = evaluate(kernel, workspace_of(kernel).load(Z), ("assignment",))
    return found["assignment"].tolist(), report.log_likelihood


@pytest.fixture(scope="module")
def faithful() -> np.ndarray:
    """Return the rows of faithful.csv, (272, 2)."""
    with (EXAMPLES / "faithful.csv").open(newline="") as file:
        return np.array(list(csv.reader(file))[1:], dtype=float)


@pytest.fixture(scope="module")
def as_it_is(faithful, tmp_path_factory):
    """Return labels and log-likelihood of every type, for two and three components."""
    return {
        (covariance_type, K): fitted(tmp_path_factory.mktemp("as-it-is"), faithful, covariance_type, K)
        for covariance_type in TYPES
        for K in (2, 3)
    }


@pytest.mark.parametrize("n_components", [2, 3])
@pytest.mark.parametrize(("covariance_type", "change"), CASES)
def test_units_and_offsets_change_neither_labels_nor_likelihood(
    tmp_path, faithful, as_it_is, covariance_type, change, n_components
):
    """The likelihood of 272 rows moves by the Jacobian, to 1e-3: adding 1e7 rounds rows to 1e-9."""
    factors, offsets = map(np.array, change)

    labels, likelihood = fitted(tmp_path, faithful * factors + offsets, covariance_type, n_components)

    expected_labels, expected = as_it_is[covariance_type, n_components]
    assert labels == expected_labels
    assert likelihood + len(faithful) * np.log(factors).sum() == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def pinpoints() -> tuple[np.ndarray, np.ndarray]:
    """Return two clusters one apart whose sds are 1e-7, (300, 2) and (500, 2)."""
    rng = np.random.default_rng(1)
    first, second = (rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 2]], n) for n in (300, 500))
    return np.array([3.0, -2.0]) + 1e-7 * first, np.array([3.6, -1.2]) + 1e-7 * second


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance in long double."""
    X = rows.astype(np.longdouble)
    mean = X.mean(axis=0)
    return mean, (X - mean).T @ (X - mean) / len(X)


def expected_covariances(covariance_type: str, full: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what a type makes of the covariances of the clusters, (K, d, d)."""
    match covariance_type:
        case "tied":
            return np.einsum("k,kij->ij", weights, full)
        case "diag":
            return np.diagonal(full, axis1=1, axis2=2)
        case "spherical":
            return np.trace(full, axis1=1, axis2=2) / 2
    return full


@pytest.mark.parametrize("covariance_type", TYPES)
def test_clusters_of_a_ten_millionth_of_their_distance_are_right_to_six_digits(
    empty_session: Session, pinpoints, covariance_type
):
    """With a bound far below: means to 1e-6 of an sd, weights and variances to 1e-6 of themselves."""
    write_table(empty_session.directory / "t.csv", np.concatenate(pinpoints), "xy")
    command = f"gmmcli fit -m m -k 2 --covariance-type {covariance_type} --min-sd 1e-9 t.csv"
    assert empty_session.run(command).stderr == ""

    model = json.loads(empty_session.run("gmmcli export -m m").stdout)

    # Components are in order of their weights: the second cluster is the larger one.
    exact = [moments(rows) for rows in pinpoints[::-1]]
    means, full = (np.array(parts) for parts in zip(*exact, strict=True))
    weights = np.array([500, 300]) / 800
    covariances = expected_covariances(covariance_type, full, weights)
    largest = np.abs(covariances).max()
    np.testing.assert_allclose(model["weights"], weights, rtol=1e-6)
    np.testing.assert_array_less(np.abs(np.array(model["means"]) - means), 1e-6 * 1e-7)
    np.testing.assert_allclose(model["covariances"], covariances.astype(float), rtol=0, atol=1e-6 * largest)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_clusters_below_the_floor_are_flagged_with_what_to_try(
    empty_session: Session, pinpoints, covariance_type
):
    """The default bound is above their width; the warning says so and names a smaller one."""
    write_table(empty_session.directory / "t.csv", np.concatenate(pinpoints), "xy")

    result = empty_session.run(f"gmmcli fit -m m -k 2 --covariance-type {covariance_type} --json t.csv")

    assert result.status == 0
    warnings = [w for w in json.loads(result.stdout)["warnings"] if w["name"] == "variance_floor"]
    assert len(warnings) == 1
    assert warnings[0]["components"] == ([] if covariance_type == "tied" else [0, 1])
    # A sphere is bounded by the widest of the bounds, that of y.
    assert warnings[0]["columns"] == (["y"] if covariance_type == "spherical" else ["x", "y"])
    for text in (warnings[0]["text"], result.stderr):
        assert "as --min-sd allows" in text
        assert "--fresh --min-sd 1e-9" in text
