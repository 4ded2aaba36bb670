"""Settings: what a later command line may say of a model, and what an older checkpoint may lack."""

from dataclasses import asdict, replace

import pytest

from gmmcli.errors import CheckpointCorrupt, Usage
from gmmcli.fitting.options import options_of
from gmmcli.fitting.settings import Settings

MODEL = Settings.of_new_model({"components": 3})
DEFAULTS = [name for name, row in options_of(Settings) if row.default is not None]


def test_a_new_model_takes_the_defaults():
    """Auto tries eight starts; one component needs one."""
    assert (MODEL.restarts, MODEL.init, MODEL.covariance_type) == (None, "auto", "full")
    assert Settings.of_new_model({"components": 1}).restarts == 1
    assert Settings.of_new_model({"components": 3, "init": "kmeans"}).restarts == 1


def test_a_new_model_needs_a_number_of_components():
    """The number of components has no default."""
    with pytest.raises(Usage, match="number of components"):
        Settings.of_new_model({})


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [
        ("components", 3, 2),
        ("covariance_type", "full", "diag"),
        ("init", "auto", "kmeans"),
        ("restarts", None, 4),
        ("seed", 0, 1),
    ],
)
def test_identity_and_start_may_be_repeated_and_not_changed(name, same, other):
    """The same value is no contradiction, another one is status 2 and names --fresh."""
    assert MODEL.continued_with({name: same}, "m") == MODEL
    with pytest.raises(Usage, match=f"{other}, but m has {'auto' if same is None else same}") as caught:
        MODEL.continued_with({name: other}, "m")
    assert "--fresh" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [("tol", 1e-3), ("accelerate", "none"), ("params", "wm"), ("missing", "drop"), ("keep", 0)],
)
def test_run_settings_change_and_are_remembered(name, value):
    """They change without an error."""
    changed = MODEL.continued_with({name: value}, "m")

    assert getattr(changed, name) == value
    assert getattr(changed.continued_with({}, "m"), name) == value


@pytest.mark.parametrize("name", sorted([*DEFAULTS, "keep_every"]))
def test_a_setting_that_an_older_version_did_not_have_is_the_default(name):
    """Model directories of old versions still open."""
    stored = asdict(MODEL)
    del stored[name]

    before = {"min_sd": 0.0}  # a bound that the model did not have
    assert Settings.from_json(stored, "m") == replace(MODEL, **{n: v for n, v in before.items() if n == name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tol", "abc"),
        ("tol", float("nan")),
        ("keep", True),
        ("keep", -3),
        ("keep_every", 0),
        ("components", None),
        ("components", 0),
        ("restarts", 1.5),
        ("init", 7),
        ("params", "wmx"),
        ("missing", "maybe"),
    ],
)
def test_a_setting_of_another_type_is_damage(name, value):
    """A value of another type or out of bounds is status 76, not a bug."""
    with pytest.raises(CheckpointCorrupt, match=f"its setting {name} is"):
        Settings.from_json(asdict(MODEL) | {name: value}, "m")


def test_settings_survive_json():
    """What is stored reads back the same."""
    assert Settings.from_json(asdict(MODEL), "m") == MODEL
