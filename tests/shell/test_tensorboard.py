"""The extra gmmcli[tensorboard]: event files that say what log.jsonl says, where it is installed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shell.session import Session, write_table

PYTHON = Path(sys.prefix).with_name("extras") / "bin" / "python"
READ = Path(__file__).with_name("read_events.py")


@pytest.fixture
def session(tmp_path):
    assert PYTHON.exists(), f"{PYTHON} does not exist: the tests need the extra (make test)"
    return Session(tmp_path)


def fit(session, options):
    step = session.run(f"{PYTHON} -m gmmcli fit -m m -k 2 {options} faithful.csv")
    assert step.stdout == ""
    return step


def curves(session):
    """Return step and value of every tag, over all files of the model's directory."""
    found = {}
    for path in sorted(
        (session.directory / "m" / "events").iterdir(), key=lambda path: path.stat().st_mtime_ns
    ):
        printed = subprocess.run([PYTHON, READ, path], capture_output=True, text=True, check=True).stdout
        for line in map(json.loads, printed.splitlines()):
            found.setdefault(line["tag"], []).append((line["step"], np.float32(line["value"])))
    return found


def points_of(log, event):
    """Return step and likelihood of every line of the log of one kind, in single precision."""
    lines = [line for line in log if line["event"] == event]
    return [(line["global_step"], np.float32(line["mean_log_likelihood"])) for line in lines]


def test_curves_are_those_of_the_log(session):
    """Step by step, checks and checkpoints too; a second run has a file of its own."""
    for options in ("--steps 12 --log-every 5 --validation faithful.csv", "--steps 3 --log-every 1"):
        assert fit(session, options).status == 0
    log = [json.loads(line) for line in (session.directory / "m" / "log.jsonl").read_text().splitlines()]

    found = curves(session)

    told = {event: points_of(log, event) for event in ("step", "checkpoint", "end", "validation")}
    assert found["validation/mean_log_likelihood"] == told.pop("validation")
    checks = [line for line in log if line["event"] == "validation"]
    best = max(checks, key=lambda line: line["mean_log_likelihood"])["global_step"]
    steps = [0, 5, 10, 12, best + 1, best + 2, best + 3]  # the second run begins at the best
    assert [step for step, _ in found["training/mean_log_likelihood"]] == steps
    assert {step for points in told.values() for step, _ in points} == set(steps)
    assert set(found["training/mean_log_likelihood"]) <= {
        point for points in told.values() for point in points
    }
    assert len(list((session.directory / "m" / "events").iterdir())) == 2
    assert session.run("gmmcli inspect -m m --check full").stdout == ""


def test_the_model_is_the_same_with_and_without(session):
    """And workers, which are forked, leave the file alone."""
    assert fit(session, "--steps 5 --log-every 1 --threads 2").status == 0
    plain = session.run("gmmcli fit -m plain -k 2 --steps 5 --threads 2 faithful.csv")

    digests = [session.run(f"gmmcli inspect -m {name} --json").stdout for name in ("m", "plain")]

    assert plain.status == 0
    assert len({json.loads(text)["content_digest"] for text in digests}) == 1
    assert len(curves(session)["training/mean_log_likelihood"]) == 6
    assert not (session.directory / "plain" / "events").exists()


def test_without_a_log_of_steps_there_is_no_event_file(session):
    """The way to be without one where the library happens to be installed."""
    assert fit(session, "--steps 2 --log-every 0").status == 0

    assert not (session.directory / "m" / "events").exists()


def test_a_run_that_publishes_nothing_leaves_nothing(session):
    """Not even what it had to say on the way."""
    rows = np.concatenate([np.random.default_rng(0).normal(size=(30, 2)), np.full((6, 2), 3.0)])
    write_table(session.directory / "faithful.csv", rows)

    step = fit(session, "-vv --log-every 1 --min-sd 0 --init random --seed 1")

    assert "note: step 3," in step.stderr
    assert step.status == 70
    assert not (session.directory / "m").exists()


@pytest.mark.parametrize("obstacle", ["link", "file", "full"])
def test_an_event_file_that_cannot_be_written_is_told_of_and_the_fit_goes_on(session, obstacle):
    """A link in the place of events/ is not followed."""
    assert fit(session, "--steps 2 --log-every 0").status == 0
    events, elsewhere = session.directory / "m" / "events", session.directory / "elsewhere"
    elsewhere.mkdir()
    if obstacle == "link":
        events.symlink_to(elsewhere)
    elif obstacle == "file":
        events.write_text("")
    else:  # every file of the library's is /dev/full
        broken = session.directory / "broken" / "sitecustomize.py"
        broken.parent.mkdir()
        broken.write_text(
            "import tensorboardX.record_writer as r\nr.open_file = lambda path: open('/dev/full', 'wb')\n"
        )
        session.environment["PYTHONPATH"] = str(broken.parent)

    step = fit(session, "--steps 2 --log-every 1")

    assert step.status == 0
    said = "No space left on device" if obstacle == "full" else "is a link, or has the wrong file type"
    assert re.fullmatch(rf"gmmcli fit: warning: no event file: .*{said}.*\n", step.stderr)
    assert list(elsewhere.iterdir()) == []
    assert json.loads(session.run("gmmcli inspect -m m --json").stdout)["global_step"] == 4


def test_a_library_that_cannot_be_loaded_is_told_of_once(session):
    """The fit does what it does without."""
    broken = session.directory / "broken" / "tensorboardX"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('protobuf is too old')")
    session.environment["PYTHONPATH"] = str(broken.parent)

    step = session.run("gmmcli fit -m m -k 2 --steps 3 --log-every 1 faithful.csv")

    assert step.status == 0
    assert step.stderr == "gmmcli fit: warning: no event file: protobuf is too old\n"
