"""Forged numbers behind a right digest: a verb refuses the checkpoint with 76, or works without a warning.

Each number of each model of the archive is replaced, whole or in its first element. `decode` must refuse the
file, or every verb must succeed. A warning of numpy fails the test.
"""

import io
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from gmmcli.cli import inspection
from gmmcli.errors import CheckpointCorrupt, GmmError
from gmmcli.fitting.request import FitRequest
from gmmcli.jobs import inspect as inspecting
from gmmcli.jobs.export import ExportRequest, export
from gmmcli.jobs.fit import fit
from gmmcli.jobs.predict import PredictRequest, predict
from gmmcli.jobs.score import ScoreRequest, score
from gmmcli.store import user_block
from gmmcli.store.checkpoint import decode
from gmmcli.store.verify import check
from gmmcli.tables.operands import TableRequest

ARCHIVE = Path(__file__).parents[1] / "archive"
TABLE = str(ARCHIVE.parents[1] / "examples" / "faithful.csv")
PARTIAL, MODEL, MEMORY = {"partial": True}, ("mixture", "state", "statistics"), ("training/run",)
BATCHES, VALIDATION = {"steps": 8, "batch_size": 60}, {"steps": 2, "validation": TABLE}
# Directory of the archive: how fit continues it, so that it reads the items that begin with these paths.
MODELS = {
    "format-1.1-partial": (PARTIAL, ("",)),
    "format-1.0-tied": (PARTIAL, MODEL),
    "format-1.0-diag": (PARTIAL, MODEL),
    "format-1.0-spherical": (PARTIAL, MODEL),
    "format-1.0-accelerated": ({"max_iter": 8}, MEMORY),
    "format-1.0-batches": (BATCHES, MEMORY),
    "format-1.0-validation": (VALIDATION, MEMORY),
    "format-1.1-accelerated": ({"max_iter": 8}, ("training",)),
    "format-1.1-batches": (BATCHES, MEMORY),
    "format-1.1-validation": (VALIDATION, MEMORY),
}
NUMBERS = (np.nan, np.inf, -np.inf, 1e308, -1e308, -1.0, 0.0, 5e-324)
# Numbers of another size or rank than an item has.
SHAPES = {
    "empty": lambda x: x[:0],
    "a row less": lambda x: x[:-1],
    "a row more": lambda x: np.concatenate([x, x[-1:]]),
    "a rank more": lambda x: x[..., None],
    "a rank less": lambda x: x.reshape(-1),
}


def newest(model):
    """Return the file of the newest checkpoint."""
    return max((model / "checkpoints").iterdir())


def numbers_of(data):
    """Return every number of a checkpoint: group, name and value of the float items."""
    found = {}

    def look(path, item):
        for name, value in item.attrs.items():
            if np.asarray(value).dtype == np.float64:
                found[f"{path}@{name}"] = np.asarray(value)
        if isinstance(item, h5py.Dataset) and item.dtype == np.float64:
            found[path] = item[()]

    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(look)
    return found


def forged(data, path, value):
    """Return the file with another number, sealed again."""
    image = io.BytesIO(data)
    with h5py.File(image, "r+") as file:
        owner, _, name = path.partition("@")
        if name:
            file[owner].attrs.create(name, value)
        else:
            del file[path]
            chunks = tuple(max(size, 1) for size in value.shape)
            file.create_dataset(path, data=value, chunks=chunks, maxshape=chunks)
    payload = image.getvalue()[user_block.SIZE :]
    return user_block.pack(payload) + payload


def probes(array):
    """Yield a name and a value for each probe of an item."""
    for number in NUMBERS:
        yield f"all {number:g}", np.full_like(array, number)
        if array.size > 1 and number in (1e308, -1.0, 0.0):
            first = array.copy()
            first.reshape(-1)[0] = number
            yield f"one {number:g}", first
    if array.ndim:
        for name, change in SHAPES.items():
            if change(array).shape != array.shape:
                yield name, change(array)


def run_all_verbs(model, data, options):
    """Run every verb on a model with these bytes as its newest checkpoint; return their exit statuses."""
    newest(model).write_bytes(data)
    table = TableRequest((TABLE,))
    verbs = {
        "predict": lambda: predict(
            PredictRequest(
                model,
                table,
                stdout=io.BytesIO(),
                outputs=("all",),
                outlier_quantile=0.01,
                output=None,
                output_format="csv",
                passed=(),
                checkpoint=None,
                batch_size=None,
                missing=None,
            ),
            lambda _: None,
            lambda _: None,
        ),
        "score": lambda: score(ScoreRequest(model, table), lambda _: None),
        "inspect": lambda: show(inspecting.inspect(model), model),
        "check": lambda: check(model, "full"),
        "export": lambda: export(ExportRequest(model, "json")),
        "fit": lambda: fit(FitRequest(model, table, **options), lambda _: None, lambda _: None),
    }
    statuses = {}
    for name, verb in verbs.items():
        try:
            verb()
            statuses[name] = 0
        except GmmError as error:
            statuses[name] = error.status
        except Exception as error:
            pytest.fail(f"{name}: {type(error).__name__}: {error}")
    return statuses


def show(report, model):
    """Render everything that inspect prints."""
    inspection.as_json(report, inspecting.list_kept(model))
    inspection.summary(report, [1])
    inspection.history(str(model), inspecting.history(model), as_json=True)
    for name in inspecting.variables(report.checkpoint):
        inspection.variable(report, name, as_json=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_forged_number_is_refused_or_does_no_harm(name, tmp_path):
    """NaN, infinities, huge, negative, zero and subnormal numbers; arrays of another size or rank."""
    options, prefixes = MODELS[name]
    model = Path(shutil.copytree(ARCHIVE / name, tmp_path / "m", symlinks=True))
    whole = newest(model).read_bytes()
    n_refused = 0
    for path, array in numbers_of(whole).items():
        for probe, value in probes(array) if path.startswith(prefixes) else ():
            data = forged(whole, path, value)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    decode(data, "m")
                except CheckpointCorrupt:
                    n_refused += 1
                    continue
                statuses = run_all_verbs(
                    shutil.copytree(model, tmp_path / f"{path.replace('/', ' ')} {probe}"), data, options
                )
            assert set(statuses.values()) == {0}, (path, probe, statuses)
    assert n_refused > 0


def test_the_models_are_continued_as_they_are(tmp_path):
    """Otherwise the test above would not show that forged numbers do no harm."""
    for name, (options, _) in MODELS.items():
        model = Path(shutil.copytree(ARCHIVE / name, tmp_path / name, symlinks=True))

        assert set(run_all_verbs(model, newest(model).read_bytes(), options).values()) == {0}
