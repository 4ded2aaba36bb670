"""The estimator: the original's methods and what they mean, on the jobs that the command line uses."""

import inspect
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from shell.session import Session, write_table

import gmmcli
from gmmcli import GMM, RunConfig
from gmmcli.errors import GmmError, TableUnusable, Usage
from gmmcli.jobs.inspect import inspect as inspect_job


def digest(model):
    return inspect_job(Path(model.model_dir)).content_digest


PAGE = """
    config model_dir fit partial_fit evaluate predict predict_assignments score export export_savedmodel
    get_params set_params get_variable_names get_variable_value weights clusters covariances
    SCORES ASSIGNMENTS ALL_SCORES
"""


@pytest.mark.parametrize("name", PAGE.split())
def test_a_name_of_the_originals_page_is_there_and_says_what_it_is(name):
    """Methods and properties have a docstring; constants are the original's."""
    member = inspect.getattr_static(GMM, name)

    if isinstance(member, str):
        assert member == name.lower()
    else:
        assert (member.fget if isinstance(member, property) else member).__doc__


# Arguments of the original's page, in their order.
ARGUMENTS = {
    "__init__": "num_clusters model_dir random_seed params initial_clusters covariance_type config",
    "fit": "x y input_fn steps batch_size monitors max_steps",
    "partial_fit": "x y input_fn steps batch_size monitors",
    "predict": "x input_fn batch_size outputs as_iterable",
    "predict_assignments": "input_fn batch_size outputs",
    "score": "input_fn batch_size steps",
    "evaluate": "x y input_fn feed_fn batch_size steps metrics name checkpoint_path hooks log_progress",
    "export": "export_dir input_fn input_feature_key use_deprecated_input_fn signature_fn prediction_key "
    "default_batch_size exports_to_keep checkpoint_path",
    "export_savedmodel": "export_dir_base serving_input_fn default_output_alternative_key assets_extra "
    "as_text checkpoint_path graph_rewrite_specs",
    "get_params": "deep",
    "set_params": "params",
    "get_variable_names": "",
    "get_variable_value": "name",
    "weights": "",
    "clusters": "",
    "covariances": "",
}
DEFAULTS = {
    "__init__": {"random_seed": 0, "params": "wmc", "initial_clusters": "random", "covariance_type": "full"},
    "partial_fit": {"steps": 1},
    "predict": {"as_iterable": True},
    "evaluate": {"log_progress": True},
    "export": {"use_deprecated_input_fn": True, "default_batch_size": 1},
    "export_savedmodel": {"as_text": False},
    "get_params": {"deep": True},
}


@pytest.mark.parametrize("method", ARGUMENTS)
def test_arguments_of_the_originals_page_are_there_in_their_order_with_their_defaults(method):
    """Our arguments are keywords; docstrings describe all arguments, except where the name suffices."""
    member = getattr(GMM, method)
    parameters = [one for one in inspect.signature(member).parameters.values() if one.name != "self"]
    positional = [one for one in parameters if one.kind is not inspect.Parameter.KEYWORD_ONLY]

    assert [one.name for one in positional] == ARGUMENTS[method].split()
    expected = DEFAULTS.get(method, {})
    for one in positional:
        if one.default is not inspect.Parameter.empty:
            assert one.default == expected.get(one.name), one.name
    text = GMM.__doc__ if method == "__init__" else member.__doc__
    if method not in ("get_params", "set_params", "get_variable_value"):
        assert [one.name for one in parameters if not re.search(rf"\b{one.name}\b", text)] == []


def test_arguments_of_the_originals_graph_are_named_where_they_cannot_have_a_bearing(tmp_path, model):
    """Arguments about the input of a graph are ignored; arguments that describe a graph are refused."""
    first = model.export(tmp_path / "e", lambda: None, use_deprecated_input_fn=False, default_batch_size=7)
    second = model.export_savedmodel(tmp_path / "f", lambda: None)

    assert np.load(Path(first, "model.npz"))["weights"].tolist() == model.weights().tolist()
    assert Path(second, "model.npz").exists()
    for method, name in (
        ("export", "input_feature_key"),
        ("export", "signature_fn"),
        ("export", "prediction_key"),
        ("export_savedmodel", "default_output_alternative_key"),
        ("export_savedmodel", "graph_rewrite_specs"),
    ):
        with pytest.raises(Usage, match="describes a TensorFlow graph") as caught:
            getattr(model, method)(tmp_path / "g", **{name: "x"})
        assert caught.value.subject == name
    assert not (tmp_path / "g").exists()


def test_public_names_are_at_the_top():
    """Other names are an AttributeError."""
    assert gmmcli.GMM is GMM
    with pytest.raises(AttributeError, match="no attribute"):
        _ = gmmcli.nothing


def test_two_fits_of_five_steps_are_one_of_ten(tmp_path, rows, model):
    """A second fit continues; max_steps counts all steps of the model."""
    model.fit(rows, steps=5)
    whole = GMM(3, tmp_path / "whole", n_threads=1).fit(rows, max_steps=10)

    assert digest(model) == digest(whole)
    assert whole.get_variable_value("global_step") == 10
    assert digest(whole.fit(rows, max_steps=10)) == digest(model)


def test_the_same_table_is_the_same_model_however_it_is_given(tmp_path, rows):
    """An array, a dict, an iterator, an Arrow table, an object with Arrow's interface, a callable."""

    class Frame:
        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    table = pa.table({"x0": rows[:, 0], "x1": rows[:, 1]})
    ways = {
        "array": lambda: {"x": rows},
        "fortran": lambda: {"x": np.asfortranarray(rows)},
        "dict": lambda: {"x": {"b": rows[:, 1:], "a": rows[:, 0]}},
        "iterator": lambda: {"x": iter([rows[:100], rows[100:]])},
        "arrow": lambda: {"x": table},
        "batch": lambda: {"x": table.to_batches()[0]},
        "frame": lambda: {"x": Frame()},
        "input_fn": lambda: {"input_fn": lambda: rows},
        "features and labels": lambda: {"input_fn": lambda: (rows, None)},
    }

    found = {digest(GMM(2, tmp_path / name, n_threads=1).fit(**way(), steps=3)) for name, way in ways.items()}

    assert len(found) == 1


def test_class_and_shell_share_a_directory(tmp_path, rows):
    """A path is a table, too; columns are matched by name."""
    write_table(tmp_path / "t.csv", rows)

    model = GMM(3, tmp_path / "m", n_threads=1).fit(tmp_path / "t.csv", steps=3).fit(rows, steps=2)

    assert digest(model) == digest(GMM(3, tmp_path / "other", n_threads=1).fit(rows, steps=5))


def test_what_raised_a_value_error_does_so_here(rows, model):
    """Arguments that exclude each other, that are unknown, and that make no sense."""
    for call in (
        lambda: model.fit(rows, input_fn=lambda: rows),
        lambda: model.fit(None, [1], input_fn=lambda: rows),
        lambda: model.fit(rows, steps=1, max_steps=2),
        lambda: model.fit(),
        lambda: model.partial_fit(rows, input_fn=lambda: rows),
        lambda: model.partial_fit(rows, steps=None),
        lambda: model.predict(rows, input_fn=lambda: rows),
        lambda: model.predict(),
        lambda: model.predict(rows, outputs=["scores"]),
        lambda: model.evaluate(rows, input_fn=lambda: rows),
        lambda: model.evaluate(rows, metrics=["a"]),
        lambda: model.evaluate(rows, feed_fn=dict),
        lambda: model.evaluate(rows, checkpoint_path="nonsense"),
        lambda: model.set_params(nothing=1),
        lambda: model.set_params(config__steps=1),
        lambda: RunConfig(save_checkpoints_steps=1, save_checkpoints_secs=1.0),
        *(
            lambda given=given: GMM(**{"num_clusters": 2, **given})
            for given in (
                {"num_clusters": 0},
                {"num_clusters": 1.5},
                {"random_seed": -1},
                {"params": "x"},
                {"params": ""},
                {"covariance_type": "round"},
                {"missing": "use"},
                {"accelerate": "yes"},
                {"tol": float("nan")},
            )
        ),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            call()
        assert isinstance(caught.value, GmmError)
        assert isinstance(caught.value, Usage)


def test_predictions_are_distances_and_assignments_by_row_or_in_arrays(rows, model):
    """The assigned component need not be the nearest; the sum of distances is the score."""
    arrays = model.predict(rows, as_iterable=False)
    one_by_one = list(model.predict(input_fn=lambda: rows))

    assert arrays[GMM.ALL_SCORES].shape == (300, 3)
    assert [row[GMM.ASSIGNMENTS] for row in one_by_one] == arrays[GMM.ASSIGNMENTS].tolist()
    assert one_by_one[7][GMM.ALL_SCORES].tolist() == arrays[GMM.ALL_SCORES][7].tolist()
    assert list(model.predict_assignments(rows)) == arrays[GMM.ASSIGNMENTS].tolist()
    assert set(next(iter(model.predict(rows, outputs=[GMM.ASSIGNMENTS])))) == {"assignments"}
    assigned = np.take_along_axis(arrays[GMM.ALL_SCORES], arrays[GMM.ASSIGNMENTS][:, None], axis=1)
    assert model.score(lambda: rows) == pytest.approx(assigned.sum(), rel=1e-12)
    assert len(list(model.predict(rows[:0]))) == 0


def test_an_evaluation_has_the_originals_keys_and_ours(rows, model):
    """The loss is per batch; metrics get the table and the predictions; an older checkpoint can be chosen."""
    found = model.evaluate(
        rows, batch_size=100, metrics={"rows": lambda t, p: (len(t), len(p["assignments"]))}
    )
    model.fit(rows, steps=20)
    again = model.evaluate(rows, checkpoint_path=Path(model.model_dir, "checkpoints", "ckpt-000000001.h5"))
    newest = model.evaluate(rows)

    assert found["loss"] == found["scores"] / 3
    assert found["rows"] == (300, 300)
    assert found["global_step"] == again["global_step"] == 5
    assert again["scores"] == found["scores"] == again["loss"]
    assert newest["global_step"] == 25
    assert newest["mean_log_likelihood"] > again["mean_log_likelihood"]
    assert newest["scores"] == model.score(rows)
    assert model.evaluate(rows, batch_size=10, steps=3)["rows"] == 30
    assert model.evaluate(rows, checkpoint_path=1)["scores"] == found["scores"]


@pytest.mark.parametrize("checkpoint", [None, 1])
def test_evaluate_score_and_the_score_verb_agree_to_the_last_digit(tmp_path, checkpoint):
    """On a table of several chunks, with the newest and with an older checkpoint."""
    rows = np.random.default_rng(5).normal(size=(150_001, 2)) ** 3
    write_table(tmp_path / "t.csv", rows)
    model = GMM(3, tmp_path / "m").fit(rows[:500], steps=1).fit(rows[:500], steps=9)
    verb = Session(tmp_path).run(
        f"gmmcli score -m m --json t.csv {'' if checkpoint is None else f'--checkpoint {checkpoint}'}"
    )
    told = json.loads(verb.stdout)

    found = model.evaluate(rows, checkpoint_path=checkpoint)

    for name in ("distance_sum", "log_likelihood", "mean_log_likelihood", "aic", "bic", "icl", "entropy"):
        assert found[name] == told[name]
    assert found["scores"] == found["loss"] == told["distance_sum"]
    assert found["global_step"] == (10 if checkpoint is None else 1)
    if checkpoint is None:
        assert model.score(rows) == model.score(lambda: rows) == told["distance_sum"]
        assert model.bic(rows) == told["bic"]


def test_variables_are_those_of_the_original_and_ours(model):
    """Variables have our names, and the names and shapes of the original."""
    assert {"alphas", "clusters", "clusters_covs", "global_step"} <= set(model.get_variable_names())
    assert model.get_variable_value("clusters").shape == (3, 1, 2)
    assert model.get_variable_value("clusters_covs").shape == model.covariances().shape == (3, 2, 2)
    assert model.clusters().tolist() == model.get_variable_value("clusters")[:, 0].tolist()
    assert model.weights().sum() == pytest.approx(1.0)
    with pytest.raises(GmmError, match="nothing"):
        model.get_variable_value("nothing")


def test_parameters_are_those_of_the_constructor(tmp_path):
    """set_params checks values; if one is refused, nothing changes."""
    model = GMM(2, tmp_path, tol=1e-3)
    names = list(inspect.signature(GMM).parameters)

    assert list(model.get_params()) == names
    assert GMM(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(num_clusters=5) is model
    with pytest.raises(ValueError, match="params"):
        model.set_params(num_clusters=7, params="q")
    assert model.get_params()["num_clusters"] == 5


def test_starting_means_may_be_an_array(tmp_path, rows):
    """They keep their order; a repeated fit may repeat them; another number of columns is an error."""
    means = np.array([[5.0, 5.0], [-5.0, -5.0]])
    model = GMM(2, tmp_path / "m", initial_clusters=means, n_threads=1).fit(rows, steps=0).fit(rows, steps=0)

    np.testing.assert_allclose(model.clusters(), means)
    with pytest.raises(TableUnusable, match="3 columns, the table has 2"):
        GMM(2, tmp_path / "o", initial_clusters=np.ones((2, 3)), n_threads=1).fit(rows)


def test_starting_means_are_of_the_columns_of_numbers(tmp_path, rows):
    """A column of text beside them is skipped, as in any first fit."""
    table = pa.table({"note": ["a"] * 300, "x0": rows[:, 0], "x1": rows[:, 1]})

    model = GMM(2, tmp_path / "m", initial_clusters=rows[:2], n_threads=1).fit(table, steps=0)

    np.testing.assert_allclose(model.clusters(), rows[:2])


def test_a_model_that_is_there_is_continued_whatever_it_started_from(tmp_path, rows, model):
    """Another seed, another kind of start and given means are not used then."""
    for start in ({"random_seed": 7}, {"initial_clusters": "auto"}, {"initial_clusters": rows[:3]}):
        GMM(3, model.model_dir, n_threads=1, **start).fit(rows, steps=1)

    assert model.get_variable_value("global_step") == 8
    with pytest.raises(GmmError, match="4, but"):
        GMM(4, model.model_dir, n_threads=1).fit(rows)


def test_monitors_are_told_of_every_step_and_may_end_the_run(tmp_path, rows):
    """All monitors are called, even if one of them ends the run."""
    seen = []
    first, last = (lambda step: step.global_step >= 4), seen.append

    model = GMM(3, tmp_path / "m", n_threads=1).fit(rows, steps=100, monitors=[first, last])

    assert [step.global_step for step in seen] == [0, 1, 2, 3, 4]
    assert model.get_variable_value("global_step") == 4
    likelihoods = [step.mean_log_likelihood for step in seen]
    assert likelihoods == sorted(likelihoods)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_ten_partial_fits_end_near_the_fit_of_all_rows(tmp_path, covariance_type):
    """They are within 0.01 nats per row, and batches may be given one by one or with batch_size."""
    rng = np.random.default_rng(8)
    centers = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [0.0, 4.0, -1.0]])
    rows = centers[rng.choice(3, 20_000, p=[0.5, 0.3, 0.2])] + rng.normal(size=(20_000, 3))
    kind = {"covariance_type": covariance_type, "initial_clusters": "auto", "n_threads": 1}

    parts = GMM(3, tmp_path / "parts", **kind)
    for batch in np.split(rows, 10):
        parts.partial_fit(batch)
    cut = GMM(3, tmp_path / "cut", **kind).partial_fit(rows, batch_size=2_000)
    whole = GMM(3, tmp_path / "whole", **kind).fit(rows)

    assert digest(parts) == digest(cut)
    found, best = (model.evaluate(rows)["mean_log_likelihood"] for model in (parts, whole))
    assert found > best - 0.01


def test_exports_are_directories_of_their_own(tmp_path, model):
    """Text exports are JSON, others archives for numpy; extra files are copied; old exports are removed."""
    (tmp_path / "note.txt").write_text("hello")

    text = Path(
        model.export_savedmodel(tmp_path / "e", assets_extra={"a/n.txt": tmp_path / "note.txt"}, as_text=True)
    )
    archive = Path(model.export(tmp_path / "e", exports_to_keep=1))

    assert not text.exists()
    assert np.load(archive / "model.npz")["weights"].shape == (3,)
    again = Path(model.export_savedmodel(tmp_path / "f", as_text=True, checkpoint_path=1))
    assert json.loads((again / "model.json").read_text())["global_step"] == 5


def test_without_a_directory_there_is_a_temporary_one_and_a_warning(rows, caplog):
    """The directory is created once."""
    with caplog.at_level(logging.WARNING, "gmmcli"):
        model = GMM(2, n_threads=1).fit(rows, steps=1)

    assert [record.message for record in caplog.records] == [
        f"no model_dir given: the model is in {model.model_dir}"
    ]
    assert Path(model.model_dir, "latest.h5").exists()


def test_settings_reach_the_run(tmp_path, rows):
    """Checkpoint steps, retention and frozen parameters have effect."""
    config = RunConfig(save_checkpoints_steps=1, keep_checkpoint_max=2, save_summary_steps=2)
    model = GMM(2, tmp_path / "m", config=config, params="cw", n_threads=2).fit(rows, steps=4)

    assert model.config is config
    assert len(list((tmp_path / "m" / "checkpoints").iterdir())) == 2
    events = [json.loads(line) for line in (tmp_path / "m" / "log.jsonl").read_text().splitlines()]
    assert [event["global_step"] for event in events if event["event"] == "step"] == [0, 2, 4]
    assert events[0]["settings"]["params"] == "wc"
    assert (
        model.clusters().tolist()
        == GMM(2, tmp_path / "n", n_threads=1).fit(rows, steps=0).clusters().tolist()
    )


@pytest.mark.parametrize("bad", [np.ones((2, 2, 2)), [["a", "b"]], object(), np.array([[1.0, np.inf]])])
def test_what_is_no_table_is_refused_in_words(tmp_path, bad):
    """The error is ours, not another library's."""
    with pytest.raises(TableUnusable):
        GMM(1, tmp_path / "m", n_threads=1).fit(bad)


def test_importing_the_package_does_not_load_the_estimator():
    """Nor numpy: the command line starts with the package."""
    code = "import sys, gmmcli; assert not {'numpy', 'gmmcli.gmm'} & set(sys.modules); gmmcli.GMM"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
