"""Death and refusal at every system call of a commit: the old generation or the new one, whole.

The operating system's calls are counted by wrapping what the store uses of `os` and `fcntl`. A death is a
forked child that leaves through os._exit at its n-th call, as under kill -9.
"""

import errno
import fcntl
import os
import stat
import warnings

import pytest

from gmmcli.errors import CannotCreate, GmmError, ModelDirBusy, PermissionRefused, ReadWriteFailed
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import ModelDir
from gmmcli.store.verify import check

CALLS = [
    *("open", "close", "fstat", "listdir", "mkdir", "readlink"),
    *("posix_fallocate", "write", "pwrite", "ftruncate", "fsync"),
    *("link", "unlink", "symlink", "replace", "rename"),
]
KILLED, SURVIVED, WRONG = 9, 0, 1


@pytest.fixture
def model(tmp_path, build):
    """Return a model directory with checkpoints 1 and 2, so that retention has something to do."""
    with Writer(tmp_path / "m", keep=2) as writer:
        for step in (1, 2):
            writer.publish(build(global_step=step))
    return tmp_path / "m"


def names(folder):
    """Return the names in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def wrap_calls(patch, around):
    """Pass every system call of the store to `around(name, call)`, which decides its outcome."""
    for module, names in ((os, CALLS), (fcntl, ["flock"])):
        for name in names:
            real = getattr(module, name)

            def wrapped(*args, _real=real, _name=name, **options):
                return around(_name, lambda: _real(*args, **options))

            patch.setattr(module, name, wrapped)


def commit(model, checkpoint):
    """Open, continue, publish the third checkpoint, close."""
    with Writer(model, keep=2) as writer:
        writer.latest()
        writer.publish(checkpoint)


def run_and_die(model, checkpoint, n_calls):
    """Commit in a child that dies at its n-th system call; return how it ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside idle BLAS threads
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0

    def die_in_time(name, call):
        nonlocal count
        count += 1
        if count == n_calls:
            os._exit(KILLED)
        return call()

    try:
        wrap_calls(pytest.MonkeyPatch(), die_in_time)
        commit(model, checkpoint)
    except BaseException:
        os._exit(WRONG)
    os._exit(SURVIVED)


@pytest.mark.parametrize("new", [False, True], ids=["third checkpoint", "first checkpoint"])
def test_a_death_between_any_two_system_calls_leaves_the_old_or_the_new_checkpoint(
    model, build, tmp_path, new
):
    """Afterwards the directory opens, the next writer continues, and no leftover stays."""
    checkpoint, following = build(global_step=3), build(global_step=4)
    steps_found = set()
    for n_calls in range(1, 200):
        path = tmp_path / f"killed-{n_calls}"
        if not new:
            copy(model, path)

        ended = run_and_die(path, checkpoint, n_calls)

        with Writer(path) as writer:
            stored = writer.latest()
            steps_found.add(stored and stored.checkpoint.global_step)
            assert not [name for name in names(path / "checkpoints") if name.startswith(".")]
            if stored:
                assert check(path, "full") == []
            writer.publish(following)
        assert ModelDir(path).load().checkpoint.global_step == 4
        if ended != KILLED:
            break
    assert ended == SURVIVED
    assert stored.checkpoint.global_step == 3
    assert n_calls > 30
    assert steps_found == ({None, 3} if new else {2, 3})


def copy(model, path):
    """Copy a model directory, which must have no writer."""
    (path / "checkpoints").mkdir(parents=True)
    for name in names(model / "checkpoints"):
        os.link(model / "checkpoints" / name, path / "checkpoints" / name)
    (path / "log.jsonl").write_bytes((model / "log.jsonl").read_bytes())
    (path / "latest.h5").symlink_to((model / "latest.h5").readlink())


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_refusal_at_any_system_call_is_reported_and_the_old_checkpoint_survives(
    model, build, tmp_path, monkeypatch, code
):
    """Each call in turn fails once; the result is a success, with or without warning, or a GmmError."""
    checkpoint = build(global_step=3)
    outcomes = set()
    for n_calls in range(1, 200):
        path = tmp_path / f"refused-{n_calls}"
        copy(model, path)
        count = 0

        def refuse_once(name, call, failing=n_calls):
            nonlocal count
            count += 1
            if name == "close":
                call()
            if count == failing:
                raise OSError(code, os.strerror(code))
            return None if name == "close" else call()

        outcome = "done"
        with monkeypatch.context() as patch:
            wrap_calls(patch, refuse_once)
            try:
                commit(path, checkpoint)
            except GmmError as error:
                outcome = error

        with Writer(path) as writer:
            step = writer.latest().checkpoint.global_step
        assert step in (2, 3)
        if outcome == "done":
            assert step == 3
        elif step == 3:
            assert "checkpoint 3 may have been written" in outcome.fact
        assert check(path, "full") == []
        outcomes.add(getattr(outcome, "status", 0))
        if count < n_calls:
            break
    assert count < n_calls
    assert outcomes <= {0, 66, 73, 74, 75, 77}
    assert {0, 74} <= outcomes


def record_calls(patch, names):
    """Return the list that the names of system calls are added to."""
    calls = []

    def note(name, call):
        if name in names:
            calls.append(name)
        return call()

    wrap_calls(patch, note)
    return calls


def test_the_calls_come_in_the_order_that_survives_power_loss(model, build, monkeypatch):
    """Content is synced before its name, the name before the acknowledgement; retention is last."""
    checkpoint = build(global_step=3)
    with Writer(model, keep=2) as writer:
        writer.latest()
        with monkeypatch.context() as patch:
            calls = record_calls(patch, {"posix_fallocate", "write", "fsync", "link", "unlink", "replace"})
            writer.publish(checkpoint)

    assert calls == [
        *("posix_fallocate", "write", "fsync"),  # the temporary file
        *("link", "fsync"),  # its name, and the folder
        "unlink",  # the temporary name
        "replace",  # latest.h5
        "write",  # the log
        "unlink",  # retention
    ]


def failing(patch, call_name, code, times=1):
    """Make the first calls of one name fail."""
    left = [None] * times

    def around(name, call):
        if name == call_name and left:
            left.pop()
            raise OSError(code, os.strerror(code))
        return call()

    wrap_calls(patch, around)


@pytest.mark.parametrize("call", ["posix_fallocate", "write", "fsync", "link"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_with_the_bytes_needed_and_free(model, build, monkeypatch, call, code):
    """Any call may fail with it; the old checkpoint stays, and no temporary does."""
    with Writer(model, keep=2) as writer:
        writer.latest()
        with monkeypatch.context() as patch:
            failing(patch, call, code)
            with pytest.raises(
                ReadWriteFailed, match=r"checkpoint 3 needs \d{5} bytes, \d+ are free"
            ) as caught:
                writer.publish(build(global_step=3))

    assert caught.value.subject == str(model)
    assert names(model / "checkpoints") == ["ckpt-000000001.h5", "ckpt-000000002.h5"]
    assert check(model, "full") == []


def test_a_failed_sync_is_never_tried_again(model, build, monkeypatch):
    """After EIO the kernel may report the next fsync as a success although the data are lost."""
    with Writer(model) as writer:
        writer.latest()
        with monkeypatch.context() as patch:
            calls = record_calls(patch, {"fsync"})
            failing(patch, "fsync", errno.EIO)
            with pytest.raises(ReadWriteFailed, match="input/output error"):
                writer.publish(build(global_step=3))
        assert len(calls) <= 1

    assert ModelDir(model).load().checkpoint.global_step == 2


@pytest.mark.parametrize(
    ("call", "code", "error", "text"),
    [
        ("link", errno.EPERM, CannotCreate, "the file system has no hard links"),
        ("link", errno.EOPNOTSUPP, CannotCreate, "the file system has no hard links"),
        ("link", errno.EACCES, PermissionRefused, "permission denied"),
        ("link", errno.ENOENT, ModelDirBusy, "another process removed the unfinished checkpoint 3"),
        ("write", errno.EROFS, PermissionRefused, "read-only file system"),
        ("write", errno.EFBIG, ReadWriteFailed, "file too large"),
    ],
)
def test_a_refused_commit_says_why(model, build, monkeypatch, call, code, error, text):
    """Each error has its exit status."""
    with Writer(model) as writer, monkeypatch.context() as patch:
        writer.latest()
        failing(patch, call, code)
        with pytest.raises(error, match=text):
            writer.publish(build(global_step=3))

    assert ModelDir(model).load().checkpoint.global_step == 2


def test_a_file_system_without_allocation_or_folder_sync_is_used_with_a_warning(model, build, monkeypatch):
    """Some systems lack posix_fallocate or fsync of a folder."""
    real_sync = os.fsync

    def sync_files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real_sync(descriptor)

    with monkeypatch.context() as patch:
        failing(patch, "posix_fallocate", errno.EOPNOTSUPP)
        patch.setattr(os, "fsync", sync_files_only)
        with Writer(model) as writer:
            writer.latest()
            writer.publish(build(global_step=3))

    assert writer.warnings == [f"{model}: the file system cannot sync a folder"]
    assert check(model, "full") == []


@pytest.mark.parametrize("call", ["symlink", "replace"])
def test_a_file_system_without_symbolic_links_is_used_with_a_warning(model, build, monkeypatch, call):
    """latest.h5 is for people; a checkpoint must not fail because of it."""
    with Writer(model) as writer, monkeypatch.context() as patch:
        writer.latest()
        failing(patch, call, errno.EPERM)
        writer.publish(build(global_step=3))

    assert writer.warnings == [f"{model}/latest.h5: not brought up to date: Operation not permitted"]
    assert names(model) == ["checkpoints", "latest.h5", "lock", "log.jsonl"]


def test_a_file_system_without_locks_is_used_with_a_warning(model, build, monkeypatch):
    """The hard link decides between writers. Without a lock no temporaries are removed."""
    leftover = model / "checkpoints" / ".ckpt-000000003.h5.1-01234567.tmp"
    leftover.touch()
    failing(monkeypatch, "flock", errno.ENOLCK)

    with Writer(model) as writer:
        writer.latest()
        writer.publish(build(global_step=3))

    assert writer.warnings == [f"{model}: the file system has no locks"]
    assert leftover.exists()


def test_short_writes_are_completed(model, build, monkeypatch):
    """A write may accept fewer bytes than it is given."""
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, bytes(data)[:4096]))

    commit(model, build(global_step=3))

    assert ModelDir(model).load().checkpoint.global_step == 3


def test_a_log_line_that_was_cut_short_is_an_error_after_the_fact(model, build, monkeypatch):
    """The checkpoint is published; the next writer removes the incomplete line."""
    real_write = os.write

    def write_half_a_line(descriptor, data):
        return real_write(descriptor, bytes(data)[:9] if bytes(data).startswith(b"{") else data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half_a_line)
        with pytest.raises(ReadWriteFailed, match="checkpoint 3 may have been written"):
            commit(model, build(global_step=3))

    with Writer(model) as writer:
        assert writer.latest().checkpoint.global_step == 3
    assert check(model, "full") == []
