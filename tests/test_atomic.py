"""Outputs appear whole or not at all; what dead processes have left goes, what living ones write stays."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gmmcli import atomic
from gmmcli.atomic import open_atomic
from gmmcli.errors import CannotCreate, GmmError, PermissionRefused, ReadWriteFailed
from gmmcli.jobs.export import ExportRequest, export

ROOT = Path(atomic.__file__).parents[1]
# Begins an output under the name that it is told, says so, and waits to be killed.
BEGIN = """
import sys, time
from pathlib import Path
from gmmcli import atomic
path = Path(sys.argv[1])
make = {"file": atomic.create_new, "folder": atomic.make_folder}[sys.argv[2]]
with atomic.aside(path, path.parent, path.name, make):
    print("begun", flush=True)
    time.sleep(600)
"""


def write(path, content=b"new"):
    """Write an output."""
    with open_atomic(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def begun(path, kind):
    """Yield while a process has begun an output; it is killed then."""
    command = [sys.executable, "-c", BEGIN, path, kind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        yield
        process.kill()


def hidden(folder):
    """Return the hidden names in a folder."""
    return sorted(path.name for path in folder.glob(".*"))


def fail_sync_of_folders(monkeypatch, code):
    """Let every fsync of a folder fail."""
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_run_to_the_same_place_removes_what_a_killed_one_left(tmp_path, kind):
    """Of a process that lives it removes nothing, nor anything of another output."""
    output, other = tmp_path / "labels.csv", tmp_path / "other.csv"
    with begun(output, kind):
        with begun(output, kind), begun(other, kind):
            assert len(hidden(tmp_path)) == 3

        write(output)

        assert output.read_bytes() == b"new"
        assert [name.rsplit(".", 2)[0] for name in hidden(tmp_path)] == [".labels.csv", ".other.csv"]
    write(output)
    write(other)
    assert hidden(tmp_path) == []


def test_what_only_looks_like_a_leftover_stays(tmp_path):
    """Pipes, links, and names that are not the ones given here."""
    names = [".labels.csv.0123abcd.gmmcli", ".labels.csv.4711-0123abcd.tmp", ".labels.csv.swp", ".labels.csv"]
    os.mkfifo(tmp_path / names[0])
    for name in names[1:]:
        (tmp_path / name).touch()
    (tmp_path / ".labels.csv.00000000.gmmcli").symlink_to(".labels.csv")

    write(tmp_path / "labels.csv")

    assert hidden(tmp_path) == sorted([*names, ".labels.csv.00000000.gmmcli"])


def test_a_leftover_that_was_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """Another run may see a file in the moment before its lock."""
    real, seen = atomic.create_new, []

    def create(path):
        descriptor = real(path)
        if not seen:
            path.unlink()
        seen.append(path)
        return descriptor

    monkeypatch.setattr(atomic, "create_new", create)

    write(tmp_path / "labels.csv")

    assert len(seen) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_a_file_system_without_locks_keeps_what_others_may_still_write(tmp_path, monkeypatch):
    """Nobody can tell there whether a file's process lives."""
    leftover = tmp_path / ".labels.csv.0123abcd.gmmcli"
    leftover.touch()

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)

    write(tmp_path / "labels.csv")

    assert hidden(tmp_path) == [leftover.name]
    assert (tmp_path / "labels.csv").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failed_sync_of_the_folder_is_an_error_that_says_so(tmp_path, monkeypatch, code):
    """The file has its name already."""
    fail_sync_of_folders(monkeypatch, code)

    with pytest.raises(ReadWriteFailed, match="; it may have been written") as caught:
        write(tmp_path / "labels.csv")

    assert caught.value.subject == str(tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_a_folder_is_let_off(tmp_path, monkeypatch, code):
    """There is nothing that a user could do."""
    fail_sync_of_folders(monkeypatch, code)

    write(tmp_path / "labels.csv")

    assert (tmp_path / "labels.csv").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "ab" * 120, "é.csv"])
def test_every_name_that_the_file_system_takes_can_be_written(tmp_path, name):
    """The hidden name is no longer than it may be."""
    write(tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x" * 256, "d/" * 2100 + "x"])
def test_a_name_that_is_too_long_says_so(tmp_path, name):
    """In the name itself, and in the path as a whole."""
    with pytest.raises(CannotCreate, match="cannot be created: file name too long"):
        write(tmp_path / name)


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (errno.ENOSPC, ReadWriteFailed, "cannot be created: no space left on device"),
        (errno.EDQUOT, ReadWriteFailed, "cannot be created: disk quota exceeded"),
        (errno.EROFS, CannotCreate, "cannot be created: read-only file system"),
        (errno.EACCES, PermissionRefused, "permission denied"),
    ],
)
def test_a_file_that_cannot_be_created_says_why(tmp_path, monkeypatch, code, error, text):
    """The reason of the operating system stays."""

    def refuse(_path):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic, "create_new", refuse)

    with pytest.raises(error, match=text):
        write(tmp_path / "labels.csv")


def test_where_no_inode_is_left_the_message_says_so(tmp_path, monkeypatch):
    """A disk may have space and take no file."""
    found = os.statvfs(tmp_path)
    full = os.statvfs_result((*found[:7], 0, *found[8:10]))

    def refuse(_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "create_new", refuse)
    monkeypatch.setattr(os, "statvfs", lambda _path: full)

    with pytest.raises(ReadWriteFailed, match="no space left on device, no inode is free"):
        write(tmp_path / "labels.csv")


@pytest.fixture
def model():
    """Return a model directory of an older version."""
    return Path(__file__).parent / "archive/format-1.0-diag"


@pytest.mark.parametrize(
    ("code", "text"), [(errno.EIO, "it may have been written"), (errno.EINVAL, None), (errno.ENOTSUP, None)]
)
def test_an_export_directory_whose_name_is_not_synced_is_an_error(tmp_path, monkeypatch, model, code, text):
    """Once it has its name; the file system that cannot sync is let off."""
    real, n_synced = atomic.sync_folder, 0

    def sync(path):
        nonlocal n_synced
        if path == tmp_path:
            n_synced += 1
            fail_sync_of_folders(monkeypatch, code)
        real(path)

    monkeypatch.setattr(atomic, "sync_folder", sync)
    try:
        export(ExportRequest(model, "json", export_dir=tmp_path))
        error = None
    except GmmError as found:
        error = found

    assert n_synced == 1
    assert len(list(tmp_path.iterdir())) == 1
    assert (error is None) if text is None else (isinstance(error, ReadWriteFailed) and text in error.fact)


def test_an_export_removes_what_a_killed_one_left(tmp_path, model):
    """With all that is in it; other people's folders stay."""
    with begun(tmp_path / "export", "folder"):
        pass
    (left,) = tmp_path.iterdir()
    (left / "assets.extra").mkdir()
    (left / "assets.extra" / "notes").touch()
    (tmp_path / ".export-0123456789abcdef").mkdir()

    made = export(ExportRequest(model, "json", export_dir=tmp_path)).directory

    assert sorted(path.name for path in tmp_path.iterdir()) == [".export-0123456789abcdef", made.name]


@pytest.mark.parametrize("base", ["x" * 256, "d/" * 2100 + "x"])
def test_an_export_directory_whose_name_is_too_long_says_so(tmp_path, model, base):
    """As a file does."""
    with pytest.raises(CannotCreate, match="cannot be created: file name too long"):
        export(ExportRequest(model, "json", export_dir=tmp_path / base))
