"""The estimator among scikit-learn's tools: its names, its checks, its frames. scikit-learn is the oracle."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from gmmcli import GMM
from gmmcli.errors import GmmError, NotFound, TableUnusable
from gmmcli.jobs.inspect import inspect
from gmmcli.tables.memory import hold

TYPES = ("full", "tied", "diag", "spherical")
_PREDICT = "predict returns an iterator of dictionaries, as the original's: fit_predict returns an array"
CONTRARY = {
    "check_fit_score_takes_y": "the second argument of score is the original's batch_size",
    "check_n_features_in_after_fitting": "calls score with y; tested below without",
    "check_pipeline_consistency": "calls score with y",
    "check_do_not_raise_errors_in_init_or_set_params": "arguments that make no sense are refused at once",
    "check_estimators_pickle": _PREDICT,
    "check_methods_sample_order_invariance": _PREDICT,
    "check_methods_subset_invariance": _PREDICT,
    "check_fit_idempotent": _PREDICT,
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of not being a BaseEstimator, and of validating at once
def test_scikit_learns_own_checks_fail_where_they_contradict_the_original_only():
    """Each expected failure does fail; all other checks pass or are skipped by the environment."""
    results = check_estimator(
        GMM(2, n_threads=1), expected_failed_checks=CONTRARY, on_fail=None, on_skip=None
    )

    failed = {
        result["check_name"]: str(result["exception"]) for result in results if result["status"] == "failed"
    }
    assert failed == {}
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(CONTRARY)
    assert len(results) > 35


@pytest.mark.parametrize("kind", TYPES)
def test_the_names_of_gaussian_mixture_mean_what_they_mean_there(tmp_path, rows, kind):
    """The same mixture in scikit-learn's class gives the same numbers."""
    ours = GMM(3, tmp_path / "m", covariance_type=kind, initial_clusters="auto", n_threads=1).fit(rows)
    theirs = GaussianMixture(3, covariance_type=kind, reg_covar=0)
    theirs.weights_, theirs.means_, theirs.covariances_ = ours.weights_, ours.means_, ours.covariances_
    inverse = np.linalg.inv(ours.covariances_) if kind in ("full", "tied") else 1 / ours.covariances_
    theirs.precisions_cholesky_ = np.linalg.cholesky(inverse) if kind in ("full", "tied") else inverse**0.5

    np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(rows), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours.score_samples(rows), theirs.score_samples(rows), rtol=1e-9)
    assert ours.aic(rows) == pytest.approx(theirs.aic(rows), rel=1e-9)
    assert ours.bic(rows) == pytest.approx(theirs.bic(rows), rel=1e-9)
    assert ours.lower_bound_ == pytest.approx(theirs.score(rows), rel=1e-9)
    assert ours.fit_predict(rows).tolist() == theirs.predict(rows).tolist()
    assert ours.converged_
    assert ours.n_iter_ == ours.get_variable_value("global_step")


@pytest.mark.parametrize("kind", TYPES)
def test_samples_have_the_moments_of_the_mixture(tmp_path, rows, kind):
    """Moments agree within six standard errors, per component; the same seed gives the same rows."""
    model = GMM(3, tmp_path / "m", covariance_type=kind, initial_clusters="auto", n_threads=1).fit(rows)

    X, components = model.sample(60_000)

    again, _ = model.sample(60_000)
    assert X.tolist() == again.tolist()
    assert X[0].tolist() != model.sample(1, random_seed=9)[0][0].tolist()
    covariances = model.covariances_
    for k in range(3):
        drawn = X[components == k]
        share, expected = len(drawn) / len(X), model.weights_[k]
        assert abs(share - expected) < 6 * np.sqrt(expected * (1 - expected) / len(X))
        covariance = covariances if kind == "tied" else covariances[k]
        if kind in ("diag", "spherical"):
            covariance = np.eye(2) * covariance
        sd = np.sqrt(np.diag(covariance))
        assert (abs(drawn.mean(axis=0) - model.means_[k]) < 6 * sd / np.sqrt(len(drawn))).all()
        error = abs(np.cov(drawn.T) - covariance) / np.outer(sd, sd)
        assert (error < 6 * np.sqrt(2 / len(drawn))).all()


def test_before_there_is_a_model_nothing_is_known_of_it(tmp_path, rows):
    """The error is both scikit-learn's and ours, and can be pickled."""
    model = GMM(2, tmp_path / "m", n_threads=1)

    for name in ("means_", "weights_", "covariances_", "n_features_in_", "feature_names_in_", "converged_"):
        assert not hasattr(model, name)
    for call in (
        model.weights,
        lambda: model.predict_proba(rows),
        lambda: model.evaluate(rows),
        model.sample,
    ):
        with pytest.raises(NotFittedError, match="no model yet") as caught:
            call()
        assert isinstance(caught.value, NotFound)
    arrived = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(arrived, NotFound)
    assert isinstance(arrived, NotFittedError)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert check_is_fitted(model.fit(rows, steps=1)) is None


def test_scikit_learns_tools_take_it():
    """Clones, pipelines and searches work."""
    rows = np.random.default_rng(3).normal(size=(300, 2)) + np.repeat([[0, 0], [9, 0], [0, 9]], 100, axis=0)
    model = GMM(3, initial_clusters="auto", n_threads=1)
    piped = make_pipeline(StandardScaler(), clone(model))
    search = GridSearchCV(
        model,
        {"num_clusters": [1, 3]},
        cv=KFold(3, shuffle=True, random_state=0),
        scoring=lambda fitted, X, y=None: fitted.score_samples(X).mean(),
    )

    assert clone(model).get_params() == model.get_params()
    assert piped.fit(rows).predict_proba(rows).shape == (300, 3)
    assert search.fit(rows).best_params_ == {"num_clusters": 3}
    assert repr(model) == "GMM(num_clusters=3, initial_clusters='auto', n_threads=1)"


def test_frames_keep_their_names_and_leave_their_index(tmp_path, rows):
    """Frames of pandas with any index, of Polars, and a CSV file give the same model."""
    frame = pd.DataFrame(rows, columns=["b", "a"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    ways = {
        "pandas": frame,
        "index": frame.set_axis(np.arange(300) * 7 + 3),
        "named": frame.set_axis(pd.Index(np.arange(300.0) ** 2, name="id")),
        "polars": pl.DataFrame({"b": rows[:, 0], "a": rows[:, 1]}),
        "csv": tmp_path / "t.csv",
    }

    models = {name: GMM(2, tmp_path / name, n_threads=1).fit(table, steps=3) for name, table in ways.items()}

    assert len({inspect(tmp_path / name).content_digest for name in ways}) == 1
    for model in models.values():
        assert model.feature_names_in_.tolist() == ["b", "a"]
        assert model.n_features_in_ == 2


def test_columns_of_an_array_are_those_of_the_model_in_their_order(tmp_path, rows):
    """Names do not matter; another number of columns is an error of every method."""
    model = GMM(2, tmp_path / "m", n_threads=1).fit(pd.DataFrame(rows, columns=["b", "a"]), steps=3)

    by_name = model.score_samples(pd.DataFrame(rows[:, ::-1], columns=["a", "b"]))

    assert model.score_samples(rows).tolist() == by_name.tolist()
    assert model.partial_fit(rows[:100]).fit(rows, steps=1).n_iter_ == 5
    for call in (model.fit, model.partial_fit, model.predict, model.predict_proba, model.score, model.bic):
        with pytest.raises(ValueError, match="X has 1 features, but GMM is expecting 2"):
            call(rows[:, :1])


def test_an_array_is_not_copied(rows):
    """Parts are not copied either; other layouts and types are read as they are."""
    held = hold(rows)

    assert held.content is rows
    assert np.shares_memory(held.part(10, 20).content, rows)
    assert hold(np.asfortranarray(rows, dtype=np.float32)).content.dtype == np.float32


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.ones(3), "Reshape your data"),
        (np.ones((3, 2), dtype=complex), "Complex data not supported"),
        (np.empty((3, 0)), "0 feature"),
        (np.array([[1.0, {}]], dtype=object), "not 'dict'"),
        ([[1.0, "a"]], "could not convert string to float"),
        ([[1.0, 2.0], [3.0]], "not a table of numbers"),
        ({"a": np.ones(3), "b": np.ones(4)}, "differ in shape"),
        (iter([]), "none"),
        (iter([np.ones((2, 2)), np.ones((2, 3))]), "differ in shape"),
        (pd.DataFrame({"a": [1, "b"]}), "not a table"),
        (np.array([[np.nan], [1.0], [2.0]]), "row 1.*missing value or NaN"),
    ],
)
def test_what_cannot_be_used_is_told_in_words(tmp_path, bad, words):
    """The error is ours and a ValueError, and a TypeError where Python would raise one."""
    with pytest.raises(ValueError, match=words) as caught:
        GMM(1, tmp_path / "m", n_threads=1).fit(bad)

    assert isinstance(caught.value, GmmError)
    assert isinstance(caught.value, TypeError) == ("dict" in words)


def test_numbers_of_any_kind_are_read(tmp_path, rows):
    """Integers, halves, booleans, other byte orders, long doubles."""
    whole = np.round(rows * 10)
    kinds = ("i4", "i8", ">f8", "f2", "f4", "g", "O")

    for kind in kinds:
        GMM(2, tmp_path / kind, n_threads=1).fit(whole.astype(kind), steps=2)
    GMM(2, tmp_path / "bool", n_threads=1, reg_covar=1e-3).fit(rows > 0, steps=2)

    assert len({inspect(tmp_path / kind).content_digest for kind in kinds}) == 1


def test_rows_that_the_model_drops_have_no_prediction(tmp_path, rows):
    """They get NaN and the assignment -1; other rows are not affected."""
    model = GMM(2, tmp_path / "m", missing="drop", n_threads=1).fit(rows, steps=3)
    gappy = rows.copy()
    gappy[[3, 200], 1] = np.nan
    kept = ~np.isnan(gappy).any(axis=1)

    found = model.predict(gappy, as_iterable=False)

    assert found["assignments"][~kept].tolist() == [-1, -1]
    assert np.isnan(found["all_scores"][~kept]).all()
    assert np.isnan(model.score_samples(gappy)[~kept]).all()
    assert (
        found["all_scores"][kept].tolist()
        == model.predict(rows, as_iterable=False)["all_scores"][kept].tolist()
    )
    with pytest.raises(TableUnusable, match="row 4"):
        GMM(2, tmp_path / "other", n_threads=1).fit(gappy)
    strict, lenient = (GMM(2, tmp_path / "m", missing=missing, n_threads=1) for missing in ("error", "drop"))
    with pytest.raises(TableUnusable, match="row 4"):
        strict.score_samples(gappy)
    assert lenient.score(gappy) == model.score(rows[kept])
