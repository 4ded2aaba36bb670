"""stdout takes every byte, or the command says that it did not, in each verb."""

import fcntl
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

VERBS = {
    "fit": ["fit", "-m", "m", "--json", "t.csv"],
    "predict": ["predict", "-m", "m", "--outputs", "all", "t.csv"],
    "predict parquet": ["predict", "-m", "m", "--output-format", "parquet", "t.csv"],
    "score": ["score", "-m", "m", "t.csv"],
    "export": ["export", "-m", "m"],
    "inspect": ["inspect", "-m", "m", "--json"],
    "help": ["fit", "--help"],
    "version": ["--version"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a table and a model of eight columns."""
    folder = tmp_path_factory.mktemp("streams")
    X = np.random.default_rng(0).normal(size=(500, 8))
    np.savetxt(folder / "t.csv", X, delimiter=",", header=",".join("abcdefgh"), comments="")
    assert run(folder, ["fit", "-m", "m", "-k", "3", "--steps", "1", "t.csv"]).returncode == 0
    return folder


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def unbuffered(request, monkeypatch):
    """Set PYTHONUNBUFFERED, or leave it empty."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")


def run(folder, arguments, **how):
    """Run gmmcli, and return the result."""
    command = [sys.executable, "-m", "gmmcli", *arguments]
    how = {"stdout": subprocess.PIPE} | how
    return subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, check=False, **how)


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_reported_once(verb, folder, unbuffered):
    """Whether Python holds bytes back or not."""
    with open("/dev/full", "wb") as full:
        done = run(folder, VERBS[verb], stdout=full)
    name = f"gmmcli {VERBS[verb][0]}".removesuffix(" --version")
    assert (done.returncode, done.stderr.decode()) == (74, f"{name}: stdout: no space left on device\n")


@pytest.mark.parametrize(
    ("verb", "limit"), [("predict", 20_000), ("predict parquet", 4_000), ("export", 100), ("help", 100)]
)
def test_a_file_that_may_not_grow_is_reported_once(verb, limit, folder, tmp_path, unbuffered):
    """The system takes the bytes up to the limit, which is not all of them."""
    with open(tmp_path / "out", "wb") as out:
        done = run(
            folder,
            VERBS[verb],
            stdout=out,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
    name = f"gmmcli {VERBS[verb][0]}"
    assert (done.returncode, done.stderr.decode()) == (74, f"{name}: stdout: file too large\n")


@pytest.mark.parametrize("verb", ["predict", "predict parquet", "export", "inspect"])
def test_a_pipe_that_does_not_block_is_waited_for(verb, folder, unbuffered):
    """The reader gets the same bytes as through any other pipe, however slow it is."""
    expected = run(folder, VERBS[verb]).stdout
    assert len(expected) > 4096, "it would fit into the pipe"
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write_end, False)
    command = [sys.executable, "-m", "gmmcli", *VERBS[verb]]
    with subprocess.Popen(command, cwd=folder, stdout=write_end, stderr=subprocess.PIPE) as process:
        os.close(write_end)
        found = b"".join(iter(lambda: os.read(read_end, 3000), b""))
        assert (process.stderr.read(), process.wait()) == (b"", 0)
    os.close(read_end)
    assert found == expected
