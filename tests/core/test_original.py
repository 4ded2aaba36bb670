"""The original's own test, TensorFlow's gmm_test (Apache-2.0; its numbers only), on core and engine.

The original starts from given means, weights 1/K and the table's unbiased covariance, and adds 1e-3 to
variances in the table's units; 1e-6 in standard units is of the same order.
"""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from oracles.one_table import OneTable

from gmmcli.core import units
from gmmcli.core.em.loop import Origin, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.rows import Rows
from gmmcli.core.start.partitions import Partitions
from gmmcli.core.start.starts import Starts
from gmmcli.engine.evaluate import Evaluator

GOLDEN = json.loads((Path(__file__).parent / "data" / "tf_gmm_test.json").read_text())
REG_COVAR = 1e-6


class Original:
    """The table in standard units, and fits to it."""

    def __init__(self, X):
        self.X = X
        self.units = units.measure([Rows(X)]).units(common=False)
        self.rows = OneTable([[self.units.standardise(X.copy())]], 2)

    def after(self, steps, means, covariance_type):
        """Return the mixture in standard units after some steps from given means."""
        standard = (np.array(means) - self.units.center) / self.units.scale
        engine, table, rules = self.rows.engine, self.rows.table, Rules(reg_covar=REG_COVAR)
        starts = Starts(
            engine, table, Partitions(table, np.ones(table.n_features)), covariance_type, len(means), rules
        )
        run = iterate(Origin(starts.around_means(standard)), engine, table, rules)
        return next(islice(run, steps, None))

    def infer(self, mixture, X):
        """Return assignments and the sum of the Mahalanobis distances to them."""
        evaluator = Evaluator(mixture, self.units, ("assignment", "distance"), 1)
        found = evaluator.evaluate(X, 0)
        return found["assignment"], found["distance"].sum()


@pytest.fixture(scope="module")
def original(tf_table):
    return Original(tf_table)


CASES = [
    ("fit_1", 1, "fit_start", "full"),
    ("fit_11", 11, "fit_start", "full"),
    ("compare_full_40", 40, "kmeans_start", "full"),
    ("compare_diag_40", 40, "kmeans_start", "diag"),
]


@pytest.mark.parametrize(("name", "steps", "begin", "covariance_type"), CASES)
def test_parameters_are_those_of_the_original(original, name, steps, begin, covariance_type):
    """Means to 1e-5, covariances to 1e-4 of their largest entry, likelihood to 1e-6."""
    golden = GOLDEN[name]

    step = original.after(steps, GOLDEN[begin], covariance_type)

    found = original.units.to_table(step.mixture)
    expected = np.array(golden["covs"])
    np.testing.assert_allclose(found.weights, golden["weights"], rtol=1e-5)
    np.testing.assert_allclose(found.means, golden["means"], rtol=1e-5)
    np.testing.assert_allclose(found.covariances, expected, rtol=0, atol=1e-4 * expected.max())
    total = step.expectation.statistics.log_likelihood - original.X.shape[1] * original.units.log_jacobian
    assert total == pytest.approx(golden["sum_loglik"], rel=1e-6)


@pytest.mark.parametrize(("name", "steps", "begin", "covariance_type"), CASES)
def test_assignments_and_distances_are_those_of_the_original(original, name, steps, begin, covariance_type):
    """The same counts per component, and the same sum of Mahalanobis distances to 1e-4."""
    mixture = original.after(steps, GOLDEN[begin], covariance_type).mixture

    assignment, distance_sum = original.infer(mixture, original.X)

    assert np.bincount(assignment).tolist() == GOLDEN[name]["counts"]
    assert distance_sum == pytest.approx(GOLDEN[name]["sum_mahalanobis_assigned"], rel=1e-4)


def test_the_fit_starts_from_rows_3379_and_179(original):
    """The original names the rows whose values are the start."""
    assert original.X[:, [3379, 179]].T.tolist() == GOLDEN["fit_start"]


def test_eleven_steps_come_closer_than_one(original):
    """The original's assertion: distances shrink, to within 15 % of 5018.647."""
    sums = []
    for steps in (1, 11):
        mixture = original.after(steps, GOLDEN["fit_start"], "full").mixture
        sums.append(original.infer(mixture, original.X)[1])

    assert sums[1] < sums[0]
    assert abs(5018.647 - sums[1]) <= 0.15 * 5018.647


def test_infer_assigns_the_forty_points_as_the_original(original):
    """The original's assertion: after 60 steps the assignments are exactly these, distances 49.02 ± 4.05."""
    mixture = original.after(60, GOLDEN["kmeans_start"], "full").mixture

    assignment, distance_sum = original.infer(mixture, np.array(GOLDEN["infer_points"]).T.copy())

    assert assignment.tolist() == GOLDEN["infer_assignments"]
    assert abs(distance_sum - 49.01816) <= 4.05
    assert distance_sum == pytest.approx(GOLDEN["infer_distance_sum"], rel=1e-4)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_the_first_ten_rows_are_assigned_as_the_original(original, covariance_type):
    """The original's assertion after 40 steps."""
    mixture = original.after(40, GOLDEN["kmeans_start"], covariance_type).mixture

    assignment, _ = original.infer(mixture, original.X[:, :10])

    assert assignment.tolist() == [0, 0, 1, 0, 0, 0, 1, 0, 0, 1]


def test_the_start_has_the_unbiased_covariance_of_the_table(original):
    """Step 0, in the table's units, apart from the regularisation."""
    mixture = original.after(0, GOLDEN["fit_start"], "full").mixture

    found = original.units.to_table(mixture).matrices

    expected = np.cov(original.X)
    np.testing.assert_allclose(found, np.stack([expected] * 2), rtol=0, atol=2e-6 * expected.max())
