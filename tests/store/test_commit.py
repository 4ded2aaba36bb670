"""Writing: numbers only grow, a rollback renames damaged files, and leftovers of a crash are removed."""

import hashlib
import os
import stat
import subprocess

import numpy as np
import pytest

from gmmcli.errors import CannotCreate, CheckpointCorrupt, FormatUnknown, NotFound
from gmmcli.remedies import StartAnew, in_shell
from gmmcli.store import layout, run_log
from gmmcli.store.commit import Writer
from gmmcli.store.directory import Folder
from gmmcli.store.model_dir import ModelDir
from gmmcli.store.run_log import GivenUp
from gmmcli.store.verify import check


@pytest.fixture
def model(tmp_path):
    """Return the path of a model directory that does not exist yet."""
    return tmp_path / "models" / "geyser"


def names(folder):
    """Return the names in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def file_of(model, generation):
    """Return the path of a checkpoint."""
    return model / "checkpoints" / f"ckpt-{generation:09d}.h5"


def flip(path):
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)


def publish(model, build, *steps, **options):
    """Publish one checkpoint for each step."""
    with Writer(model, **options) as writer:
        return [writer.publish(build(global_step=step)) for step in steps]


def test_a_directory_is_made_with_everything_above_it(model, build):
    """Before the first checkpoint the directory holds only the folder of checkpoints and the lock."""
    with Writer(model) as writer:
        assert writer.latest() is None
        assert names(model) == ["checkpoints", "lock"]
        stored = writer.publish(build())

    assert stored.generation == 1
    assert names(model) == ["checkpoints", "latest.h5", "lock", "log.jsonl"]
    assert names(model / "checkpoints") == ["ckpt-000000001.h5"]
    assert writer.warnings == []
    assert check(model, "full") == []


def test_each_checkpoint_names_its_parent_and_keeps_the_lineage(model, build):
    """A later process keeps the lineage; a fresh start begins a new one in the same chain of files."""
    first, second = publish(model, build, 1, 2)
    (third,) = publish(model, build, 3)
    with Writer(model) as writer:
        fourth = writer.publish(build(global_step=0), fresh=True)

    chain = [stored.checkpoint.provenance for stored in (first, second, third, fourth)]
    assert [p.generation for p in chain] == [1, 2, 3, 4]
    assert [p.parent_sha256 for p in chain] == ["", first.sha256, second.sha256, third.sha256]
    assert len({p.lineage for p in chain[:3]}) == 1
    assert chain[3].lineage != chain[0].lineage
    assert third.sha256 == hashlib.sha256(file_of(model, 3).read_bytes()).hexdigest()
    assert check(model, "full") == []


def test_provenance_says_when_and_by_what(model, build):
    """The time is SOURCE_DATE_EPOCH if the caller passes it."""
    options = {"versions": {"numpy": "2.4"}, "blas_kernel": "Haswell", "source_date_epoch": 981173106}

    (stored,) = publish(model, build, 1, **options)

    provenance = stored.checkpoint.provenance
    assert provenance.created == "2001-02-03T04:05:06Z"
    assert provenance.versions == {"numpy": "2.4"}
    assert provenance.blas_kernel == "Haswell"


def test_latest_points_to_the_newest_and_is_mended(model, build):
    """latest.h5 may be stale, missing, or replaced by a copy."""
    publish(model, build, 1, 2)
    latest = model / "latest.h5"
    assert str(latest.readlink()) == "checkpoints/ckpt-000000002.h5"

    for spoil in (
        lambda: latest.symlink_to("checkpoints/ckpt-000000001.h5"),
        lambda: latest.symlink_to("/etc/passwd"),
        lambda: latest.write_bytes(b"copy"),
        lambda: None,
    ):
        latest.unlink()
        spoil()
        with Writer(model):
            assert str(latest.readlink()) == "checkpoints/ckpt-000000002.h5"


def test_leftovers_of_a_crash_are_cleared_and_nothing_else(model, build):
    """Own temporaries and an incomplete log line are removed; other files stay."""
    publish(model, build, 1)
    torn = [
        model / "checkpoints" / ".ckpt-000000002.h5.4711-0123abcd.tmp",
        model / ".latest.h5.4711-0123abcd.tmp",
    ]
    kept = [model / "checkpoints" / ".ckpt-000000002.h5.swp", model / ".nfs0001", model / "events" / "x"]
    (model / "events").mkdir()
    for path in (*torn, *kept):
        path.write_text("half")
    log = (model / "log.jsonl").read_bytes()
    (model / "log.jsonl").write_bytes(log + b'{"event": ')

    with Writer(model) as writer:
        assert not any(path.exists() for path in torn)
        assert all(path.exists() for path in kept)
        assert (model / "log.jsonl").read_bytes() == log
        writer.log({"event": "end"})

    assert [event["event"] for event in ModelDir(model).iter_log()] == ["checkpoint", "end"]


@pytest.mark.parametrize("torn", [b"x" * 200_000, b"\n" + b"x" * 200_000, b"\0" * 5000, b"\n"])
def test_a_torn_line_of_any_length_is_cut_off(model, build, torn):
    """Everything after the last newline is removed, even if that is the whole log."""
    publish(model, build, 1)
    (model / "log.jsonl").write_bytes(torn)

    with Writer(model):
        pass

    assert (model / "log.jsonl").read_bytes() == torn[: torn.rfind(b"\n") + 1]


def test_the_log_has_a_line_per_checkpoint(model, build):
    """The line is enough for a history without opening the checkpoint."""
    (stored,) = publish(model, build, 41, source_date_epoch=0)

    (event,) = ModelDir(model).iter_log()

    assert list(event)[:3] == ["time", "event", "checkpoint"]
    assert event["time"] == "1970-01-01T00:00:00Z"
    assert event["sha256"] == stored.sha256
    assert (event["global_step"], event["rows"]) == (41, 150)
    assert event["mean_log_likelihood"] == -1.25 - stored.checkpoint.units.log_jacobian


def test_retention_keeps_the_newest_and_the_multiples(model, build):
    """Files of other names stay; keep may change while the directory is open."""
    (model / "checkpoints").mkdir(parents=True)
    with Writer(model, keep=0) as writer:
        stranger = model / "checkpoints" / "ckpt-1.h5"
        stranger.write_text("mine")
        for step in range(6):
            writer.publish(build(global_step=step))
        assert len(ModelDir(model).list()) == 6
        writer.keep, writer.keep_every = 2, 3
        writer.publish(build(global_step=6))

    assert [listing.generation for listing in ModelDir(model).list()] == [3, 6, 7]
    assert stranger.read_text() == "mine"


def test_a_truncated_checkpoint_does_not_push_out_a_good_one(model, build):
    """Only checkpoints with a right user block and size count as kept."""
    publish(model, build, 1, 2, 3)
    os.truncate(file_of(model, 2), 5000)

    publish(model, build, 4, keep=3)

    assert [listing.generation for listing in ModelDir(model).list()] == [1, 2, 3, 4]


def test_what_cannot_be_removed_is_a_warning(model, build):
    """Here a folder has the name of a checkpoint."""
    publish(model, build, 2, 3)
    file_of(model, 1).unlink()
    file_of(model, 1).mkdir()

    with Writer(model, keep=1) as writer:
        writer.publish(build())

    assert len(writer.warnings) == 1
    assert writer.warnings[0].startswith(f"{file_of(model, 1)}: not removed: ")
    assert [listing.generation for listing in ModelDir(model).list()] == [1, 3]


def test_a_rollback_sets_damaged_checkpoints_aside_and_numbers_grow(model, build):
    """The next checkpoint continues the newest good one; damaged numbers are not used again."""
    publish(model, build, 1, 2, 3)
    flip(file_of(model, 3))
    flip(file_of(model, 2))

    with Writer(model) as writer:
        with pytest.raises(CheckpointCorrupt, match="newest good one is checkpoint 1"):
            writer.latest()
        good = writer.rollback()
        assert good.generation == 1
        assert str((model / "latest.h5").readlink()) == "checkpoints/ckpt-000000001.h5"
        stored = writer.publish(build(global_step=4))

    assert stored.generation == 4
    assert stored.checkpoint.provenance.parent_sha256 == good.sha256
    assert stored.checkpoint.provenance.lineage == good.checkpoint.provenance.lineage
    assert names(model / "checkpoints") == [
        "ckpt-000000001.h5",
        "ckpt-000000002.h5.bad",
        "ckpt-000000003.h5.bad",
        "ckpt-000000004.h5",
    ]
    assert check(model, "full") == []


def test_a_rollback_without_damage_is_the_newest(model, build):
    """No file is renamed; in an empty directory there is nothing to roll back to."""
    with Writer(model) as writer:
        assert writer.rollback() is None
    publish(model, build, 1, 2)

    with Writer(model) as writer:
        assert writer.rollback().generation == 2

    assert names(model / "checkpoints") == ["ckpt-000000001.h5", "ckpt-000000002.h5"]


def test_a_rollback_to_nothing_renames_nothing(model, build):
    """Damage must never lead to a new model without a request."""
    publish(model, build, 1, 2)
    for generation in (1, 2):
        flip(file_of(model, generation))

    with Writer(model) as writer:
        with pytest.raises(CheckpointCorrupt, match="none of its 2 checkpoints is good") as caught:
            writer.rollback()
        with pytest.raises(CheckpointCorrupt):
            writer.publish(build())

    assert caught.value.hint == StartAnew(str(model))
    assert names(model / "checkpoints") == ["ckpt-000000001.h5", "ckpt-000000002.h5"]


def test_a_rollback_does_not_touch_a_newer_format(model, build, provenance, monkeypatch):
    """A file of a newer format is not damaged."""
    publish(model, build, 1)
    with Writer(model) as writer, monkeypatch.context() as patch:
        patch.setattr("gmmcli.store.commit.decode", lambda data, subject: build(provenance=provenance))
        patch.setattr(layout, "FORMAT_VERSION", "2.0")
        writer.publish(build())

    with Writer(model) as writer, pytest.raises(FormatUnknown):
        writer.rollback()

    assert names(model / "checkpoints") == ["ckpt-000000001.h5", "ckpt-000000002.h5"]


def test_a_newest_checkpoint_that_is_gone_is_no_silent_step_back(model, build):
    """The log records it. A rollback, on request, continues from the checkpoints that remain."""
    publish(model, build, 1, 2, 3)
    file_of(model, 3).unlink()

    with Writer(model) as writer:
        with pytest.raises(
            CheckpointCorrupt, match=r"newest checkpoint 3 is missing; the newest one left is 2$"
        ) as caught:
            writer.latest()
        with pytest.raises(CheckpointCorrupt):
            writer.publish(build())
        assert writer.rollback().generation == 2
        stored = writer.publish(build())

    ways = f"gmmcli fit -m {model} --rollback data/geyser.csv, or --checkpoint 2 to read that one"
    assert in_shell(caught.value.hint) == f"restore the file, or: {ways}"
    assert writer.given_up == [GivenUp(3, None, ())]
    assert stored.generation == 4
    with Writer(model) as writer:
        assert writer.latest().generation == 4


@pytest.mark.parametrize("n_events", [0, 3, 2000])
def test_the_last_checkpoint_of_a_log_is_found_however_long_it_is(model, build, n_events):
    """It is found before many other lines; lines that are not events are skipped."""
    publish(model, build, 1, 2)
    with Writer(model) as writer:
        for step in range(n_events):
            writer.log({"event": "step", "global_step": step, "mean_log_likelihood": -1.0})
    with (model / "log.jsonl").open("a") as log:
        log.write('no event\n{"event": "checkpoint", "che')
    with Folder.opened(model) as root:
        assert run_log.find_last(root) == (2, 2)


@pytest.mark.parametrize("method", ["latest", "rollback"])
def test_checkpoints_that_are_gone_are_no_reason_to_start_anew(model, build, method):
    """The log records them. A fresh start, on request, continues their numbers."""
    publish(model, build, 1, 2)
    for generation in (1, 2):
        file_of(model, generation).unlink()

    with Writer(model) as writer:
        with pytest.raises(
            CheckpointCorrupt, match="newest checkpoint 2 is missing, and no other checkpoint is left"
        ) as caught:
            getattr(writer, method)()
        with pytest.raises(CheckpointCorrupt):
            writer.publish(build())
        stored = writer.publish(build(), fresh=True)

    assert (
        in_shell(caught.value.hint) == f"restore a checkpoint, or: gmmcli fit -m {model} --fresh -k 3 TABLE"
    )
    assert stored.generation == 3
    file_of(model, 3).unlink()
    with pytest.raises(
        CheckpointCorrupt, match="newest checkpoint 3 is missing, and no other checkpoint is left"
    ):
        ModelDir(model).load()


def test_a_rollback_stands_before_anything_is_published(model, build):
    """Readers and later fits continue from it; given-up numbers are not used again."""
    publish(model, build, 1, 2)
    with Writer(model) as writer:
        writer.log({"event": "start", "run": "aa", "tables": ["night.csv", "morning.csv"]})
        writer.publish(build(global_step=3))
    file_of(model, 3).unlink()
    with Writer(model) as writer:
        assert writer.rollback().generation == 2
    assert writer.given_up == [GivenUp(3, "aa", ("night.csv", "morning.csv"))]
    logged = list(ModelDir(model).iter_log())[-1]
    assert (logged["event"], logged["checkpoint"], logged["number"]) == ("rollback", 2, 3)
    assert logged["given_up"] == [{"checkpoint": 3, "run": "aa", "tables": ["night.csv", "morning.csv"]}]

    assert ModelDir(model).load().generation == 2
    assert check(model, "full") == []
    with Writer(model) as writer:
        writer.rollback()
        assert writer.given_up == ()
        assert writer.publish(build()).generation == 4


def test_only_what_comes_after_the_good_checkpoint_is_given_up(model, build):
    """Damaged and missing checkpoints are, but not those that an earlier rollback gave up."""
    publish(model, build, 1, 2, 3, 4)
    flip(file_of(model, 2))
    flip(file_of(model, 3))
    file_of(model, 4).unlink()
    with Writer(model) as writer:
        writer.rollback()
        assert [lost.checkpoint for lost in writer.given_up] == [2, 3, 4]
        assert writer.publish(build()).generation == 5
    flip(file_of(model, 5))
    with Writer(model) as writer:
        assert writer.rollback().generation == 1
        assert [lost.checkpoint for lost in writer.given_up] == [5]


def test_where_only_latest_is_left_nothing_starts_anew(model, build):
    """A fit that refuses does not change latest.h5; a fresh start continues its number."""
    publish(model, build, 1, 2)
    for name in ("checkpoints/ckpt-000000001.h5", "checkpoints/ckpt-000000002.h5", "log.jsonl"):
        (model / name).unlink()
    for method in ("latest", "rollback", "latest"):
        with (
            Writer(model) as writer,
            pytest.raises(
                CheckpointCorrupt, match="newest checkpoint 2 is missing, and no other checkpoint is left"
            ),
        ):
            getattr(writer, method)()

    with Writer(model) as writer:
        assert writer.publish(build(), fresh=True).generation == 3


def test_a_fresh_start_works_over_damage(model, build):
    """Its parent is the damaged file, unread."""
    publish(model, build, 1, 2)
    flip(file_of(model, 2))

    with Writer(model) as writer:
        stored = writer.publish(build(global_step=0), fresh=True)

    assert stored.generation == 3
    damaged = hashlib.sha256(file_of(model, 2).read_bytes()).hexdigest()
    assert stored.checkpoint.provenance.parent_sha256 == damaged
    assert ModelDir(model).load().checkpoint.global_step == 0


def test_a_checkpoint_that_does_not_read_back_is_not_written(model, build):
    """A checkpoint that the next run could not load must not be acknowledged."""
    publish(model, build, 1)

    with Writer(model) as writer, pytest.raises(CheckpointCorrupt, match="7 quantiles, not 1001"):
        writer.publish(build(quantiles=np.arange(7.0)))

    assert names(model / "checkpoints") == ["ckpt-000000001.h5"]


def test_nothing_to_do_touches_the_newest_file(model, build):
    """So make sees a target newer than its tables."""
    publish(model, build, 1, 2)
    for path in (file_of(model, 1), file_of(model, 2), model):
        os.utime(path, (1000, 1000))

    with Writer(model) as writer:
        writer.touch_newest()

    assert file_of(model, 1).stat().st_mtime == 1000
    assert (model / "latest.h5").stat().st_mtime > 1_000_000_000
    assert model.stat().st_mtime > 1_000_000_000


def test_a_checkpoint_sets_the_time_of_the_directory(model, build, monkeypatch):
    """It does so even if the file system has no symbolic links."""
    publish(model, build, 1)
    monkeypatch.setattr(Folder, "name_latest", lambda *_: None)
    os.utime(model, (1000, 1000))

    publish(model, build, 2)

    assert model.stat().st_mtime > 1_000_000_000


@pytest.mark.parametrize("content", ["paper.tex", "checkpoints/epoch3.pt"])
def test_a_folder_that_holds_something_else_is_refused(tmp_path, content):
    """A mistyped -m must not put files into a home directory."""
    (tmp_path / content).parent.mkdir(exist_ok=True)
    (tmp_path / content).touch()
    before = names(tmp_path)

    with pytest.raises(CannotCreate, match=f'not a model directory: it holds "{content}"'), Writer(tmp_path):
        pass

    assert names(tmp_path) == before


def test_an_empty_folder_becomes_a_model_directory(tmp_path, build):
    """Hidden files do not count."""
    (tmp_path / ".gitkeep").touch()

    publish(tmp_path, build, 1)

    assert ModelDir(tmp_path).load().generation == 1


@pytest.mark.parametrize("in_the_way", ["model", "model/checkpoints", "model/lock"])
def test_a_file_of_another_kind_in_the_way_is_refused(tmp_path, in_the_way):
    """A file for a folder, or a pipe for the lock; the writer does not hang."""
    path = tmp_path / in_the_way
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)

    with pytest.raises(CannotCreate, match=r"not a (directory|regular file)"), Writer(tmp_path / "model"):
        pass


def test_no_link_inside_leads_a_write_out_of_the_directory(model, build, tmp_path):
    """Lock, log and checkpoints are opened without following links."""
    publish(model, build, 1)
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    for name in ("lock", "log.jsonl"):
        (model / name).unlink()
        (model / name).symlink_to(outside)
        with pytest.raises(Exception, match="symbolic link"), Writer(model):
            pass
        (model / name).unlink()
    assert outside.read_text() == "theirs"


def test_the_umask_decides_who_may_read(model, build):
    """Files have mode 0666 and folders 0777, both less the umask."""
    before = os.umask(0o027)
    try:
        publish(model, build, 1)
    finally:
        os.umask(before)

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in model.rglob("*") if not path.is_symlink()
    }
    assert modes == {"checkpoints": 0o750, "ckpt-000000001.h5": 0o640, "lock": 0o640, "log.jsonl": 0o640}


def test_a_directory_made_for_a_run_that_published_nothing_is_gone(tmp_path):
    """A failed first fit removes the folders that it made; a folder that existed stays, empty."""
    path = tmp_path / "a" / "m"
    with Writer(path) as writer:
        writer.log({"event": "start"})
    assert names(tmp_path) == []

    path.mkdir(parents=True)
    with Writer(path) as writer:
        writer.log({"event": "start"})
    assert names(path) == []


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("elsewhere")])
def test_a_lock_of_another_kind_is_named_with_a_way_out(model, build, make):
    """After the hint, fits go on."""
    publish(model, build, 1)
    (model / "lock").unlink()
    make(model / "lock")

    with pytest.raises(CannotCreate) as caught, Writer(model):
        pass

    assert caught.value.subject == str(model / "lock")
    follow(caught.value.hint)
    assert publish(model, build, 2)[0].generation == 2


def follow(hint):
    """Type a hint."""
    subprocess.run(["/bin/sh", "-c", hint], check=True)


def test_what_is_in_the_way_of_a_rollback_is_named_and_nothing_is_renamed(model, build):
    """After the hint, the rollback works."""
    publish(model, build, 1, 2, 3)
    for generation in (2, 3):
        flip(file_of(model, generation))
    obstacle = model / "checkpoints/ckpt-000000002.h5.bad"
    obstacle.mkdir()

    with Writer(model) as writer, pytest.raises(CannotCreate) as caught:
        writer.rollback()

    assert caught.value.subject == str(obstacle)
    assert file_of(model, 3).exists()
    follow(caught.value.hint)
    with Writer(model) as writer:
        assert writer.rollback().generation == 1
        assert writer.publish(build()).generation == 4


def test_a_rollback_needs_a_number_that_is_left(model, build):
    """A file of the last number is nobody's work; nothing is renamed or logged."""
    publish(model, build, 1, 2)
    last = file_of(model, 999_999_999)
    last.write_bytes(b"x" * 5000)
    before = (model / "log.jsonl").read_bytes()

    largest = "has the largest possible number"
    with Writer(model) as writer, pytest.raises(CannotCreate, match=largest) as caught:
        writer.rollback()

    assert (last.exists(), (model / "log.jsonl").read_bytes()) == (True, before)
    follow(caught.value.hint.removeprefix("if it is not needed: "))
    with Writer(model) as writer:
        assert writer.rollback().generation == 2
        assert writer.publish(build()).generation == 3


@pytest.mark.parametrize("gone", [(), ("log.jsonl",), ("latest.h5",), ("log.jsonl", "latest.h5")])
def test_a_file_set_aside_without_a_rollback_is_no_silent_step_back(model, build, gone):
    """By hand, or by a rollback that was killed before it logged that; a rollback asked for ends it."""
    publish(model, build, 1, 2, 3)
    file_of(model, 3).rename(model / "checkpoints/ckpt-000000003.h5.bad")
    for name in gone:
        (model / name).unlink()

    for load in (ModelDir(model).load, lambda: publish(model, build, 4)):
        with pytest.raises(CheckpointCorrupt, match=r"checkpoint 3 is missing; the newest one left is 2$"):
            load()
    assert len(check(model, "quick")) == 1
    with Writer(model) as writer:
        assert writer.rollback().generation == 2
    assert ModelDir(model).load().generation == 2
    assert check(model, "quick") == []
    with Writer(model) as writer:
        assert writer.latest().generation == 2
        assert writer.publish(build()).generation == 4
    assert ModelDir(model).load().generation == 4


def test_a_folder_of_checkpoints_behind_a_link_is_named_by_readers_and_writers(model, build, tmp_path):
    """After the hint, the model is there again."""
    publish(model, build, 1)
    (model / "checkpoints").rename(tmp_path / "disk 2")
    (model / "checkpoints").symlink_to(tmp_path / "disk 2")

    for use in (ModelDir(model).load, lambda: publish(model, build, 2), lambda: check(model, "quick")):
        with pytest.raises(NotFound, match="checkpoints: is a symbolic link") as caught:
            use()
        assert caught.value.subject == str(model / "checkpoints")
    follow(caught.value.hint)
    assert ModelDir(model).load().generation == 1
