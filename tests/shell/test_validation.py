"""Early stopping: a run that is killed on its way ends where it would have ended."""

import json
import signal
import subprocess

import pytest
from shell.session import Session

FIT = "-k 8 -q --validation b.csv --patience 6 --accelerate none --tol 0 --checkpoint-steps 7 a.csv"


@pytest.fixture
def halves(session: Session) -> Session:
    """Return a session with the two halves of a table."""
    header, *lines = (session.directory / "faithful.csv").read_text().splitlines(keepends=True)
    for name, part in (("a.csv", lines[::2]), ("b.csv", lines[1::2])):
        (session.directory / name).write_text(header + "".join(part))
    return session


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_killed_stops_at_the_same_step(halves: Session, signum: signal.Signals) -> None:
    """Between two checks, and at the moment that it is repeated: one content digest."""
    whole = json.loads(halves.run(f"gmmcli fit --json -m whole {FIT}").stdout)
    command = ["gmmcli", "fit", "-m", "parts", "-vv", *FIT.replace("-q ", "").split()]
    for step in (3, 12, 23):
        with subprocess.Popen(
            command, cwd=halves.directory, env=halves.environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert any(f"step {step}," in line for line in process.stderr)
            process.send_signal(signum)
            process.stderr.read()
        assert process.returncode == -signum
    parts = json.loads(halves.run(f"gmmcli fit --json -m parts {FIT}").stdout)

    assert parts["validation"] == whole["validation"]
    assert parts["global_step"] == whole["global_step"] == whole["validation"]["global_step"]
    assert parts["content_digest"] == whole["content_digest"]
    checks = [
        (event["global_step"], event["mean_log_likelihood"])
        for event in map(json.loads, (halves.directory / "whole" / "log.jsonl").read_text().splitlines())
        if event["event"] == "validation"
    ]
    assert max(checks, key=lambda check: check[1])[0] == whole["global_step"]
    assert checks[-1][0] == whole["global_step"] + 6 * 7


def test_a_best_checkpoint_that_was_not_republished_is_by_the_run_that_is_repeated(halves: Session) -> None:
    """Killed between the last check and the end of a counted run; a third run has nothing to do."""
    options = "-k 6 --init random --validation b.csv --checkpoint-steps 3 --max-steps 12 --keep 0"
    fit = f"gmmcli fit -q --json -m m {options}"
    whole = json.loads(halves.run(f"{fit} a.csv").stdout)
    assert whole["global_step"] == whole["validation"]["global_step"] < 12
    model, number = halves.directory / "m", whole["checkpoint"]
    (model / "checkpoints" / f"ckpt-{number:09d}.h5").unlink()
    (model / "latest.h5").unlink()
    lines = (model / "log.jsonl").read_text().splitlines(keepends=True)
    published = [json.loads(line).get("checkpoint") == number for line in lines]
    (model / "log.jsonl").write_text("".join(lines[: published.index(True)]))

    again, third = (json.loads(halves.run(f"{fit} a.csv").stdout) for _ in range(2))

    assert again["content_digest"] == third["content_digest"] == whole["content_digest"]
    assert again["checkpoint"] == third["checkpoint"] == whole["checkpoint"]


@pytest.mark.parametrize("options", ["", "--accelerate none", "--batch-size 40 --tol 1e-4"])
def test_a_run_that_converged_beyond_its_best_checkpoint_has_nothing_to_do(
    halves: Session, options: str
) -> None:
    """Repeated, it writes nothing; with another tolerance it goes on."""
    fit = f"gmmcli fit -q --json -m m -k 6 --seed 1 --init random --validation b.csv {options} a.csv"
    step = halves.run(f"{fit} --require-convergence")
    first = json.loads(step.stdout)
    assert step.status == 0
    assert first["validation"]["global_step"] == first["global_step"]

    again = json.loads(halves.run(fit).stdout)

    assert (again["checkpoint"], again["passes"]) == (first["checkpoint"], 0)
    assert again["content_digest"] == first["content_digest"]
    closer = json.loads(halves.run(f"{fit} --tol 1e-9").stdout)
    assert closer["passes"] > 0


@pytest.mark.parametrize("step", [20, 34, 35])
def test_a_checked_run_with_a_cap_ends_at_the_same_digest_wherever_it_is_stopped(
    halves: Session, step: int
) -> None:
    """Its cap counts from where it began, until its best checkpoint has been republished."""
    options = "-k 6 --seed 1 --init random --tol 0 --max-iter 35 --validation b.csv a.csv"
    whole = json.loads(halves.run(f"gmmcli fit -q --json -m whole {options}").stdout)
    command = ["gmmcli", "fit", "-m", "m", "-vv", *options.split()]
    with subprocess.Popen(
        command, cwd=halves.directory, env=halves.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any(f"step {step}," in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()

    again = json.loads(halves.run(f"gmmcli fit -q --json -m m {options}").stdout)

    if process.returncode == -signal.SIGTERM:  # else it has ended before, and begun anew
        assert again["content_digest"] == whole["content_digest"]


def test_a_validation_table_of_several_files_is_all_of_them(halves: Session) -> None:
    """Another second file is another table."""
    (halves.directory / "c.csv").write_text("eruptions,waiting\n3,70\n4,80\n")
    fit = "gmmcli fit -q --json -m m -k 2 --init random --steps 10 --validation '[bc].csv' a.csv"
    assert json.loads(halves.run(fit).stdout)["validation"]["rows"] == 138
    (halves.directory / "c.csv").write_text("eruptions,waiting\n" + "1,1\n2,200\n" * 99)

    again = json.loads(halves.run(fit.replace("-k 2 --init random ", "")).stdout)["validation"]

    assert again["rows"] == 136 + 198
    assert again["mean_log_likelihood"] < -10


def test_another_validation_table_knows_nothing_of_the_first(halves: Session) -> None:
    """Neither its best nor its patience."""
    assert halves.run(f"gmmcli fit -m m {FIT}").status == 0

    again = json.loads(
        halves.run("gmmcli fit -m m -q --json --validation faithful.csv --steps 14 a.csv").stdout
    )

    assert again["validation"]["rows"] == 272
    assert again["validation"]["misses"] <= 2
