"""What libraries find in the environment when they load."""

import os

import pytest

from gmmcli.cli import libraries

SIX = "fpu avx2 avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.fixture(name="cpuinfo")
def cpuinfo_file(tmp_path, monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE"):
        monkeypatch.setenv(name, "x")  # so that what is set in the test is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr(libraries, "CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize(
    ("flags", "expected"), [(SIX, "SkylakeX"), (SIX.replace("avx512vl", ""), None), ("fpu avx2", None)]
)
def test_the_avx512_kernel_is_asked_for_where_the_processor_has_all_it_needs(cpuinfo, flags, expected):
    """The flags of the first processor decide."""
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: X\nflags\t\t: {flags}\nbogomips\t: 1\n\n" * 400)

    libraries.prepare_openblas()

    assert os.environ.get("OPENBLAS_CORETYPE") == expected
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"


def test_what_the_user_has_set_stays(cpuinfo, monkeypatch):
    """A kernel and a number of threads that the user has set are kept."""
    cpuinfo.write_text(f"flags\t: {SIX}\n")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")

    libraries.prepare_openblas()

    assert (os.environ["OPENBLAS_CORETYPE"], os.environ["OPENBLAS_NUM_THREADS"]) == ("Haswell", "3")


def test_a_system_without_such_a_file_is_left_alone(cpuinfo):
    """On other systems, OpenBLAS chooses its kernel."""
    libraries.prepare_openblas()

    assert "OPENBLAS_CORETYPE" not in os.environ
