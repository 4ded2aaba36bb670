"""Two thousand random small tables, fitted or refused as the contract says; `make fuzz` tries more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzz.cases import Case, Fit, make_case
from fuzz.checks import find_faults
from fuzz.run import SEED, describe, newest_in, try_case, try_range

from gmmcli.core.mixture import Mixture
from gmmcli.jobs.fit import fit

OWN_SEED = SEED + 1
RANGE = 250
ROWS = np.array([[0.0, 1.0], [0.5, 3.0], [1.0, 2.0], [7.0, 8.0], [8.0, 6.0], [9.0, 9.0], [8.5, 7.0]])
ORDINARY = Fit((ROWS,), ("a", "b"), "csv", {"components": 2, "init": "kmeans"}, {"max_iter": 20})


@pytest.mark.parametrize("first", range(0, 2000, RANGE))
def test_every_fit_ends_in_a_finite_model_or_an_error_of_the_contract(first: int) -> None:
    """No warning of NumPy leaks either; and most tables are not simply refused."""
    trial = try_range(OWN_SEED, range(first, first + RANGE))

    failures = "\n".join(describe(OWN_SEED, *item) for item in sorted(trial.faults.items()))
    assert not failures, failures
    assert trial.ends["model"] > 0.6 * trial.ends.total()


def test_a_case_is_a_function_of_seed_and_number(tmp_path: Path) -> None:
    """What failed can be run again."""
    first, second = (make_case(OWN_SEED, 7) for _ in range(2))

    assert first.fits[0].rows.tobytes() == second.fits[0].rows.tobytes()
    assert [one.command(tmp_path, "t") for one in first.fits] == [
        one.command(tmp_path, "t") for one in second.fits
    ]
    assert make_case(OWN_SEED, 8).fits[0].rows.tobytes() != first.fits[0].rows.tobytes()


def test_an_ordinary_table_has_no_fault(tmp_path: Path) -> None:
    """The checks accept what is right."""
    trial = try_case(Case(0, 0, (ORDINARY, replace(ORDINARY, settings={}, options={"steps": 1}))), tmp_path)

    assert (trial.ends, trial.faults) == ({"model": 2}, {})


DAMAGES = {
    "weights": lambda c: replace(c, state=replace(c.state, weights=c.state.weights * (1 + 1e-9))),
    "centre": lambda c: replace(c, units=replace(c.units, center=c.units.center + 1e-9)),
    "scale": lambda c: replace(c, units=replace(c.units, scale=c.units.scale * (1 + 1e-9))),
    "not finite": lambda c: replace(c, quantiles=np.where(c.quantiles == c.quantiles.max(), np.inf, 0.0)),
    "quantiles": lambda c: replace(c, quantiles=c.quantiles + 1e-6),
    "means": lambda c: replace(c, mixture=replace(c.mixture, means=c.mixture.means * (1 + 1e-12))),
    "not symmetric": lambda c: replace(c, state=_with_covariance(c.state, [[1.0, 0.1], [0.2, 1.0]])),
    "factor": lambda c: replace(c, state=_with_covariance(c.state, [[1.0, 2.0], [2.0, 1.0]])),
    "log-likelihood": lambda c: replace(c, state=replace(c.state, means=c.state.means + 1e-3)),
}


def _with_covariance(mixture: Mixture, covariance: list[list[float]]) -> Mixture:
    """Return a mixture whose first component has another covariance."""
    return replace(mixture, covariances=np.array([covariance, mixture.covariances[1]]))


@pytest.mark.parametrize("name", DAMAGES)
def test_the_checks_notice_what_is_wrong(tmp_path: Path, name: str) -> None:
    """Each damage is named."""
    ORDINARY.write(tmp_path, "t")
    report = fit(ORDINARY.request(tmp_path, "t"), lambda notice: None, lambda text: None)
    stored = newest_in(tmp_path)
    assert stored is not None

    damaged = replace(stored, checkpoint=DAMAGES[name](stored.checkpoint))

    assert any(name in fault for fault in find_faults(report, damaged, ORDINARY, None))
