"""Findings: every fault is found, and nothing else is."""

import os
import subprocess
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from gmmcli.core.families import FAMILIES
from gmmcli.core.precision import precision_factors
from gmmcli.errors import CheckpointCorrupt, CovarianceNotPositive, NotFound
from gmmcli.remedies import Rollback
from gmmcli.store.agreement import find_contradictions
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import ModelDir
from gmmcli.store.verify import Finding, check


@pytest.fixture
def model(tmp_path, build):
    """Return a model directory with three checkpoints."""
    with Writer(tmp_path / "m") as writer:
        for step in (1, 2, 3):
            writer.publish(build(global_step=step))
    return tmp_path / "m"


def file_of(model, generation):
    """Return the path of a checkpoint."""
    return model / "checkpoints" / f"ckpt-{generation:09d}.h5"


@pytest.mark.parametrize("level", ["quick", "full"])
def test_what_is_not_damage_is_not_found(model, level):
    """Leftovers, `.bad` files, hidden names, a stale latest.h5, an incomplete log line, events/."""
    (model / "checkpoints" / ".ckpt-000000004.h5.1-01234567.tmp").touch()
    (model / "checkpoints" / "ckpt-000000009.h5.bad").touch()
    (model / ".DS_Store").touch()
    (model / "events").mkdir()
    (model / "latest.h5").unlink()
    (model / "latest.h5").symlink_to("checkpoints/ckpt-000000001.h5")
    with (model / "log.jsonl").open("a") as log:
        log.write('{"torn')

    assert check(model, level) == []


def put_stranger(model):
    (model / "notes.txt").touch()


def put_strange_checkpoint(model):
    (model / "checkpoints" / "ckpt-7.h5").touch()


def put_zeroth(model):
    (model / "checkpoints" / "ckpt-000000000.h5").touch()


def truncate(model):
    os.truncate(file_of(model, 2), 700)


def put_link(model):
    file_of(model, 3).unlink()
    file_of(model, 3).symlink_to(file_of(model, 2))


def lead_latest_away(model):
    (model / "latest.h5").unlink()
    (model / "latest.h5").symlink_to("../other/ckpt-000000001.h5")


def copy_latest(model):
    (model / "latest.h5").unlink()
    (model / "latest.h5").touch()


def spoil_log(model):
    event = '{"time": "2026-01-01T00:00:00Z", "event": "start"}\n'
    (model / "log.jsonl").write_text(f'{event}nonsense\n[1]\n{{"time": 5, "event": "start"}}\n{event}')


def link_log(model):
    (model / "log.jsonl").unlink()
    (model / "log.jsonl").symlink_to("lock")


def put_events_file(model):
    (model / "events").touch()


QUICK = [
    (put_stranger, "notes.txt", "is not part of a model directory"),
    (put_strange_checkpoint, "checkpoints/ckpt-7.h5", "is not the name of a checkpoint"),
    (put_zeroth, "checkpoints/ckpt-000000000.h5", "is not the name of a checkpoint"),
    (truncate, "checkpoints/ckpt-000000002.h5", "188 bytes after the user block, recorded are"),
    (put_link, "checkpoints/ckpt-000000003.h5", "is a symbolic link"),
    (lead_latest_away, "latest.h5", "points to ../other/ckpt-000000001.h5"),
    (copy_latest, "latest.h5", "is not a symbolic link"),
    (spoil_log, "log.jsonl", "3 lines are not events, the first is line 2"),
    (link_log, "log.jsonl", "is a symbolic link"),
    (put_events_file, "events", "is a link, or has the wrong file type"),
]


@pytest.mark.parametrize("level", ["quick", "full"])
@pytest.mark.parametrize(("spoil", "file", "text"), QUICK, ids=[case[0].__name__ for case in QUICK])
def test_what_a_quick_look_shows_is_found(model, spoil, file, text, level):
    """Both levels report each fault with the name of its file."""
    spoil(model)

    findings = check(model, level)

    assert any(finding.file == file and text in finding.text for finding in findings), findings
    assert {finding.file for finding in findings} == {file}


def test_a_flipped_bit_takes_a_full_check(model):
    """User block and size are right, but the digest is wrong."""
    data = bytearray(file_of(model, 2).read_bytes())
    data[5000] ^= 4
    file_of(model, 2).write_bytes(data)

    assert check(model, "quick") == []
    (finding,) = check(model, "full")
    assert finding.file == "checkpoints/ckpt-000000002.h5"
    assert finding.text.startswith("SHA-256 is ")


def test_a_checkpoint_of_another_run_breaks_the_chain(model, build, tmp_path):
    """It is whole and has the right number, but another parent."""
    with Writer(tmp_path / "other") as writer:
        for step in (7, 8):
            writer.publish(build(global_step=step))
    file_of(model, 2).write_bytes(file_of(tmp_path / "other", 2).read_bytes())

    findings = check(model, "full")

    assert [finding.file[-5:] for finding in findings] == ["02.h5", "03.h5"]
    assert all("records parent SHA-256" in finding.text for finding in findings)


def test_a_gap_in_the_chain_is_not_a_finding(model):
    """Retention leaves gaps; a parent that is gone cannot be compared."""
    file_of(model, 2).unlink()

    assert check(model, "full") == []


@pytest.mark.parametrize("level", ["quick", "full"])
def test_a_missing_or_empty_directory_is_not_found(tmp_path, level):
    """There is nothing to have findings about."""
    with pytest.raises(NotFound, match="no such model directory"):
        check(tmp_path / "nowhere", level)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    with pytest.raises(NotFound, match="holds no checkpoint"):
        check(tmp_path / "empty", level)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_consistent_checkpoint_of_any_type_has_no_contradictions(build, covariance_type):
    """Far from the origin too, where the table's units have rounding errors."""
    checkpoint = build(covariance_type)
    units = replace(checkpoint.units, center=checkpoint.units.center + 1e9)

    assert find_contradictions(checkpoint) == []
    far = replace(checkpoint, units=units, mixture=units.to_table(checkpoint.state))
    assert find_contradictions(far) == []


def altered(part, **changes):
    """Return a change of one part of a checkpoint; each value is a function of the old one."""

    def change(checkpoint):
        old = getattr(checkpoint, part)
        return replace(
            checkpoint, **{part: replace(old, **{k: f(getattr(old, k)) for k, f in changes.items()})}
        )

    return change


CONTRADICTIONS = [
    (altered("mixture", means=lambda x: x * (1 + 1e-6)), "the means of /mixture and /state differ by"),
    (
        altered("mixture", covariances=lambda x: x * (1 + 1e-6)),
        "the covariances of /mixture and /state differ by",
    ),
    (altered("mixture", weights=lambda x: x[::-1]), "the weights of /mixture and /state differ by"),
    (altered("state", weights=lambda x: x * (1 + 1e-7)), "the weights of /mixture and /state differ by"),
    (
        altered("mixture", covariances=lambda x: x - 2 * x * np.eye(2)),
        "a variance of /mixture is negative",
    ),
    (altered("statistics", total_weight=lambda x: x + 1), "the counts sum to 150"),
    (
        altered("statistics", squares=lambda x: x - 2 * x * np.eye(2)),
        "counts, sums and squares of the statistics are not those of rows",
    ),
    (
        altered("statistics", sums=lambda x: x + 100),
        "counts, sums and squares of the statistics are not those of rows",
    ),
    (
        altered("statistics", counts=lambda x: x + np.array([-200, 100, 100])),
        "a count of the statistics is negative",
    ),
    (
        lambda c: replace(c, quantiles=c.quantiles[::-1]),
        "the quantiles of the log densities are not ascending",
    ),
    (lambda c: replace(c, quantiles=c.quantiles * np.nan), "not ascending"),
]


@pytest.mark.parametrize(("change", "text"), CONTRADICTIONS)
def test_parts_that_contradict_each_other_are_found(build, change, text):
    """A relative difference of 1e-6 is far greater than rounding errors."""
    findings = find_contradictions(change(build("full")))

    assert any(text in finding for finding in findings), findings


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_covariance_that_is_not_positive_definite_is_found(build, covariance_type):
    """The finding names the component."""
    checkpoint = build(covariance_type)
    state = replace(checkpoint.state, covariances=-checkpoint.state.covariances)
    spoilt = replace(checkpoint, state=state, mixture=checkpoint.units.to_table(state))

    findings = find_contradictions(spoilt)

    components = {"tied": 1}.get(covariance_type, 3)
    assert len(findings) == components
    assert findings[0] == "the covariance of component 0 in /state is not positive definite"


def near_singular(rng, covariance_type, K, d):
    """Return covariances of which about half are such that the kernel refuses them."""
    if covariance_type.endswith(("diag", "spherical")):
        shape = (K, d) if covariance_type.endswith("diag") else (K,)
        return 10.0 ** -rng.uniform(0, 110, shape)
    axes = np.linalg.qr(rng.normal(size=(K, d, d)))[0]
    sds = 10.0 ** -rng.uniform(0, 16, (K, 1, d))
    covariances = axes * sds**2 @ axes.swapaxes(1, 2)
    covariances = (covariances + covariances.swapaxes(1, 2)) / 2
    return covariances if covariance_type == "full" else covariances[0]


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_what_is_found_indefinite_is_what_the_kernel_refuses(build, covariance_type):
    """10,000 near-singular covariances: decode and the kernel agree about each."""
    rng = np.random.default_rng(7)
    verdicts = []
    for _ in range(2500):
        d = int(rng.integers(1, 5))
        checkpoint = build(covariance_type, 1, d)
        state = replace(checkpoint.state, covariances=near_singular(rng, covariance_type, 1, d))
        findings = find_contradictions(replace(checkpoint, state=state))
        try:
            precision_factors(state)
            is_refused = False
        except CovarianceNotPositive:
            is_refused = True
        assert any("not positive definite" in finding for finding in findings) == is_refused
        verdicts.append(is_refused)
    assert 0.2 < np.mean(verdicts) < 0.8


@pytest.mark.parametrize(
    ("covariance_type", "covariance"),
    [("full", [[[1, 1], [1, 1 + 6e-16]]]), ("tied", [[1, 1], [1, 1 + 6e-16]]), ("diag", [[1, 1e-100]])],
)
def test_a_pivot_of_rounding_alone_is_found(build, covariance_type, covariance):
    """Although numpy finds a Cholesky factor."""
    checkpoint = build(covariance_type, 1, 2)
    state = replace(checkpoint.state, covariances=np.array(covariance, dtype=float))
    findings = find_contradictions(replace(checkpoint, state=state))
    assert findings[0] == "the covariance of component 0 in /state is not positive definite"


def test_a_finding_is_comparable(model):
    """Two findings of the same fact are equal."""
    put_stranger(model)

    assert check(model, "quick") == [Finding("notes.txt", "is not part of a model directory")]


@pytest.mark.parametrize("level", ["quick", "full"])
def test_a_newest_checkpoint_that_is_gone_is_found(model, level):
    """By the log, or else by latest.h5; the hint is a rollback."""
    file_of(model, 3).unlink()
    text, hint = "names checkpoint 3, the newest is 2", Rollback(str(model), ("data/geyser.csv",))

    assert check(model, level) == [Finding("log.jsonl", text, hint)]
    (model / "log.jsonl").unlink()
    assert check(model, level) == [Finding("latest.h5", text, hint)]


def put_folder(path):
    path.mkdir()


@pytest.mark.parametrize("make", [put_folder, os.mkfifo])
def test_a_log_that_is_no_file_is_found_and_not_waited_for(model, make):
    """The hint moves it away; a fit gives the same hint."""
    log = model / "log.jsonl"
    log.unlink()
    make(log)

    (finding,) = check(model, "quick")
    with pytest.raises(CheckpointCorrupt, match="is not a regular file") as caught, Writer(model):
        pass

    assert (finding.file, finding.text) == ("log.jsonl", "is not a regular file")
    assert finding.hint == caught.value.hint == f"mv {log} {model}.log.jsonl"
    subprocess.run(finding.hint, shell=True, check=True)
    with Writer(model) as writer:
        assert writer.latest().generation == 3
    assert check(model, "full") == []


@pytest.mark.parametrize("number", ["null", "0", "-1", "true", "1000000000", "2.5", '"3"', "[]"])
def test_a_line_with_a_number_that_no_checkpoint_has_is_not_an_event(model, number):
    """It does not hide the last checkpoint; the hint moves the log away."""
    with (model / "log.jsonl").open("a") as log:
        log.write(f'{{"time": "2026-01-01T00:00:00Z", "event": "checkpoint", "checkpoint": {number}}}\n')

    (finding,) = check(model, "quick")

    assert finding.text == "1 line is not an event, the first is line 4"
    with Writer(model) as writer:
        assert writer.latest().generation == 3
    file_of(model, 3).unlink()
    with pytest.raises(CheckpointCorrupt, match="newest checkpoint 3 is missing"):
        ModelDir(model).load()
    subprocess.run(finding.hint, shell=True, check=True)
    assert [finding.file for finding in check(model, "quick")] == ["latest.h5"]


def test_a_log_that_names_the_last_number_there_can_be_is_found_and_given_up(model, build):
    """A rollback gives it up, and there are numbers left to publish."""
    with (model / "log.jsonl").open("a") as log:
        log.write('{"time": "2026-01-01T00:00:00Z", "event": "checkpoint", "checkpoint": 999999999}\n')

    (finding,) = check(model, "full")
    assert finding.text == "names checkpoint 999999999, the newest is 3"
    assert finding.hint == Rollback(str(model), ("data/geyser.csv",))
    with Writer(model) as writer:
        assert writer.rollback().generation == 3
        assert writer.publish(build()).generation == 4

    assert check(model, "full") == []


def test_a_huge_log_takes_little_memory(model):
    """Lines are read one by one, of any length; a hole is not an event."""
    with (model / "log.jsonl").open("r+b") as log:
        log.truncate(1 << 28)
    tracemalloc.start()
    try:
        assert check(model, "quick") == []  # the last line has no end
        with Writer(model) as writer:
            assert writer.latest().generation == 3
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()
