"""A time limit stops a run cleanly, on a machine of any speed."""

import itertools
import re

import pytest
from shell.session import Session, Step


def run_limited(session: Session, options: str) -> Step:
    """Run a fit with the shortest limit, in powers of 4 seconds, that leaves it time for a checkpoint."""
    for limit in itertools.count():
        result = session.run(f"gmmcli fit {options} --time-limit {4**limit} faithful.csv")
        if "no checkpoint was written" not in result.stderr:
            return result
    raise AssertionError


def test_a_run_that_has_not_converged_is_written_and_exits_3(empty_session: Session) -> None:
    """The warning says how far it came."""
    result = run_limited(empty_session, "-m new -k 3 --tol 0 --max-iter 1000000000")

    expected = r"gmmcli fit: warning: stopped by --time-limit after [\d,]+ steps?, not converged\n"
    assert re.fullmatch(expected, result.stderr)
    assert result.status == 3
    check = empty_session.run("gmmcli inspect -m new --check full")
    assert (check.stdout, check.stderr, check.status) == ("", "", 0)


def test_a_counted_run_exits_by_its_convergence(empty_session: Session) -> None:
    """It goes on after it has converged, until it has made its steps, or the time is up."""
    result = run_limited(empty_session, "-m new -k 3 --max-steps 1000000000")

    found = re.fullmatch(
        r"gmmcli fit: warning: stopped by --time-limit after [\d,]+ steps?, (not )?converged\n", result.stderr
    )
    assert found is not None
    assert result.status == (3 if found[1] else 0)


@pytest.mark.parametrize("limit", ["1", "0.001"])
def test_a_table_that_does_not_end_before_the_limit_leaves_nothing(
    empty_session: Session, limit: str
) -> None:
    """There is no model yet to be written."""
    result = empty_session.run(f"(cat faithful.csv; yes 2,50) | gmmcli fit -m late -k 3 --time-limit {limit}")

    assert result.stderr == (
        "gmmcli fit: --time-limit: reached before the tables were read; no checkpoint was written\n"
        "hint: a longer --time-limit\n"
    )
    assert result.status == 3
    assert not (empty_session.directory / "late").exists()
