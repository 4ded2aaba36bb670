"""Signals, kills and pipes: what a run leaves behind when it is not let finish."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shell.session import Session

ENDLESS = ("fit", "-m", "long", "-k", "3", "-vv", "--max-steps", "1000000000", "faithful.csv")


def wait_for_step(process: "subprocess.Popen[str]", step: int) -> None:
    """Read stderr of a `fit -vv` up to a step."""
    assert process.stderr is not None
    for line in process.stderr:
        if f"step {step}," in line:
            return
    raise AssertionError(f"ended before step {step}")


def inspect(session: Session, model: str) -> dict[str, object]:
    """Return the report of inspect."""
    found = json.loads(session.run(f"gmmcli inspect -m {model} --json").stdout)
    assert isinstance(found, dict)
    return found


def leftovers(model: Path) -> list[str]:
    """Return the names of unfinished files."""
    return [path.name for path in model.rglob(".*")]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_the_last_complete_pair_as_a_checkpoint(
    empty_session: Session, signum: signal.Signals
) -> None:
    """The run dies by the signal, its last step is published, nothing unfinished stays."""
    with empty_session.start(*ENDLESS) as process:
        wait_for_step(process, 5)
        process.send_signal(signum)
        assert process.stderr is not None
        rest = process.stderr.read()

    told = [int(step) for step in re.findall(r"note: step (\d+),", rest)]
    found = inspect(empty_session, "long")
    published = found["global_step"]
    left = f"checkpoint {found['checkpoint']} has {published:,} steps"
    assert f"note: stopped by {signum.name}: {left}; run the same command to continue\n" in rest
    assert process.returncode == -signum
    # The signal may come when a pair is complete, but not yet reported.
    assert published in (max(told, default=5), max(told, default=5) + 1)
    assert leftovers(empty_session.directory / "long") == []


def test_a_counted_run_that_is_stopped_says_how_many_steps_are_left(empty_session: Session) -> None:
    """The same command would count anew."""
    command = ("fit", "-m", "long", "-k", "3", "-vv", "--steps", "1000000000", "faithful.csv")
    with empty_session.start(*command) as process:
        wait_for_step(process, 5)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        (left,) = re.findall(r"the same command with --steps (\d+) to continue", process.stderr.read())

    done = inspect(empty_session, "long")["global_step"]
    assert isinstance(done, int)
    assert int(left) == 1000000000 - done


def test_the_shell_sees_143_after_sigterm(empty_session: Session) -> None:
    """For a script, a run that was asked to end ended with 143."""
    fit = f"exec gmmcli {' '.join(ENDLESS)} 2>&1 >&-"
    command = f"exec 3< <({fit}) && grep -m 1 -q 'step 5,' <&3 && kill $! && wait $!"

    result = empty_session.run(command)

    assert (result.status, result.stdout) == (143, "")


@pytest.mark.parametrize("step", [0, 7, 53])
def test_a_killed_run_started_again_ends_as_an_undisturbed_one(empty_session: Session, step: int) -> None:
    """Killed at any step and started by the same command, a counted run ends with the same digest."""
    options = ("-k", "3", "--max-steps", "300", "--checkpoint-steps", "20", "faithful.csv")

    assert kill_and_start_again(empty_session, step, options) == 300


def test_a_killed_run_to_convergence_ends_as_an_undisturbed_one(empty_session: Session) -> None:
    """The state of the stopping rule is part of what a checkpoint holds."""
    options = ("-k", "3", "--init", "random", "--tol", "1e-9", "--checkpoint-steps", "20", "faithful.csv")

    assert kill_and_start_again(empty_session, 45, options) > 45


def kill_and_start_again(session: Session, step: int, options: tuple[str, ...]) -> int:
    """Kill a run at a step, repeat its command, compare with an undisturbed run; return its last step."""
    with session.start("fit", "-m", "killed", "-vv", *options) as process:
        wait_for_step(process, step)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    for model in ("killed", "whole"):
        assert session.run(f"gmmcli fit -m {model} {' '.join(options)}").status == 0
    killed, whole = (inspect(session, model) for model in ("killed", "whole"))
    assert killed["content_digest"] == whole["content_digest"]
    assert leftovers(session.directory / "killed") == []
    last = whole["global_step"]
    assert isinstance(last, int)
    return last


def test_a_reader_that_leaves_ends_predict_silently(session: Session) -> None:
    """`| head -1` gets its line; the writer dies by SIGPIPE and says nothing."""
    rows = (session.directory / "faithful.csv").read_text().partition("\n")[2]
    (session.directory / "big.csv").write_text("eruptions,waiting\n" + rows * 400)

    result = session.run("gmmcli predict -m geyser big.csv | head -1")

    assert (result.stdout, result.stderr, result.status) == ("assignment,probability,log_density\n", "", 141)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_77(session: Session) -> None:
    """Permission denied has a status of its own, and a line."""
    (session.directory / "closed").mkdir(mode=0o500)

    result = session.run("gmmcli predict -m geyser -o closed/out.csv faithful.csv")

    assert (result.status, result.stderr) == (77, "gmmcli predict: closed/out.csv: permission denied\n")


def test_two_fits_at_once_lose_no_update(session: Session) -> None:
    """Of two writers one succeeds; the other succeeds as well, or exits 75 having changed nothing."""
    command = ("fit", "-m", "geyser", "--steps", "300", "faithful.csv")
    writers = [session.start(*command) for _ in range(2)]
    outputs = [writer.communicate() for writer in writers]
    statuses = [writer.returncode for writer in writers]

    before, after = 1, inspect(session, "geyser")["checkpoint"]
    assert sorted(statuses) in ([0, 0], [0, 75]), outputs
    assert after == before + statuses.count(0)
    assert session.run("gmmcli inspect -m geyser --check full").status == 0


def test_the_cap_of_a_run_counts_from_its_beginning_however_often_it_is_killed(
    empty_session: Session,
) -> None:
    """Killed at step 130 of at most 200, and repeated; a run after that one has a cap of its own."""
    options = "-k 3 --init random --tol 0 --max-iter 200 --checkpoint-steps 50 faithful.csv"
    with empty_session.start("fit", "-m", "killed", "-vv", *options.split()) as process:
        wait_for_step(process, 130)
        process.kill()
    for model in ("killed", "whole"):
        assert empty_session.run(f"gmmcli fit -q -m {model} {options}").status == 0

    killed, whole = (inspect(empty_session, model) for model in ("killed", "whole"))

    assert killed["global_step"] == whole["global_step"] == 200
    assert killed["content_digest"] == whole["content_digest"]
    assert empty_session.run("gmmcli fit -q -m whole --max-iter 7 faithful.csv").status == 0
    assert inspect(empty_session, "whole")["global_step"] == 207


# Starts the program as its script does, and calls `act` when so many modules have been looked for since.
STARTED = """
import os, sys
from gmmcli.__main__ import main
from signal import SIGINT

class Finder:
    left = int(sys.argv.pop(1))
    def find_spec(self, *arguments):
        Finder.left -= 1
        if Finder.left == 0:
            {act}

sys.meta_path.insert(0, Finder())
main()
"""
COMMANDS = (
    ("--help",),
    ("predict", "-m", "geyser", "faithful.csv"),
    ("fit", "-m", "geyser", "--steps", "1", "faithful.csv"),
)


def start(session: Session, act: str, n_modules: int, command: tuple[str, ...]) -> "subprocess.Popen[str]":
    """Start the program in a session."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTED.format(act=act), str(n_modules), *command],
        cwd=session.directory,
        env=session.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_ctrl_c_while_libraries_load_kills_silently(session: Session, command: tuple[str, ...]) -> None:
    """At whichever module: the process dies by SIGINT, or it has loaded them all and is done."""
    statuses = []
    for n_modules in (1, 2, 5, 10, 20, 40, 60, 80, 120, 160, 200, 250, 300, 400, 100_000):
        with start(session, "os.kill(os.getpid(), SIGINT)", n_modules, command) as process:
            _, said = process.communicate()
        assert said == "", n_modules
        statuses.append(process.returncode)

    n_killed = statuses.count(-signal.SIGINT)
    assert n_killed >= 5
    assert statuses == [-signal.SIGINT] * n_killed + [0] * (len(statuses) - n_killed)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_ctrl_c_at_any_moment_kills_silently(session: Session, command: tuple[str, ...]) -> None:
    """From 0 to 200 ms after its first import, the process dies by SIGINT or is done."""
    for delay_ms in range(0, 200, 10):
        with start(session, "print('!', flush=True)", 1, command) as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == "!"
            time.sleep(delay_ms / 1000)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        assert (process.returncode in (0, -signal.SIGINT), said) == (True, ""), delay_ms


def test_python_starts_the_program_with_next_to_nothing() -> None:
    """While Python itself starts, Ctrl-C shows a traceback; the program must not make that longer."""
    program = "import sys; seen = set(sys.modules); import gmmcli.__main__; print(*set(sys.modules) - seen)"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert set(result.stdout.split()) == {"gmmcli", "gmmcli.__main__"}
