"""Below `ulimit -v` a verb works or is refused with numbers; no library has the last word."""

import re
import subprocess
import sys

import numpy as np
import pytest

REFUSAL = re.compile(
    r"gmmcli \w+: ("
    r"memory: the libraries need \d+ MiB of addresses, but ulimit -v is \d+ MiB|"
    r"t\.csv: needs 128 MiB of memory, but only \d+ of the \d+ MiB of ulimit -v are left)\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a table of some chunks and a model."""
    folder = tmp_path_factory.mktemp("space")
    X = np.random.default_rng(0).normal(size=(30_000, 8))
    np.savetxt(folder / "t.csv", X, delimiter=",", header=",".join("abcdefgh"), comments="", fmt="%.6f")
    assert run(folder, "fit -m m -k 2 --steps 1 t.csv").returncode == 0
    return folder


def run(folder, arguments, limit_mib="unlimited"):
    """Run gmmcli below a limit."""
    limit = limit_mib if limit_mib == "unlimited" else limit_mib * 1024
    command = f"ulimit -v {limit}; exec {sys.executable} -m gmmcli {arguments}"
    return subprocess.run(["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize(
    "arguments",
    [
        "fit -m new -k 1 --steps 1 --threads 2 t.csv",
        "predict -m m --threads 2 t.csv",
        "score -m m --threads 2 t.csv",
        "export -m m",
        "inspect -m m",
    ],
)
def test_a_verb_below_a_limit_works_or_is_refused_with_numbers(arguments, folder):
    """The limits are where libraries end the process, or leave a module half loaded, if they are let."""
    statuses = []
    for limit_mib in (78, 100, 195, 244, 293, 340, 600):
        done = run(folder, arguments, limit_mib)
        statuses.append(done.returncode)
        if done.returncode != 0:
            assert done.returncode == 71, done
            assert REFUSAL.fullmatch(done.stderr), done
    assert (statuses[0], statuses[-1]) == (71, 0)
