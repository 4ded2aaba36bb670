"""The file that --init names."""

import pytest

from gmmcli.errors import NotFound
from gmmcli.fitting.init_file import read_init_file


def test_a_file_is_no_directory(tmp_path):
    """A slash at the end asks for one, as the system says."""
    (tmp_path / "means.csv").write_text("a\n1\n")
    assert read_init_file(f"{tmp_path}/means.csv").model is None
    with pytest.raises(NotFound, match=r"means\.csv/: not a directory"):
        read_init_file(f"{tmp_path}/means.csv/")
