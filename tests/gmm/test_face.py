"""What Python, an editor and a type checker see of the package."""

import pydoc
import subprocess
import sys

import pytest

import gmmcli
from gmmcli import GMM
from gmmcli.errors import Usage

TYPED = """
from collections.abc import Iterator
from typing import Any

from gmmcli import GMM, RunConfig

model = GMM(2, "m", config=RunConfig(keep_checkpoint_max=3)).fit("faithful.csv", max_steps=9)
rows: Iterator[dict[str, Any]] = model.predict("faithful.csv")
first: int = next(rows)["assignments"]
also_rows: Iterator[dict[str, Any]] = model.predict("faithful.csv", as_iterable=True)
columns: dict[str, Any] = model.predict("faithful.csv", as_iterable=False)
n_rows: int = len(columns["assignments"])
total: float = model.score("faithful.csv")
"""


def test_help_of_the_package_shows_the_estimator():
    """The estimator is imported when it is used."""
    text = pydoc.plain(pydoc.render_doc(gmmcli))

    assert "class GMM(" in text
    assert "class RunConfig(" in text
    assert "num_clusters" in text


def test_what_methods_return_can_be_used_without_a_cast(tmp_path):
    """The rules of mypy --strict accept the code with the installed package."""
    (tmp_path / "usage.py").write_text(TYPED)

    command = [sys.executable, "-m", "mypy", "--strict", "usage.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("n_components", "num_clusters"),
        ("random_state", "random_seed"),
        ("n_init", "restarts"),
        ("means_init", "initial_clusters"),
        ("max_iter", r"fit\(x, steps=N\), or monitors for a cap"),
    ],
)
def test_an_argument_of_scikit_learn_is_answered_with_the_name_here(tmp_path, name, here):
    """Both the constructor and set_params name it."""
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}': use {here}"):
        GMM(2, tmp_path, **{name: 3})
    with pytest.raises(Usage, match=f"{name}: not a parameter: use {here}"):
        GMM(2, tmp_path).set_params(**{name: 3})


def test_an_unknown_argument_is_refused(tmp_path):
    """The error is that of any function."""
    with pytest.raises(TypeError, match=r"^GMM\(\) got an unexpected keyword argument 'frob'$"):
        GMM(2, tmp_path, frob=3)
