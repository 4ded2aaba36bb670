"""A table that does not fit into memory is refused with numbers, before the system kills the process."""

import re
import resource
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from gmmcli.engine import room
from gmmcli.engine.room import MIB, Room, check_room, find_room
from gmmcli.errors import OutOfMemory


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a folder that replaces /proc and /sys/fs/cgroup, with 1 GiB available."""
    monkeypatch.setattr(room, "_PROC", tmp_path)
    monkeypatch.setattr(room, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 1048000 kB\nSwapFree: 576 kB\n")
    return tmp_path


def add_group(folder, limit, usage, *, names=("memory.max", "memory.current", "inactive_file"), cache=0):
    """Write the files of a control group."""
    folder.mkdir(parents=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cache}\n")


def test_without_limits_the_room_is_that_of_the_machine(system):
    """By the kernel's estimate."""
    assert find_room() == Room(1024 * MIB, "the machine")


def test_a_system_that_tells_nothing_has_no_bound(system):
    """A system other than Linux reports nothing."""
    (system / "meminfo").unlink()
    assert find_room() is None
    check_room("t.csv", 10**12, 100)


def test_the_tightest_control_group_counts(system):
    """Version 2: the process's own and its parents; inactive cache counts as free."""
    (system / "self/cgroup").write_text("0::/a/b\n")
    add_group(system / "groups/a", 300 * MIB, 200 * MIB, cache=50 * MIB)
    add_group(system / "groups/a/b", "max", 190 * MIB)
    assert find_room() == Room(150 * MIB, "the 300 MiB of the control group")


def test_control_groups_of_version_1_count(system):
    """Even if the process's own group is not visible, as in a container."""
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (system / "self/cgroup").write_text("5:cpu:/x\n4:memory:/docker/0123\n0::/\n")
    add_group(system / "groups/memory", 500 * MIB, 100 * MIB, names=names)
    assert find_room() == Room(400 * MIB, "the 500 MiB of the control group")


def test_the_address_space_counts(system, monkeypatch):
    """Without the part that is in use."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (400 * MIB, 400 * MIB))
    (system / "self/statm").write_text(f"{100 * MIB // resource.getpagesize()} 1 1 1 0 1 0\n")
    assert find_room() == Room(300 * MIB, "the 400 MiB of ulimit -v")


def test_rows_that_are_held_need_no_room(system):
    """Only later rows, and a reserve."""
    check_room("t.csv", 8 * MIB, 8)
    with pytest.raises(OutOfMemory) as caught:
        check_room("t.csv", 12 * MIB, 8)
    assert str(caught.value) == (
        "t.csv: needs 1,284 MiB of memory for 12,582,912 rows of 8 columns, "
        "but only 1,024 of the machine are left"
    )
    assert caught.value.status == 71
    check_room("t.csv", 12 * MIB, 8, n_rows_held=12 * MIB)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("limit_mib", [400, 600, 1000])
def test_a_fit_below_a_limit_is_refused_with_numbers(kind, limit_mib, tmp_path):
    """There is no signal, and no message of a library."""
    table = pa.table({f"x{j}": np.arange(1_000_000) % 1000 / 7 for j in range(12)})
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        line = ",".join(["1.5"] * 150)
        path.write_text(",".join(f"x{j}" for j in range(150)) + "\n" + f"{line}\n" * 800_000)
    else:
        table = pa.concat_tables([table] * 12)
        parquet.write_table(table, path)
    fit = f"{sys.executable} -m gmmcli fit -m {tmp_path}/m -k 1 --threads 2 {path}"
    command = f"ulimit -v {limit_mib * 1024}; exec {fit}"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 71, done
    fact = rf"needs [\d,]+ MiB of memory.*, but only \d+ of the {limit_mib:,} MiB of ulimit -v are left"
    assert re.fullmatch(rf"gmmcli fit: .*: {fact}\n", done.stderr)
    assert not (tmp_path / "m").exists()
