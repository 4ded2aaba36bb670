"""The original's own test, TensorFlow's gmm_test (its numbers only), through the class and the shell."""

import csv
import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from shell.session import Session, write_table

from gmmcli import GMM

DATA = Path(__file__).parents[1] / "core" / "data"
GOLDEN = json.loads((DATA / "tf_gmm_test.json").read_text())
CASES = [
    ("fit_1", 1, "fit_start", "full"),
    ("fit_11", 11, "fit_start", "full"),
    ("compare_full_40", 40, "kmeans_start", "full"),
    ("compare_diag_40", 40, "kmeans_start", "diag"),
]


@pytest.fixture(scope="module")
def x():
    """Return the original's table, shape (4000, 2)."""
    with (DATA / "tf_gmm_test.csv").open() as file:
        return np.array([[float(cell) for cell in row] for row in islice(csv.reader(file), 1, None)])


class ByClass:
    """The original's calls on the class."""

    def __init__(self, directory, x, begin, covariance_type):
        means = np.array(GOLDEN[begin])
        self._x = x
        self._model = GMM(
            2, directory / "m", initial_clusters=means, covariance_type=covariance_type, n_threads=1
        )

    def fit(self, steps):
        """Make steps."""
        self._model.fit(self._x, steps=steps)

    def parameters(self):
        """Return weights, means and covariances."""
        return self._model.weights(), self._model.clusters(), self._model.covariances()

    def infer(self, x):
        """Return assignments and the sum of the distances to them."""
        return list(self._model.predict_assignments(x)), self._model.score(input_fn=lambda: x, steps=1)


class ByShell:
    """The same through the shell."""

    def __init__(self, directory, x, begin, covariance_type):
        self._session = Session(directory)
        self._write("t.csv", x)
        self._write("means.csv", np.array(GOLDEN[begin]))
        self._start = f"-k 2 --covariance-type {covariance_type} --init means.csv"

    def fit(self, steps):
        """Make steps."""
        assert self._session.run(f"gmmcli fit -q -m m {self._start} --steps {steps} t.csv").status == 0

    def parameters(self):
        """Return weights, means and covariances."""
        model = json.loads(self._session.run("gmmcli export -m m").stdout)
        return tuple(np.array(model[name]) for name in ("weights", "means", "covariances"))

    def infer(self, x):
        """Return assignments and the sum of the distances to them."""
        self._write("i.csv", x)
        lines = self._session.run("gmmcli predict -m m --outputs assignment i.csv").stdout.split()[1:]
        total = self._session.run("gmmcli score -m m --metric distance_sum i.csv").stdout
        return list(map(int, lines)), float(total)

    def _write(self, name, x):
        write_table(self._session.directory / name, x)


@pytest.fixture(params=[ByClass, ByShell])
def make(request, tmp_path, x):
    """Return what makes a model that starts from given means."""
    return lambda begin, covariance_type: request.param(tmp_path, x, begin, covariance_type)


@pytest.mark.parametrize(("name", "steps", "begin", "covariance_type"), CASES)
def test_weights_clusters_and_distances_are_those_of_the_original(
    make, x, name, steps, begin, covariance_type
):
    """Means agree to 1e-5, covariances to 1e-4 of their largest entry, in one run and in two."""
    golden, model = GOLDEN[name], make(begin, covariance_type)
    model.fit(steps // 2)
    model.fit(steps - steps // 2)

    weights, means, covariances = model.parameters()
    assignments, distance_sum = model.infer(x)

    expected = np.array(golden["covs"])
    np.testing.assert_allclose(weights, golden["weights"], rtol=1e-5)
    np.testing.assert_allclose(means, golden["means"], rtol=1e-5)
    np.testing.assert_allclose(covariances, expected, rtol=0, atol=1e-4 * expected.max())
    assert np.bincount(assignments).tolist() == golden["counts"]
    assert distance_sum == pytest.approx(golden["sum_mahalanobis_assigned"], rel=1e-4)
    if steps == 40:
        assert assignments[:10] == [0, 0, 1, 0, 0, 0, 1, 0, 0, 1]


def test_fit_comes_closer_with_every_step(make, x):
    """The original's assertion: distances shrink, to within 15 % of 5018.647."""
    model, sums = make("fit_start", "full"), []
    for steps in (1, 10):
        model.fit(steps)
        sums.append(model.infer(x)[1])

    assert sums[1] < sums[0]
    assert abs(5018.647 - sums[1]) <= 0.15 * 5018.647


def test_infer_assigns_the_forty_points_as_the_original(make):
    """After 60 steps, their distances sum to 49.02 ± 4.05."""
    model = make("kmeans_start", "full")
    model.fit(60)

    assignments, distance_sum = model.infer(np.array(GOLDEN["infer_points"]))

    assert assignments == GOLDEN["infer_assignments"]
    assert abs(distance_sum - 49.01816) <= 4.05
    assert distance_sum == pytest.approx(GOLDEN["infer_distance_sum"], rel=1e-4)


SCRIPT = """
import sys
from gmmcli import GMM
steps, n_threads = int(sys.argv[2]), int(sys.argv[3])
GMM(3, sys.argv[1], initial_clusters="kmeans", n_threads=n_threads).fit("faithful.csv", steps=steps)
"""


def test_steps_of_class_and_shell_are_steps_of_one_run(tmp_path):
    """Five steps and five more are ten, with either and with both, under one BLAS kernel."""
    session = Session(tmp_path)
    session.environment["OPENBLAS_CORETYPE"] = "Haswell"
    (session.directory / "fit.py").write_text(SCRIPT)
    by_class = f"{sys.executable} fit.py"
    by_shell = "gmmcli fit -q -k 3 --init kmeans faithful.csv"
    for command in (
        f"{by_class} whole 10 1",
        f"{by_class} both 5 2 && {by_shell} -m both --steps 5",
        f"{by_shell} -m other --steps 5 && {by_class} other 5 1",
        f"{by_shell} -m shell --steps 10",
    ):
        found = session.run(command)
        assert (found.status, found.stderr) == (0, "")

    digests = {
        json.loads(session.run(f"gmmcli inspect -m {model} --json").stdout)["content_digest"]
        for model in ("whole", "both", "other", "shell")
    }

    assert len(digests) == 1
