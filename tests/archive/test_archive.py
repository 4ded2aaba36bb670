"""Model directories that earlier versions wrote open for ever.

Each directory was written by the version that brought its format, from examples/faithful.csv: three steps,
then two more. They are never written again; a new format gets new ones beside them.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gmmcli.core.mixture import COVARIANCE_TYPES
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


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
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


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_model_of_format_1_passes_the_check(covariance_type, tmp_path):
    """Every file, also the checkpoint before the newest, is sound."""
    model = _copy(covariance_type, tmp_path)

    assert check(model, "full") == []


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
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


def _copy(covariance_type: str, tmp_path: Path) -> Path:
    """Return a copy that may be written to."""
    return Path(
        shutil.copytree(HERE / f"format-1.0-{covariance_type}", tmp_path / covariance_type, symlinks=True)
    )
