"""Reading a model directory: the newest checkpoint or a given one, or an error that says what to type."""

import os
import shutil
import subprocess
import sys
import tracemalloc

import pytest

from gmmcli.core.em.memory import Memory
from gmmcli.errors import CheckpointCorrupt, FormatUnknown, NotFound
from gmmcli.remedies import ReadCheckpoint, StartAnew, in_shell
from gmmcli.store import layout, model_dir, user_block
from gmmcli.store.checkpoint import content_digest
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import ModelDir, Stored, rollback_to


@pytest.fixture
def model(tmp_path, build):
    """Return a model directory with checkpoints 1, 2 and 3 of 10, 20 and 30 steps."""
    path = tmp_path / "geyser"
    with Writer(path) as writer:
        for step in (10, 20, 30):
            writer.publish(build(global_step=step))
    return path


def file_of(model, generation):
    """Return the path of a checkpoint."""
    return model / "checkpoints" / f"ckpt-{generation:09d}.h5"


def flip(path, position=3000):
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_every_file_is_listed_with_its_size(model):
    """Ascending by generation, unread."""
    listings = ModelDir(model).list()

    assert [listing.generation for listing in listings] == [1, 2, 3]
    assert listings[1].size_bytes == file_of(model, 2).stat().st_size


@pytest.mark.parametrize(("generation", "step"), [(None, 30), (3, 30), (1, 10)])
def test_the_newest_is_loaded_unless_another_is_asked_for(model, generation, step):
    """latest.h5 is not read."""
    (model / "latest.h5").unlink()

    stored = ModelDir(model).load(generation)

    assert stored.checkpoint.global_step == step
    assert stored.generation == step // 10
    assert stored.size_bytes == file_of(model, stored.generation).stat().st_size


@pytest.mark.parametrize("method", ["list", "load", "iter_log"])
def test_a_missing_directory_is_not_found(tmp_path, method):
    """The hint is the command that makes one."""
    with pytest.raises(NotFound, match="no such model directory") as caught:
        list(getattr(ModelDir(tmp_path / "a b"), method)())

    assert caught.value.hint == f"gmmcli fit -m '{tmp_path}/a b' -k 3 TABLE"


@pytest.mark.parametrize("method", ["list", "load"])
def test_a_directory_without_a_checkpoint_is_not_found(tmp_path, method):
    """An interrupted first run leaves such a directory."""
    (tmp_path / "checkpoints").mkdir()

    with pytest.raises(NotFound, match="holds no checkpoint"):
        getattr(ModelDir(tmp_path), method)()


def test_a_file_is_not_a_model_directory(model):
    """Nor is a checkpoint. A fit with its name would fail, so the hint is not to fit."""
    with pytest.raises(NotFound, match="not a directory") as caught:
        ModelDir(file_of(model, 1)).load()

    assert caught.value.hint == "choose another name for -m"


def test_a_directory_of_other_things_is_not_a_model_directory(tmp_path):
    """The words and the reason are those of fit, whose command would fail; names with a dot do not count."""
    (tmp_path / ".hidden").touch()
    with pytest.raises(NotFound, match="holds no model"):
        ModelDir(tmp_path).load()
    (tmp_path / "a.jpg").touch()

    with pytest.raises(NotFound, match=r'not a model directory: it holds "a\.jpg"$') as caught:
        ModelDir(tmp_path).load()

    assert caught.value.hint == "choose another name for -m"


def test_a_generation_that_is_not_there_is_not_found(model):
    """The message names those that exist."""
    with pytest.raises(NotFound, match="no checkpoint 9; it holds checkpoints 1, 2, 3"):
        ModelDir(model).load(9)


def test_a_damaged_newest_checkpoint_is_an_error_that_names_the_way_out(model):
    """There is no silent step back."""
    flip(file_of(model, 3))
    flip(file_of(model, 2))

    with pytest.raises(CheckpointCorrupt, match="the newest good one is checkpoint 1") as caught:
        ModelDir(model).load()

    assert caught.value.subject == str(file_of(model, 3))
    assert (
        in_shell(caught.value.hint)
        == f"gmmcli fit -m {model} --rollback data/geyser.csv, or --checkpoint 1 to read that one"
    )
    assert ModelDir(model).load(1).checkpoint.global_step == 10


def test_a_damaged_older_checkpoint_needs_no_rollback(model):
    """The hint names another checkpoint to read."""
    flip(file_of(model, 2))

    with pytest.raises(CheckpointCorrupt) as caught:
        ModelDir(model).load(2)

    assert caught.value.hint == ReadCheckpoint(3)


def test_where_nothing_is_good_only_a_fresh_start_is_left(model):
    """Only the user can ask for it."""
    for generation in (1, 2, 3):
        flip(file_of(model, generation))

    with pytest.raises(CheckpointCorrupt, match="no other checkpoint is good") as caught:
        ModelDir(model).load()

    assert caught.value.hint == StartAnew(str(model))


def test_a_swapped_file_is_refused(model):
    """A whole checkpoint under the name of another one is damage."""
    shutil.copy(file_of(model, 1), file_of(model, 3))

    with pytest.raises(CheckpointCorrupt, match="another checkpoint than its name"):
        ModelDir(model).load()


@pytest.mark.parametrize("make", ["link", "folder", "pipe", "empty", "large"])
def test_only_a_regular_file_of_bearable_size_is_read(model, make, monkeypatch):
    """Any other kind of file is refused, without following it or waiting for it."""
    path = file_of(model, 4)
    monkeypatch.setattr(model_dir, "MAX_FILE_BYTES", 1 << 20)
    match make:
        case "link":
            path.symlink_to(file_of(model, 3))
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "empty":
            path.touch()
        case "large":
            path.write_bytes(user_block.pack(bytes(1 << 20)))
            os.truncate(path, user_block.SIZE + (1 << 20))

    with pytest.raises(
        CheckpointCorrupt, match=r"link|not a regular file|0 bytes long|at most 1048576 are read"
    ):
        ModelDir(model).load()


@pytest.mark.parametrize("head", [bytes(512), user_block.pack(b"short")])
def test_a_huge_file_is_refused_by_its_first_bytes(model, head):
    """A sparse file of 3 GiB is refused without reading it."""
    file_of(model, 4).write_bytes(head)
    os.truncate(file_of(model, 4), 3 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointCorrupt, match=r"magic bytes|recorded are 5; the newest good one"):
            ModelDir(model).load()
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_newest_checkpoint_that_is_gone_is_an_error_to_a_reader(model):
    """The log, or else latest.h5, shows the loss; older checkpoints are read on request."""
    file_of(model, 3).unlink()
    ways = f"gmmcli fit -m {model} --rollback data/geyser.csv, or --checkpoint 2 to read that one"
    for spoil in (lambda: None, (model / "log.jsonl").unlink):
        spoil()
        with pytest.raises(
            CheckpointCorrupt, match=r"newest checkpoint 3 is missing; the newest one left is 2$"
        ) as caught:
            ModelDir(model).load()
        assert in_shell(caught.value.hint) == f"restore the file, or: {ways}"
    assert ModelDir(model).load(2).generation == 2


def test_a_way_back_names_the_tables_of_a_fit_but_not_of_a_partial_one(model, build):
    """A partial fit learnt from tables that its checkpoint does not know."""
    whole, partial = build(), build(memory=Memory(approximate=True))

    ways = [rollback_to(model, Stored(checkpoint, 1, "", 0)) for checkpoint in (whole, partial)]

    assert [way.tables for way in ways] == [("data/geyser.csv",), ()]


@pytest.mark.parametrize("gone", [("log.jsonl",), ("latest.h5",), ("latest.h5", "lock")])
def test_checkpoints_that_are_gone_are_not_called_a_new_model(model, gone):
    """Even if their folder is gone too."""
    for name in gone:
        (model / name).unlink()
    for remove in (*(file_of(model, g).unlink for g in (3, 2, 1)), (model / "checkpoints").rmdir):
        remove()
        with pytest.raises(CheckpointCorrupt, match="newest checkpoint 3 is missing"):
            ModelDir(model).load()


def test_checkpoints_behind_a_link_are_not_read(model, tmp_path):
    """The model directory may be a link; its folder of checkpoints may not."""
    (tmp_path / "alias").symlink_to(model)
    assert ModelDir(tmp_path / "alias").load().generation == 3

    (model / "checkpoints").rename(tmp_path / "elsewhere")
    (model / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotFound):
        ModelDir(model).load()


def test_a_newer_format_is_not_called_damage(model, build, provenance, monkeypatch):
    """The hint is to install a newer version, not a rollback."""
    with Writer(model) as writer, monkeypatch.context() as patch:
        patch.setattr("gmmcli.store.commit.decode", lambda data, subject: build(provenance=provenance))
        patch.setattr(layout, "FORMAT_VERSION", "2.0")
        writer.publish(build())

    with pytest.raises(FormatUnknown, match=r"has format 2\.0; this version reads 1\.x") as caught:
        ModelDir(model).load()

    assert caught.value.hint == "pip install --upgrade gmmcli"


def test_a_checkpoint_that_retention_takes_while_it_is_opened_is_no_error(model, build, monkeypatch):
    """The folder is listed again, and the new newest checkpoint is read."""
    real_open, pending = os.open, [True]

    def open_slowly(path, *rest, **options):
        if pending and str(path).startswith("ckpt-"):
            pending.clear()
            with Writer(model, keep=1) as writer:
                writer.publish(build(global_step=40))
        return real_open(path, *rest, **options)

    monkeypatch.setattr(os, "open", open_slowly)

    assert ModelDir(model).load().checkpoint.global_step == 40


def test_a_torn_last_line_of_the_log_is_left_out(model):
    """An incomplete last line is not damage."""
    whole = list(ModelDir(model).iter_log())
    with (model / "log.jsonl").open("a") as log:
        log.write('{"event": "chec')

    assert list(ModelDir(model).iter_log()) == whole
    assert [event["global_step"] for event in whole] == [10, 20, 30]


def test_a_model_directory_without_a_log_has_no_events(model):
    """The log is for people: it may be missing."""
    (model / "log.jsonl").unlink()

    assert list(ModelDir(model).iter_log()) == []


def test_reading_a_model_loads_neither_scipy_nor_pyarrow():
    """Predict pays for what the store imports."""
    program = (
        "import sys, gmmcli.store.model_dir\n"
        "assert not {'scipy', 'pyarrow', 'click'} & set(sys.modules), sorted(sys.modules)"
    )
    root = os.fspath(layout.__file__).removesuffix("gmmcli/store/layout.py")

    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)


def test_what_is_read_is_what_was_published(model, build):
    """The content digest is the same before and after the disk."""
    assert content_digest(ModelDir(model).load(2).checkpoint) == content_digest(build(global_step=20))
