"""Steps after batches, through the shell: near the optimum, and two runs are one."""

import json

import numpy as np
import pytest
from shell.session import Session

FAITHFUL, WAITING = "--columns eruptions,waiting faithful.csv", "--columns waiting faithful.csv"
IRIS = "--exclude species iris.csv"
PROBLEMS = [
    *(
        (FAITHFUL, kind, k)
        for kind, k in (("full", 1), ("full", 2), ("tied", 2), ("diag", 2), ("spherical", 2))
    ),
    *((FAITHFUL, "tied", k) for k in (3, 4)),
    (WAITING, "full", 2),
    *((IRIS, kind, k) for kind in ("full", "tied", "diag", "spherical") for k in (2, 3)),
    (IRIS, "tied", 4),
]


def shuffle(session: Session, name: str) -> None:
    """Put the rows of a table in another order."""
    path = session.directory / name
    header, *lines = path.read_text().splitlines(keepends=True)
    path.write_text(header + "".join(np.random.default_rng(7).permutation(np.array(lines, dtype=object))))


def fit(session: Session, command: str) -> dict[str, object]:
    """Run a fit, return its report."""
    found = json.loads(session.run(f"gmmcli fit -q --json {command}").stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("table", "covariance_type", "k"), PROBLEMS)
def test_a_hundred_passes_stay_at_the_optimum_and_two_runs_are_one(
    empty_session: Session, table: str, covariance_type: str, k: int
) -> None:
    """Within 1e-3 nats per row of the solution of full EM; two runs of fifty passes end alike."""
    shuffle(empty_session, table.split()[-1])
    name = table.split()[-1]
    start = f"-k {k} --covariance-type {covariance_type} {table}"
    batches = "--batch-size 30 --tol 0 --max-iter"
    full = fit(empty_session, f"-m whole {start}")
    fit(empty_session, f"-m parts {start}")

    whole = fit(empty_session, f"-m whole {batches} 100 {name}")
    fit(empty_session, f"-m parts {batches} 50 {name}")
    parts = fit(empty_session, f"-m parts {batches} 50 {name}")

    assert whole["content_digest"] == parts["content_digest"]
    steps_of_pass = -(-int(str(full["rows"])) // 30)
    assert whole["steps_run"] == 100 * steps_of_pass
    assert abs(float(str(whole["mean_log_likelihood"])) - float(str(full["mean_log_likelihood"]))) < 1e-3


@pytest.mark.parametrize("total", [13, 20])
def test_counted_steps_are_batches_and_split_in_the_middle_of_a_pass(session: Session, total: int) -> None:
    """Seven and more steps are as many at once, ten of which make a pass: within one, and at its end."""
    parts = "gmmcli fit -m parts -k 3 --batch-size 30 faithful.csv --steps"
    assert session.run(f"{parts} 7").status == session.run(f"{parts} {total - 7}").status == 0
    assert session.run(f"gmmcli fit -m whole -k 3 --batch-size 30 faithful.csv --steps {total}").status == 0

    digests = {
        json.loads(session.run(f"gmmcli inspect -m {model} --json").stdout)["content_digest"]
        for model in ("parts", "whole")
    }

    assert len(digests) == 1


def test_a_run_of_batches_converges_by_passes(session: Session) -> None:
    """It ends where the likelihoods of whole passes say so."""
    found = fit(session, "-m m -k 2 --batch-size 50 --tol 1e-5 faithful.csv")

    assert found["converged"]
    assert int(str(found["steps_run"])) % 6 == 0
    assert float(str(found["mean_log_likelihood"])) > -4.15538 - 1e-3
