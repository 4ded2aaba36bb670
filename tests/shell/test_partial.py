"""Batch after batch through the shell: near the whole, and killed without a trace."""

import json
import signal
import subprocess

import numpy as np
import pytest
from shell.session import Session, write_table


def three_components(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return shuffled rows of three components, about four sd apart."""
    centers = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [0.0, 4.0, -1.0]])
    spreads = np.array([[1.0, 0.5, 2.0], [0.7, 1.0, 1.0], [1.2, 0.8, 0.5]])
    labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return centers[labels] + spreads[labels] * rng.normal(size=(n, 3))


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_ten_batches_end_near_the_fit_of_all_rows(empty_session: Session, covariance_type: str) -> None:
    """Within 0.01 nats per row of it, each batch seen once."""
    rows = three_components(np.random.default_rng(8), 20_000)
    write_table(empty_session.directory / "all.csv", rows)
    new = f"-k 3 --covariance-type {covariance_type}"
    for i, batch in enumerate(np.split(rows, 10)):
        write_table(empty_session.directory / f"batch{i}.csv", batch)
        found = empty_session.run(f"gmmcli fit -m parts {new} --partial batch{i}.csv")
        assert (found.status, found.stderr) == (0, "")
    assert empty_session.run(f"gmmcli fit -m whole {new} all.csv").status == 0

    parts, whole = (
        json.loads(empty_session.run(f"gmmcli score -m {model} --json all.csv").stdout)["mean_log_likelihood"]
        for model in ("parts", "whole")
    )

    assert parts > whole - 0.01
    report = json.loads(empty_session.run("gmmcli inspect -m parts --json").stdout)
    assert (report["rows"], report["global_step"], report["approximate"]) == (20_000, 10, True)


def test_a_signal_leaves_the_model_as_it_was(session: Session) -> None:
    """Nothing of a partial fit is published before its end."""
    assert session.run("gmmcli fit -m m -k 2 faithful.csv").status == 0
    before = session.run("gmmcli inspect -m m --json").stdout
    command = ["gmmcli", "fit", "-m", "m", "-vv", "--partial", "--steps", "1000000", "faithful.csv"]
    with subprocess.Popen(
        command, cwd=session.directory, env=session.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "pass 20 of" in line)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()

    assert process.returncode == -signal.SIGTERM
    assert session.run("gmmcli inspect -m m --json").stdout == before
    assert len(list((session.directory / "m" / "checkpoints").iterdir())) == 1
