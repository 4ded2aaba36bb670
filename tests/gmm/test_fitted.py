"""How the estimator and its directory hang together: what continues, what is refused, what is left behind."""

import copy
import json
import logging
import os
import pickle
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from shell.session import Session, write_table
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info

from gmmcli import GMM, RunConfig
from gmmcli.errors import (
    CheckpointCorrupt,
    CovarianceNotPositive,
    GmmError,
    NoNumbers,
    TableUnusable,
    Usage,
)
from gmmcli.gmm.arguments import log_notice
from gmmcli.jobs.inspect import inspect, list_generations
from gmmcli.notices import Notice
from gmmcli.store import checkpoint, model_dir


def settings_of(directory):
    return dict(inspect(directory).checkpoint.settings)


def test_a_model_of_the_command_line_keeps_its_settings_and_checkpoints(tmp_path, rows):
    """Settings that the estimator does not give stay those of the model; given ones replace them."""
    write_table(tmp_path / "t.csv", rows)
    options = "--keep 0 --reg-covar 1e-3 --missing drop --params wm --covariance-type diag --accelerate none"
    session = Session(tmp_path)
    assert session.run(f"gmmcli fit -m m -k 2 --steps 8 --checkpoint-steps 1 {options} t.csv").status == 0
    before, kept = settings_of(tmp_path / "m"), list_generations(tmp_path / "m")

    own = {"params": "wm", "covariance_type": "diag", "n_threads": 1}
    GMM(2, tmp_path / "m", **own).fit(rows, steps=1)

    assert settings_of(tmp_path / "m") == before
    assert list_generations(tmp_path / "m") == [*kept, kept[-1] + 1]
    config = RunConfig(keep_checkpoint_max=2)
    GMM(2, tmp_path / "m", **own | {"tol": 1e-3, "params": "w", "config": config}).fit(rows, steps=1)
    assert settings_of(tmp_path / "m") == before | {"tol": 1e-3, "params": "w", "keep": 2}
    assert list_generations(tmp_path / "m") == [kept[-1] + 1, kept[-1] + 2]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"num_clusters": 4}, "num_clusters: 4, but .* has 3"),
        ({"covariance_type": "diag"}, "'diag', but .* full"),
    ],
)
def test_another_mixture_than_the_directory_has_is_an_error_of_every_method(model, rows, others, words):
    """The error comes from methods that read as well as from methods that learn."""
    other = GMM(**{**model.get_params(), **others})

    for call in (other.fit, other.partial_fit, other.predict, other.predict_proba, other.score, other.bic):
        with pytest.raises(Usage, match=words):
            call(rows)
    for call in (other.weights, other.sample, other.get_variable_names, lambda: other.export("e")):
        with pytest.raises(Usage, match=words):
            call()


@pytest.mark.parametrize("kind", ["interrupt", "error"])
def test_what_ends_a_fit_from_outside_loses_no_step(tmp_path, rows, kind):
    """Ctrl-C, and a monitor that fails, after step 7: the model has seven, and the log says why it ended."""

    def monitor(step):
        if step.global_step == 7:
            if kind == "error":
                raise RuntimeError("enough")
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)

    with pytest.raises(RuntimeError if kind == "error" else KeyboardInterrupt):
        GMM(2, tmp_path / "m", n_threads=2).fit(rows, steps=100, monitors=[monitor])

    assert inspect(tmp_path / "m").checkpoint.global_step == 7
    end = json.loads((tmp_path / "m" / "log.jsonl").read_text().splitlines()[-1])
    assert (end["event"], end["error"]) == ("end", "enough" if kind == "error" else "KeyboardInterrupt")
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ("call", "subject"),
    [
        (lambda model, x: model.fit(x, steps=-1), "steps"),
        (lambda model, x: model.fit(x, steps=2.5), "steps"),
        (lambda model, x: model.fit(x, steps="a"), "steps"),
        (lambda model, x: model.fit(x, max_steps=-1), "max_steps"),
        (lambda model, x: model.fit(x, batch_size=0), "batch_size"),
        (lambda model, x: model.fit(x, monitors=print), "monitors"),
        (lambda model, x: model.fit(x, monitors=[object()]), "monitors"),
        (lambda model, x: model.partial_fit(x, steps=-3), "steps"),
        (lambda model, x: model.partial_fit(x, batch_size=-5), "batch_size"),
        (lambda model, x: model.partial_fit("t.csv", batch_size=5), "batch_size"),
        (lambda model, x: model.score(x, np.zeros(90)), "batch_size"),
        (lambda model, x: model.evaluate(x, batch_size=0), "batch_size"),
        (lambda model, x: model.evaluate(x, steps=-1, batch_size=10), "steps"),
        (lambda model, x: model.evaluate("t.csv", steps=1, batch_size=10), "steps"),
        (lambda model, x: model.evaluate(x, checkpoint_path=0), "checkpoint_path"),
        (lambda model, x: model.evaluate(x, checkpoint_path="/m/checkpoints/ckpt-1.h5"), "checkpoint_path"),
        (lambda model, x: model.sample(-1), "n_samples"),
        (lambda model, x: model.export("e", exports_to_keep=0), "exports_to_keep"),
        (lambda model, x: RunConfig(keep_checkpoint_max=-1), "keep_checkpoint_max"),
        (lambda model, x: RunConfig(save_checkpoints_steps="a"), "save_checkpoints_steps"),
        (lambda model, x: RunConfig(save_checkpoints_secs=-1.0), "save_checkpoints_secs"),
        (lambda model, x: model.set_params(config={"keep": 1}), "config"),
        (lambda model, x: model.set_params(model_dir=5), "model_dir"),
        (lambda model, x: model.set_params(num_clusters=None), "num_clusters"),
        (lambda model, x: model.set_params(n_threads=0), "n_threads"),
        (lambda model, x: model.set_params(restarts="a"), "restarts"),
        (lambda model, x: model.set_params(restarts=3, initial_clusters=x[:3]), "restarts"),
        (lambda model, x: model.set_params(params="ww"), "params"),
        (lambda model, x: model.set_params(reg_covar=1e9), "reg_covar"),
        (lambda model, x: model.set_params(tol=True), "tol"),
        (lambda model, x: GMM(2, "new", initial_clusters="kmean").fit(x), "initial_clusters"),
        (lambda model, x: model.fit(input_fn=lambda: ()), "input_fn"),
        (lambda model, x: model.fit(x, steps=float("nan")), "steps"),
        (lambda model, x: RunConfig(save_summary_steps=1.5), "save_summary_steps"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_by_their_name(model, rows, call, subject):
    """The error is one line, and nothing is changed."""
    before = list_generations(model._directory())

    with pytest.raises(Usage) as caught:
        call(model, rows)

    assert caught.value.subject == subject
    assert "\n" not in str(caught.value)
    assert list_generations(model._directory()) == before


def test_an_evaluation_of_the_first_rows_is_of_these_alone(model, rows):
    """Metrics get only these rows; steps without batch_size means the whole table."""
    found = model.evaluate(
        rows, batch_size=10, steps=3, metrics={"n": lambda table, p: (len(table), len(p["assignments"]))}
    )

    assert found["n"] == (30, 30)
    assert found["scores"] == model.score(rows[:30]) == model.score(rows, batch_size=10, steps=3)
    assert model.score(lambda: rows, steps=1) == model.score(rows)


def test_rows_are_told_of_by_their_number_in_the_whole_table(model, rows):
    """Parts before the missing value have been added."""
    rows[57, 1] = np.nan

    with pytest.raises(GmmError, match=r'^x: row 58: column "x1"'):
        model.partial_fit(rows, batch_size=50)

    assert model.n_iter_ == 6


@pytest.mark.parametrize("batch_size", [None, 5])
def test_a_table_without_rows_is_an_error_in_parts_too(tmp_path, rows, batch_size):
    """The call must not seem to succeed."""
    with pytest.raises(ValueError, match="no rows to learn from"):
        GMM(2, tmp_path / "m", n_threads=1).partial_fit(rows[:0], batch_size=batch_size)


def test_frames_in_parts_are_matched_by_name(tmp_path, rows):
    """Frames of an iterator and frames of starting means are matched by name."""
    frame = pd.DataFrame(rows, columns=["a", "b"])
    whole = GMM(2, tmp_path / "whole", n_threads=1).fit(frame, steps=3)
    parts = GMM(2, tmp_path / "parts", n_threads=1).fit(iter([frame[:100], frame[100:][["b", "a"]]]), steps=3)
    given = GMM(2, tmp_path / "given", initial_clusters=frame[["b", "a"]][:2], n_threads=1).fit(
        frame, steps=0
    )

    odd = pd.DataFrame(rows, columns=["2020", "a;b"])
    assert (
        GMM(2, tmp_path / "odd", initial_clusters=rows[:2], n_threads=1).fit(odd, steps=0).n_features_in_ == 2
    )
    with pytest.raises(ValueError, match=r"^initial_clusters: "):
        GMM(2, tmp_path / "far", initial_clusters=rows[:2] + 1e200, n_threads=1).fit(odd)
    assert parts.means_.tolist() == whole.means_.tolist()
    assert parts.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_allclose(given.means_, rows[:2])
    with pytest.raises(ValueError, match="its parts differ"):
        whole.fit(iter([frame, rows]))
    with pytest.raises(ValueError, match='initial_clusters: no column "b"'):
        GMM(2, tmp_path / "x", initial_clusters=frame[["a"]][:2], n_threads=1).fit(frame)
    with pytest.raises(ValueError, match="initial_clusters: a mean is not finite"):
        GMM(2, tmp_path / "x", initial_clusters=[[1.0, np.nan], [0.0, 0.0]], n_threads=1).fit(frame)
    with pytest.raises(ValueError, match="initial_clusters: 3 rows for 2 components"):
        GMM(2, tmp_path / "x", initial_clusters=rows[:3], n_threads=1).fit(frame)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (pd.Series([1.0, 2.0]), "one column"),
        (pl.Series([1.0, 2.0]), "one column"),
        (pl.LazyFrame({"a": [1.0]}), "not evaluated yet"),
        ({1: np.ones(3), "b": np.ones(3)}, "cannot be sorted"),
        (np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (3.0, r"shape \(\)"),
        (np.array([["2020-01-01"]], dtype="M8[s]"), "times are not numbers"),
        (np.array([[10**400]], dtype=object), "not a table of numbers"),
        ([], "0 feature|shape"),
        (pa.table({"a": pa.array(["x"])}), "no numeric column"),
    ],
)
def test_what_is_nearly_a_table_is_told_what_it_lacks(tmp_path, bad, words):
    """The message is ours, not another library's."""
    with pytest.raises(ValueError, match=words):
        GMM(1, tmp_path / "m", n_threads=1).fit(bad)


def test_a_mapping_of_the_models_columns_is_matched_by_name(tmp_path, rows):
    """Their order does not matter; other keys stand for positions, in the order of the keys."""
    frame = pd.DataFrame(rows, columns=["w", "e"])
    model = GMM(2, tmp_path / "m", n_threads=1).fit(frame, steps=3)
    expected = model.score_samples(frame).tolist()

    assert model.score_samples({"e": rows[:, 1], "w": rows[:, 0]}).tolist() == expected
    assert model.score_samples({"a": rows[:, 0], "z": rows[:, 1]}).tolist() == expected
    many = {f"x{j}": rows[:, j % 2] + j * rows[:, 0] ** 2 for j in range(12)}
    wide = GMM(1, tmp_path / "wide", reg_covar=1e-3, n_threads=1).fit(many)
    assert wide.score_samples(many).mean() == pytest.approx(wide.lower_bound_)
    halves = ({"e": part[:, 1], "w": part[:, 0]} for part in (rows[:100], rows[100:]))
    assert model.score_samples(halves).tolist() == expected
    with pytest.raises(ValueError, match="different keys"):
        model.score_samples(iter([{"e": rows[:, 1], "w": rows[:, 0]}, {"e": rows[:, 1], "x": rows[:, 0]}]))


def test_a_column_of_an_array_without_a_value_is_not_left_out_in_silence(tmp_path, rows):
    """Later tables could not be matched to the columns."""
    with pytest.raises(ValueError, match="x: column 1 has no value"):
        GMM(2, tmp_path / "m", missing="drop", n_threads=1).fit(np.insert(rows, 1, np.nan, axis=1))


def test_a_masked_value_is_a_missing_one(tmp_path, rows):
    """The values under the mask are not used."""
    masked = np.ma.MaskedArray(np.where(np.arange(300)[:, None] == 3, 1e6, rows), rows != rows)
    masked.mask[3] = True

    with pytest.raises(ValueError, match="row 4") as caught:
        GMM(2, tmp_path / "m", n_threads=1).fit(masked)
    assert caught.value.__notes__ == ['try: missing="drop"']
    with pytest.raises(ValueError, match="row 4"):
        GMM(2, tmp_path / "m", n_threads=1).fit({"a": masked[:, 0], "b": masked[:, 1]})
    with pytest.raises(ValueError, match="times"):
        GMM(1, tmp_path / "m", n_threads=1).fit(np.ma.MaskedArray([["2020-01-01"]], dtype="M8[s]"))
    kept = GMM(2, tmp_path / "kept", missing="drop", n_threads=1).fit(masked, steps=2)
    assert abs(kept.means_).max() < 100


def test_hints_of_the_command_line_are_notes_in_terms_of_python(tmp_path, rows, monkeypatch):
    """A setting is named by its argument; an error about an option is one about the argument."""
    monkeypatch.chdir(tmp_path)
    good = "".join(f"{a!r},{b!r}\n" for a, b in rows.tolist())
    Path("late.csv").write_text("a,b\n" + good * 200 + "1,x\n")
    Path("few.csv").write_text("a,b\n1,2\n3,4\n")
    Path("rows.csv").write_text("a,b\n" + good)

    def notes(call):
        with pytest.raises(GmmError) as caught:
            call()
        return str(caught.value), getattr(caught.value, "__notes__", [])

    model = GMM(3, "m", n_threads=1).fit("rows.csv", steps=2)
    text, tried = notes(lambda: GMM(2, "new", n_threads=1).fit("late.csv"))
    assert text.endswith('column "b": not a number: "x"')
    assert tried == ['try: a table without column "b"']
    assert notes(lambda: model.predict("late.csv")) == (text, [])
    assert notes(lambda: model.fit("late.csv")) == (text, [])
    assert notes(lambda: GMM(3, "new", n_threads=1).fit("few.csv"))[1] == ["try: num_clusters=1"]
    text, tried = notes(lambda: GMM(3, "new", initial_clusters="few.csv", n_threads=1).fit("rows.csv"))
    assert text == "initial_clusters: has 2 rows; 3 components need 3 rows"
    assert tried == ["try: num_clusters=2"]
    model.fit("rows.csv", steps=1)
    newest = Path("m/checkpoints/ckpt-000000002.h5")
    newest.write_bytes(newest.read_bytes()[:-1])
    assert notes(lambda: model.predict(rows))[1] == [
        "try: in a shell, gmmcli fit -m m --rollback TABLE, or checkpoint_path=1 to read that one"
    ]


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_callers_array_stays_as_it_was(tmp_path, rows, order):
    """No method changes it, in C or Fortran order."""
    given = np.array(rows, order=order)
    given.setflags(write=False)

    model = GMM(2, tmp_path / "m", n_threads=2).fit(given, steps=2).partial_fit(given)
    model.predict_proba(given)
    model.evaluate(given)

    assert given.tolist() == rows.tolist()


def test_batches_and_options_reach_the_run_as_those_of_the_command_line(tmp_path, rows):
    """The mixtures are the same, except for the rounding of two BLAS kernels."""
    write_table(tmp_path / "t.csv", rows)
    means = write_table(tmp_path / "means.csv", rows[:3])
    session = Session(tmp_path)
    for name, given, options, arguments in (
        ("batches", {}, "--batch-size 50 --steps 8", {"batch_size": 50, "steps": 8}),
        ("restarts", {"initial_clusters": "kmeans", "restarts": 4}, "--init kmeans --restarts 4", {}),
        ("plain", {"accelerate": "none", "tol": 1e-4}, "--accelerate none --tol 1e-4", {}),
        ("path", {"initial_clusters": means}, "--init means.csv --steps 3", {"steps": 3}),
    ):
        start = "" if "--init" in options else "--init random"
        assert session.run(f"gmmcli fit -m shell-{name} -k 3 {start} {options} t.csv").status == 0
        GMM(3, tmp_path / name, **given).fit(rows, **arguments)
        found, expected = (inspect(tmp_path / model).checkpoint for model in (name, f"shell-{name}"))
        assert found.global_step == expected.global_step, name
        np.testing.assert_allclose(found.mixture.means, expected.mixture.means, rtol=1e-6)


def test_checkpoints_are_written_and_kept_as_configured(tmp_path, rows):
    """Checkpoints are written by time; every fourth is kept."""
    config = RunConfig(save_checkpoints_secs=0.0, keep_checkpoint_max=1, keep_every=4)

    GMM(2, tmp_path / "m", config=config, n_threads=1).fit(rows, steps=9)

    assert list_generations(tmp_path / "m") == [4, 8, 10]


def test_parameters_are_attributes(tmp_path):
    """Setting a parameter checks its value; other attributes are as in any object."""
    model = GMM(2, tmp_path)

    model.tol = 1e-3

    assert (model.num_clusters, model.tol, model.get_params()["tol"]) == (2, 1e-3, 1e-3)
    with pytest.raises(Usage):
        model.num_clusters = 0
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = model.nothing
    with pytest.raises(
        TypeError, match=r"GMM\(\) got an unexpected keyword argument 'n_components': use num_clusters"
    ):
        GMM(n_components=2)


def test_copies_and_pickles_share_the_directory_and_clones_have_their_own(model, rows, caplog):
    """Thus no fold of a search learns from another, or changes the model."""
    before = inspect(model._directory()).content_digest
    changed = copy.copy(model).set_params(tol=1e-2)
    assert (changed.tol, model.tol) == (1e-2, None)
    assert copy.deepcopy(model).model_dir == pickle.loads(pickle.dumps(model)).model_dir == model.model_dir

    search = GridSearchCV(
        model, {"random_seed": [1, 2]}, cv=2, scoring=lambda m, X, y=None: m.score_samples(X).mean()
    ).fit(rows)

    assert search.best_estimator_.model_dir != model.model_dir
    assert not hasattr(clone(model), "means_")
    assert inspect(model._directory()).content_digest == before
    assert "no model_dir given" not in " ".join(r.message for r in caplog.records if r.levelname == "WARNING")


def test_fits_that_overlap_in_threads_leave_blas_as_it_was(tmp_path, rows):
    """The first that ends does not lift the limit of the other."""

    def limits():
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    began, seen, before = threading.Event(), [], limits()

    def hold_on(step):
        began.set()
        if step.global_step == 3:
            other.join(600)
        seen.append(limits())

    def second():
        began.wait(600)
        GMM(2, tmp_path / "b", n_threads=1).fit(rows, steps=3)

    other = threading.Thread(target=second)
    other.start()
    GMM(2, tmp_path / "a", n_threads=1).fit(rows, steps=6, monitors=[hold_on])

    assert set(map(tuple, seen)) == {(1,) * len(before)}
    assert limits() == before


def test_the_last_of_two_fits_lifts_the_limit_though_the_other_set_it(tmp_path, rows):
    """The thread of a pool outlives its fit."""
    before = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
    first_began, second_began, first_ended = threading.Event(), threading.Event(), threading.Event()

    def first():
        GMM(2, tmp_path / "a", n_threads=1).fit(
            rows, steps=2, monitors=[lambda step: (first_began.set(), second_began.wait(600), None)[2]]
        )
        first_ended.set()

    def second():
        first_began.wait(600)
        GMM(2, tmp_path / "b", n_threads=1).fit(
            rows, steps=2, monitors=[lambda step: (second_began.set(), first_ended.wait(600), None)[2]]
        )

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(first), pool.submit(second)]
        for run in runs:
            run.result(600)
        assert [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"] == before


def test_errors_go_from_one_process_to_another():
    """They keep their hints."""
    error = pickle.loads(pickle.dumps(CovarianceNotPositive(3, (0, 1))))

    assert (error.component, error.features) == (3, (0, 1))
    assert error.hint is not None


@pytest.fixture
def decoded(monkeypatch):
    """Return a list that grows with every checkpoint that is decoded."""
    found = []

    def decode(data, subject):
        found.append(subject)
        return checkpoint.decode(data, subject)

    monkeypatch.setattr(model_dir, "decode", decode)
    return found


def test_a_checkpoint_is_decoded_once_however_many_properties_are_asked_for(model, rows, decoded):
    """A newer checkpoint is decoded once more."""
    for name in ("weights_", "means_", "covariances_", "converged_", "n_iter_", "lower_bound_"):
        getattr(model, name)
    model.predict_proba(rows)
    assert len(decoded) == 1
    GMM(3, model.model_dir, n_threads=1).fit(rows, steps=1)
    del decoded[:]

    assert model.n_iter_ == 6
    assert model.weights().shape == (3,)
    assert len(decoded) == 1


def test_another_file_under_the_same_name_is_read(model, rows, tmp_path):
    """The directory was removed, and another model fitted there."""
    before = model.means_
    shutil.rmtree(model.model_dir)
    GMM(3, model.model_dir, random_seed=4, n_threads=1).fit(rows + 100, steps=5)

    assert (model.means_ > before + 50).all()


def test_a_newest_checkpoint_that_is_gone_is_noticed_though_an_older_one_is_known(model, rows):
    """The estimator does not silently use the older one."""
    assert model.n_iter_ == 5
    GMM(3, model.model_dir, n_threads=1).fit(rows, steps=1)
    (newest,) = Path(model.model_dir, "checkpoints").glob("*2.h5")
    newest.unlink()

    with pytest.raises(CheckpointCorrupt, match="newest checkpoint 2 is missing"):
        _ = model.n_iter_


def test_what_is_known_of_a_checkpoint_is_no_part_of_an_estimator(model):
    """It is not pickled: a copy reads it when it needs it."""
    size = len(pickle.dumps(model))
    _ = model.means_

    assert len(pickle.dumps(model)) == size
    assert pickle.loads(pickle.dumps(model)).n_iter_ == 5


@pytest.mark.parametrize("path", ["", "a\0b", 5])
def test_what_is_no_path_is_refused(tmp_path, rows, monkeypatch, path):
    """An empty one would be the working directory: an unset variable must not write there."""
    monkeypatch.chdir(tmp_path)
    model = GMM(2, "m", n_threads=1).fit(rows, steps=1)

    with pytest.raises(Usage, match=r"^model_dir: must be a path"):
        GMM(2, path)
    with pytest.raises(Usage, match=r"^export_dir: must be a path"):
        model.export(path)
    with pytest.raises(Usage, match=r"^export_dir_base: must be a path"):
        model.export_savedmodel(path)
    assert [inside.name for inside in tmp_path.iterdir()] == ["m"]


def test_a_failed_fit_leaves_no_temporary_directory(tmp_path, monkeypatch, caplog):
    """Nor does it say that a model is in one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with caplog.at_level(logging.INFO, "gmmcli"), pytest.raises(TableUnusable):
        GMM(2, n_threads=1).fit(np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]]))

    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []


def test_warnings_name_arguments_not_options(tmp_path, rows, caplog):
    """As the messages of errors do."""
    notice = Notice("cap_reached", "not converged; use --reg-covar 0 or --exclude x", "serious")

    with caplog.at_level(logging.WARNING, "gmmcli"):
        log_notice(notice)

    assert caplog.messages == ["not converged; use reg_covar 0 or --exclude x"]


def test_times_are_refused_with_one_subject():
    """An error that names its subject is not wrapped in another."""
    with pytest.raises(NoNumbers) as caught:
        GMM(1, n_threads=1).fit(np.array([["2020-01-01"]], dtype="datetime64[D]"))

    assert str(caught.value).count("x: ") == 1
