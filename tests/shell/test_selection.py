"""fit chooses among several models: what it finds, what it keeps, and what a kill costs."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from shell.session import Session, write_table

from gmmcli.core.families import FAMILIES
from gmmcli.fitting.rows import part_of
from gmmcli.store.candidates import key_of, list_candidates
from gmmcli.store.checkpoint import content_digest

# How often a sweep is killed; 50 for the longer suite.
KILLS = int(os.environ.get("GMMCLI_SWEEP_KILLS", "5"))
SWEEP = "-k 1:3 --covariance-type all faithful.csv"


def models_of(session: Session, model: str) -> dict[tuple[int, str], dict[str, object]]:
    """Return what inspect --selection says of each model."""
    report = json.loads(session.run(f"gmmcli inspect -m {model} --selection --json").stdout)
    return {(one["components"], one["covariance_type"]): one for one in report["models"]}


def digests_of(path: Path) -> dict[tuple[int, str], str]:
    """Return the content digest of each candidate."""
    return {key_of(one): content_digest(one.checkpoint) for one in list_candidates(path)}


def test_a_sweep_killed_and_started_again_ends_as_an_undisturbed_one(empty_session: Session) -> None:
    """Killed after some lines of its progress, again and again."""
    session, rng = empty_session, np.random.default_rng(0)
    for _ in range(KILLS):
        with session.start("fit", "-m", "killed", "-vv", *SWEEP.split()) as process:
            assert process.stderr is not None
            for _ in range(int(rng.integers(1, 60))):
                process.stderr.readline()
            process.kill()
    for model in ("killed", "whole"):
        assert session.run(f"gmmcli fit -m {model} {SWEEP}").status == 0

    assert digests_of(session.directory / "killed") == digests_of(session.directory / "whole")
    assert len(list((session.directory / "killed/candidates").iterdir())) == 18
    killed, whole = (
        json.loads(session.run(f"gmmcli inspect -m {m} --json").stdout) for m in ("killed", "whole")
    )
    assert killed["content_digest"] == whole["content_digest"]
    assert session.run("gmmcli inspect -m killed --check").status == 0


def test_a_signal_says_how_many_models_are_fitted(empty_session: Session) -> None:
    """They are kept."""
    with empty_session.start("fit", "-m", "new", "-vv", *SWEEP.split()) as process:
        assert process.stderr is not None
        while "3 components" not in process.stderr.readline():
            pass
        process.terminate()
        rest = process.stderr.read()

    assert "12 models were fitted; run the same command to continue" in rest
    assert len(digests_of(empty_session.directory / "new")) >= 12
    missing = empty_session.run("gmmcli predict -m new faithful.csv")
    assert (missing.status, "not chosen" in missing.stderr) == (66, True)


def test_no_sound_model_is_less_likely_than_one_that_is_nested_in_it(empty_session: Session) -> None:
    """Fewer components of the same family, or a narrower family."""
    rng = np.random.default_rng(5)
    rows = np.vstack(
        [rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3)) + 3 * rng.normal(size=3) for _ in "abc"]
    )
    write_table(empty_session.directory / "t.csv", rows)
    assert empty_session.run("gmmcli fit -m new -k 1:4 --covariance-type all t.csv").status == 0
    found = models_of(empty_session, "new")

    assert len(found) == 24
    for (K, kind), one in found.items():
        inside = [(K - 1, kind), *((K, other) for other in FAMILIES if FAMILIES[kind].contains(other))]
        for key in inside:
            if key in found and found[key]["flaw"] is None:
                assert found[key]["log_likelihood"] <= one["log_likelihood"] + 1e-3, (key, K, kind)


def test_more_models_later_fit_only_what_is_missing(empty_session: Session) -> None:
    """The files of earlier candidates stay."""
    session = empty_session
    assert session.run("gmmcli fit -m new -k 1:3 faithful.csv").status == 0
    before = {path: path.stat().st_mtime_ns for path in (session.directory / "new/candidates").iterdir()}
    assert session.run("gmmcli fit -m new -k 1:5 faithful.csv").status == 0

    after = {path: path.stat().st_mtime_ns for path in (session.directory / "new/candidates").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 5


def test_a_damaged_candidate_is_a_finding_and_is_fitted_again(empty_session: Session) -> None:
    """The others are not."""
    session = empty_session
    assert session.run("gmmcli fit -m new -k 1:3 faithful.csv").status == 0
    expected = digests_of(session.directory / "new")
    damaged = session.directory / "new/candidates/ckpt-000000002.h5"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)

    check = session.run("gmmcli inspect -m new --check")
    assert (check.status, check.stdout.startswith("candidates/ckpt-000000002.h5: ")) == (76, True)
    assert session.run("gmmcli fit -m new -k 1:3 faithful.csv").status == 0
    assert digests_of(session.directory / "new") == expected
    assert session.run("gmmcli inspect -m new --check").status == 0


def test_automatic_numbers_go_on_while_the_criterion_improves(empty_session: Session) -> None:
    """Eleven clusters are more than the nine that are always tried."""
    rng = np.random.default_rng(2)
    centers = 20 * np.array([(i % 4, i // 4) for i in range(11)])
    write_table(empty_session.directory / "t.csv", np.repeat(centers, 30, axis=0) + rng.normal(size=(330, 2)))
    result = empty_session.run("gmmcli fit -m new --covariance-type spherical t.csv")

    assert (result.status, result.stderr) == (0, "")
    found = models_of(empty_session, "new")
    assert found[11, "spherical"]["chosen"]
    assert max(K for K, _ in found) == 12


def test_two_cigars_are_two(empty_session: Session) -> None:
    """Long clusters side by side, with no option at all."""
    rng = np.random.default_rng(0)
    halves = [np.c_[20 * rng.normal(size=500), 0.5 * rng.normal(size=500) + y] for y in (1.5, -1.5)]
    write_table(empty_session.directory / "cigars.csv", np.vstack(halves))
    assert empty_session.run("gmmcli fit -m new cigars.csv").status == 0
    labels = empty_session.run("gmmcli predict -m new --outputs assignment cigars.csv").stdout.split()[1:]

    first, second = np.array(labels[:500]), np.array(labels[500:])
    assert set(labels) == {"0", "1"}
    assert max(np.mean((first == a) & (second != a)) for a in "01") > 0.99


def test_cross_validation_of_one_gaussian_is_that_of_its_formula(empty_session: Session) -> None:
    """The parts are those of the hash of the row numbers; the error is that of the means of the parts."""
    rows = np.random.default_rng(3).normal(size=(90, 2)) * [1.0, 30.0]
    write_table(empty_session.directory / "t.csv", rows)
    assert empty_session.run("gmmcli fit -m new -k 1,2 --criterion cv --folds 4 t.csv").status == 0
    parts, means = part_of(np.arange(90), 4), []
    for part in range(4):
        others = rows[parts != part]
        one = multivariate_normal(others.mean(axis=0), np.cov(others.T, bias=True))
        means.append(one.logpdf(rows[parts == part]).mean())

    found = models_of(empty_session, "new")[1, "full"]
    assert found["cv"] == pytest.approx(np.average(means, weights=np.bincount(parts)), rel=1e-9)
    assert found["cv_error"] == pytest.approx(np.std(means, ddof=1) / 2, rel=1e-9)
    assert np.bincount(parts).min() > 10


def test_too_few_rows_for_the_folds_are_said(empty_session: Session) -> None:
    """Instead of a choice without a criterion."""
    (empty_session.directory / "t.csv").write_text("x\n1\n2\n3\n")

    result = empty_session.run("gmmcli fit -m new --criterion cv t.csv")

    assert result.status == 65
    assert result.stderr.endswith("hint: --criterion bic\n")
