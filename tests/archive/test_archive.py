"""Model directories that earlier versions wrote still open.

Each directory was written by the version that brought its format, or the last of it, from
examples/faithful.csv: three steps, then two more; or runs with a memory of their own, which RUNS continues.
They are never written again; a new format gets new ones beside them.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gmmcli.fitting.request import FitRequest
from gmmcli.jobs.fit import fit
from gmmcli.jobs.inspect import inspect
from gmmcli.store.verify import check
from gmmcli.tables.operands import TableRequest

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
EXPECTED = {
    row["covariance_type"]: row for row in map(json.loads, (HERE / "expected.jsonl").read_text().splitlines())
}


@pytest.mark.parametrize("covariance_type", EXPECTED)
def test_a_model_of_format_1_reads_as_it_was_written(covariance_type):
    """Its digest, its numbers and its lineage are those of the day it was written."""
    report = inspect(HERE / f"format-1.0-{covariance_type}")

    expected = EXPECTED[covariance_type]
    assert report.content_digest == expected["content_digest"]
    assert report.checkpoint.global_step == expected["global_step"] == 5
    assert report.provenance.lineage == expected["lineage"]
    assert report.fitness.log_likelihood == expected["log_likelihood"]
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(report.checkpoint.mixture, name), np.array(expected[name]))


@pytest.mark.parametrize("covariance_type", EXPECTED)
def test_a_model_of_format_1_passes_the_check(covariance_type, tmp_path):
    """Every file, also the checkpoint before the newest, is sound."""
    model = _copy(covariance_type, tmp_path)

    assert check(model, "full") == []


@pytest.mark.parametrize("covariance_type", EXPECTED)
def test_a_model_of_format_1_is_continued(covariance_type, tmp_path):
    """A further step on the same table improves on it and stays in its lineage."""
    model = _copy(covariance_type, tmp_path)

    report = fit(
        FitRequest(model, TableRequest((str(EXAMPLES / "faithful.csv"),)), steps=1),
        notify=lambda notice: None,
        progress=lambda text: None,
    )

    assert (report.checkpoint, report.global_step) == (3, 6)
    assert report.log_likelihood >= EXPECTED[covariance_type]["log_likelihood"] - 1e-9
    assert inspect(model).provenance.lineage == EXPECTED[covariance_type]["lineage"]
    assert check(model, "full") == []


# Content digest of the directory; what continues it; where that led on the day when it was written.
RUNS = {
    "accelerated": (
        "53e6109e3369d3c89ae66c6d52fde41b1724676513e3a2e39a4621eacff81127",
        {"max_iter": 40},
        (52, -1127.071668458198),
    ),
    "batches": (
        "03de51997b2db87fea97cc7ea44e8d27e873a74503bbd682acd4989af3a83e21",
        {"steps": 8, "batch_size": 60},
        (15, -1130.4558181965701),
    ),
    "validation": (
        "0dcbcbdc48dbe9702a82b5bd8ad9a641411f8c74dea1c8a4b8c130e19bb817c0",
        {"steps": 20, "validation": str(EXAMPLES / "faithful.csv")},
        (45, -1127.1589500787231),
    ),
    "partial": (
        "8b863daac183b24159e82cb0b27802488f43182ff7ce4dad4538ef1f50ff35e7",
        {"partial": True},
        (3, -3390.791884128247),
    ),
}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("name", RUNS)
def test_the_memory_of_a_run_outlives_its_format(name, version, tmp_path):
    """Both formats have the same digest, and are continued alike."""
    digest, options, expected = RUNS[name]
    model = _copy(name, tmp_path, version)
    assert check(model, "full") == []
    assert inspect(model).content_digest == digest

    report = fit(
        FitRequest(model, TableRequest((str(EXAMPLES / "faithful.csv"),)), **options),
        notify=lambda notice: None,
        progress=lambda text: None,
    )

    assert (report.global_step, report.log_likelihood) == (expected[0], pytest.approx(expected[1], rel=1e-9))
    assert check(model, "full") == []


def _copy(name: str, tmp_path: Path, version: str = "1.0") -> Path:
    """Return a copy that may be written to."""
    return Path(shutil.copytree(HERE / f"format-{version}-{name}", tmp_path / name, symlinks=True))
