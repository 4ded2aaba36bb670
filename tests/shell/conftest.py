"""Sessions to type in."""

from pathlib import Path

import pytest
from shell.session import Session


@pytest.fixture(scope="session")
def geyser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model directory of two components of faithful.csv, converged."""
    session = Session(tmp_path_factory.mktemp("geyser"))
    assert session.run("gmmcli fit -m geyser -k 2 faithful.csv").status == 0
    return session.directory / "geyser"


@pytest.fixture
def session(tmp_path: Path, geyser: Path) -> Session:
    """Return a session with the example tables and the model `geyser`."""
    return Session(tmp_path, geyser)


@pytest.fixture
def empty_session(tmp_path: Path) -> Session:
    """Return a session with the example tables alone."""
    return Session(tmp_path)
