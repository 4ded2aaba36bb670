"""Tables that several tests of core fit."""

import csv
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]


def read_columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


@pytest.fixture(scope="session")
def faithful() -> dict[str, np.ndarray]:
    """Return the columns of Old Faithful: the example that the repository ships."""
    return read_columns(REPOSITORY / "examples" / "faithful.csv")


@pytest.fixture(scope="session")
def tf_table() -> np.ndarray:
    """Return the 4,000 rows of TensorFlow's gmm_test, (2, 4000)."""
    columns = read_columns(Path(__file__).parent / "data" / "tf_gmm_test.csv")
    return np.array([columns["x"], columns["y"]])
