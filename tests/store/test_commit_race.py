"""Two writers: the lock is a courtesy, the hard link decides, and no update is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gmmcli.errors import ModelDirBusy
from gmmcli.store import creation, layout, lock
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import ModelDir
from gmmcli.store.verify import check


@pytest.fixture
def model(tmp_path):
    """Return the path of a model directory that does not exist yet."""
    return tmp_path / "geyser"


def names(folder):
    """Return the names in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def publish(model, build, *steps, **options):
    """Publish one checkpoint for each step."""
    with Writer(model, **options) as writer:
        return [writer.publish(build(global_step=step)) for step in steps]


def test_a_second_writer_is_told_who_holds_the_lock(model, build):
    """Status 75: safe to retry. Readers are not held up."""
    publish(model, build, 1)
    with Writer(model):
        with (
            pytest.raises(ModelDirBusy, match=rf"busy: pid {os.getpid()} on .* since \d{{4}}-.*Z$"),
            Writer(model),
        ):
            pass
        assert ModelDir(model).load().generation == 1
    with Writer(model) as writer:
        assert writer.latest().generation == 1


@pytest.mark.parametrize("note", [b"", b"\xff", b"{}", b'{"pid": "x"}', b"[" * 5000])
def test_the_lock_holds_whatever_its_file_says(model, note):
    """The content of the lock file is for messages only."""
    with Writer(model):
        (model / "lock").write_bytes(note)
        with pytest.raises(ModelDirBusy, match="busy: another process writes to it"), Writer(model):
            pass


def test_a_killed_writer_leaves_no_lock(model):
    """The kernel frees the lock; the file that remains has no effect."""
    program = (
        "import os, pathlib, sys\nfrom gmmcli.store.commit import Writer\n"
        "with Writer(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    root = os.fspath(layout.__file__).removesuffix("gmmcli/store/layout.py")
    died = subprocess.run([sys.executable, "-c", program, model], cwd=root, check=False)
    assert died.returncode == -9
    assert json.loads((model / "lock").read_text())["pid"] != os.getpid()

    with Writer(model) as writer:
        assert writer.latest() is None


def without_lock(monkeypatch):
    """Let every flock succeed, as on a file system where it has no effect."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)


def test_of_two_writers_without_a_lock_the_second_loses(model, build, monkeypatch):
    """Both continue checkpoint 1; the hard link decides, and no update is lost."""
    publish(model, build, 1)
    without_lock(monkeypatch)
    with Writer(model) as slow, Writer(model) as fast:
        slow.latest()
        fast.latest()
        fast.publish(build(global_step=2))
        with pytest.raises(ModelDirBusy, match="another process wrote checkpoint 2"):
            slow.publish(build(global_step=99))

    assert ModelDir(model).load().checkpoint.global_step == 2
    assert names(model / "checkpoints") == ["ckpt-000000001.h5", "ckpt-000000002.h5"]
    assert check(model, "full") == []


def test_a_number_that_another_writers_retention_freed_is_not_taken(model, build, monkeypatch):
    """The slow writer's link succeeds, but others have continued without it."""
    publish(model, build, 1)
    without_lock(monkeypatch)
    with Writer(model) as slow:
        slow.latest()
        publish(model, build, 2, 3, 4, keep=1)
        with pytest.raises(ModelDirBusy, match="has already written checkpoint 4"):
            slow.publish(build(global_step=99))

    assert names(model / "checkpoints") == ["ckpt-000000004.h5"]


def test_a_checkpoint_that_others_have_continued_at_once_stands(model, build, monkeypatch):
    """Between the link and the check, another writer read it and published the next one."""
    publish(model, build, 1)
    without_lock(monkeypatch)
    real_link, pending = os.link, [True]

    def link_and_wait(*names, **options):
        real_link(*names, **options)
        if pending:
            pending.clear()
            publish(model, build, 3)

    monkeypatch.setattr(os, "link", link_and_wait)

    (stored,) = publish(model, build, 2)

    assert stored.generation == 2
    assert [listing.generation for listing in ModelDir(model).list()] == [1, 2, 3]
    assert check(model, "full") == []


def test_a_link_whose_answer_was_lost_has_succeeded(model, build, monkeypatch):
    """NFS may report that the name exists because a repeated request made it."""
    real_link = os.link

    def link_twice(*names, **options):
        real_link(*names, **options)
        real_link(*names, **options)

    monkeypatch.setattr(os, "link", link_twice)

    (stored,) = publish(model, build, 1)

    assert ModelDir(model).load().sha256 == stored.sha256


@pytest.mark.parametrize("before", ["lock", "checkpoints"])
def test_a_run_whose_folders_another_removes_is_told_to_try_again(model, monkeypatch, before):
    """The other run made them and published nothing. The error comes at once, and is not "no such file"."""
    module, name = {"lock": (lock, "take"), "checkpoints": (creation, "make")}[before]
    original = getattr(module, name)

    def do_and_lose(*arguments):
        if before == "lock":
            shutil.rmtree(model)
            model.mkdir()
            (model / "checkpoints").mkdir()
            return original(*arguments)
        done = original(*arguments)
        shutil.rmtree(model)
        return done

    monkeypatch.setattr(module, name, do_and_lose)

    with pytest.raises(ModelDirBusy, match="another run removed"), Writer(model):
        pass


def test_a_folder_above_that_another_run_removes_is_made_again(tmp_path, monkeypatch):
    """Two first runs may start together, and one of them may fail."""
    mkdir, n_made = Path.mkdir, 0

    def make_after_a_removal(path):
        nonlocal n_made
        n_made += 1
        if n_made == 2:
            path.parent.rmdir()
        mkdir(path)

    monkeypatch.setattr(Path, "mkdir", make_after_a_removal)
    with Writer(tmp_path / "deep" / "model"):
        assert n_made == 4
    assert names(tmp_path) == []


def test_a_path_that_leads_back_up_leaves_nothing_behind(tmp_path):
    """The folders that were made for such a path are removed again."""
    with Writer(tmp_path / "a" / ".." / "m"):
        pass
    assert names(tmp_path) == []


def test_a_folder_with_hidden_names_is_left_as_it_was(tmp_path):
    """Hidden names do not count."""
    (tmp_path / ".gitkeep").touch()
    with Writer(tmp_path):
        pass
    assert names(tmp_path) == [".gitkeep"]
