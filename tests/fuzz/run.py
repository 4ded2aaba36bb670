"""Fit random small tables, and see that each fit ends in a finite model or in an error of the contract.

Usage, in tests/: python -m fuzz.run [--seed N] [--first N] [--count N] [--jobs N]
                  python -m fuzz.run [--seed N] --case N [--save DIRECTORY]

With --case it runs that one, and shows the commands, the tables and what came of them. `make fuzz` passes on
what is in FUZZ_ARGS.
"""

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

from fuzz.cases import Case, Fit, as_csv, make_case
from fuzz.checks import find_faults, find_faults_of_checkpoint
from fuzz.errors import find_faults_of_error

import gmmcli
from gmmcli.engine import blas
from gmmcli.errors import GmmError, NotFound
from gmmcli.jobs.fit import fit
from gmmcli.store import checkpoint, commit, model_dir
from gmmcli.store.model_dir import ModelDir, Stored

SEED = 0
COUNT = 100_000
RANGE = 250
LIMIT_S = 30
PACKAGE = Path(gmmcli.__file__).parent
MEMORY = Path("/dev/shm")


class TooSlow(BaseException):
    """A case took longer than any may."""


@dataclass
class Trial:
    """What came of a case, or of many.

    Parameters
    ----------
    ends : Counter
        How often fits ended in a model, or with which status.
    faults : dict
        By number of the case, what is wrong there.
    """

    ends: Counter[str] = field(default_factory=Counter)
    faults: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Trial") -> None:
        """Add further cases."""
        self.ends += other.ends
        self.faults |= other.faults


def try_case(case: Case, directory: Path, *, debug: bool = False) -> Trial:
    """Make the fits of a case in an empty directory, and check what each left behind.

    Parameters
    ----------
    case : Case
    directory : Path
    debug : bool
        Print the traceback of whatever was raised.
    """
    trial, newest = Trial(), None
    for i, one in enumerate(case.fits, 1):
        one.write(directory, f"table{i}")
        end, newest, faults = _try_fit(one, directory, f"table{i}", newest, debug)
        trial.ends[end] += 1
        if faults:
            trial.faults.setdefault(case.number, []).extend(f"fit {i}: {fault}" for fault in faults)
    return trial


def try_range(seed: int, numbers: Sequence[int]) -> Trial:
    """Try cases one after the other, in a directory of memory where the system has one."""
    trial = Trial()
    with _remembering(), tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as room:
        for number in numbers:
            directory = Path(room) / str(number)
            directory.mkdir()
            try:
                with _time_limit():
                    trial.add(try_case(make_case(seed, number), directory))
            except TooSlow:
                trial.add(Trial(faults={number: [f"not done after {LIMIT_S} s"]}))
            except Exception as error:  # no fit's: the model cannot be read, or the checks are wrong
                trial.add(
                    Trial(faults={number: [_in_short(error, traceback.extract_tb(error.__traceback__))]})
                )
            shutil.rmtree(directory)
    return trial


@contextlib.contextmanager
def _remembering() -> Iterator[None]:
    """Spare a third of the time: ask once for what is installed, and decode the same bytes once."""
    decode_once = lru_cache(4)(checkpoint.decode)
    with (
        mock.patch.object(metadata, "version", cache(metadata.version)),
        mock.patch.object(commit, "decode", decode_once),
        mock.patch.object(model_dir, "decode", decode_once),
    ):
        yield


def describe(seed: int, number: int, faults: Sequence[str]) -> str:
    """Return what is wrong with a case, and how to run it again."""
    again = f'make fuzz FUZZ_ARGS="--seed {seed} --case {number}"'
    return "\n".join([f"case {number}: {again}", *(f"  {fault}" for fault in faults)])


def _try_fit(
    one: Fit, directory: Path, stem: str, before: Stored | None, debug: bool
) -> tuple[str, Stored | None, list[str]]:
    """Make a fit; return how it ended, the newest checkpoint then, and what is wrong."""
    faults: list[str] = []
    try:
        with _gathering_warnings(faults):
            report = fit(one.request(directory, stem), lambda notice: None, lambda text: None)
    except Exception as error:
        if debug:
            traceback.print_exc()
        after = newest_in(directory)
        if isinstance(error, GmmError):
            end, own = f"status {error.status}", find_faults_of_error(error, one, before)
        else:
            end, own = "exception", iter([_in_short(error, traceback.extract_tb(error.__traceback__))])
        return end, after, [*faults, *own, *_faults_of_rest(directory, one, before, after)]
    after = newest_in(directory)
    if after is None:
        return "model", after, [*faults, "no checkpoint"]
    return "model", after, [*faults, *find_faults(report, after, one, before)]


@contextlib.contextmanager
def _gathering_warnings(faults: list[str]) -> Iterator[None]:
    """Note every warning, and go on as the program does: what it leads to is of interest, too."""

    def note(message: Warning | str, category: type[Warning], *_: object) -> None:
        text = _in_short(category(message), traceback.extract_stack()[:-1])
        if text not in faults:
            faults.append(text)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        yield


def _faults_of_rest(directory: Path, one: Fit, before: Stored | None, after: Stored | None) -> Iterator[str]:
    """Yield what is wrong with what a failed fit has left: all that was there, and whole checkpoints."""
    if after is None:
        if (directory / "model").exists():
            yield "a directory without a checkpoint is left"
        if before is not None:
            yield "the model is gone"
    elif before is None or after.generation > before.generation:
        if "checkpoint_steps" not in one.options:
            yield "a checkpoint of a failed fit that was not asked for"
        yield from find_faults_of_checkpoint(after.checkpoint)


def newest_in(directory: Path) -> Stored | None:
    """Return the newest checkpoint, or None."""
    try:
        return ModelDir(directory / "model").load()
    except NotFound:
        return None


def _in_short(error: Exception, frames: Sequence[traceback.FrameSummary]) -> str:
    """Return an exception on one line, with the last place in gmmcli that it came through."""
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)] or frames
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno} ({own[-1].name})"
    return f"{type(error).__name__}: {error}".replace("\n", " ") + f" at {place}"


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Raise `TooSlow` where the block takes more time of the processor than any case may."""

    def stop(signum: int, frame: object) -> None:
        raise TooSlow

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def show_case(seed: int, number: int, directory: Path) -> Trial:
    """Run one case in a directory, and print all about it."""
    case = make_case(seed, number)
    for i, one in enumerate(case.fits, 1):
        print(f"$ {one.command(directory, f'table{i}')}")
        for name, content in one.contents(f"table{i}").items():
            text = content if isinstance(content, str) else as_csv(content, one.names)
            print(f"{name}:\n{text}", end="")
    sys.stdout.flush()
    return try_case(case, directory, debug=True)


def _result_of(future: "Future[Trial]", numbers: range) -> Trial:
    """Return what came of a range; where a process has died, that these cases were not done."""
    try:
        return future.result()
    except BrokenProcessPool:
        return Trial(faults={numbers[0]: [f"a process died: cases {numbers[0]} to {numbers[-1]} not done"]})


def print_faults(seed: int, trial: Trial) -> None:
    """Print what is wrong with each case."""
    if trial.faults and sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    for number, faults in sorted(trial.faults.items()):
        print(describe(seed, number, faults), flush=True)


def try_all(seed: int, first: int, count: int, n_jobs: int) -> Trial:
    """Try many cases in several processes; print those that fail, on a terminal also how far they are."""
    trial, done, started = Trial(), 0, time.monotonic()
    ranges = [range(i, min(i + RANGE, first + count)) for i in range(first, first + count, RANGE)]
    with ProcessPoolExecutor(n_jobs, get_context("spawn")) as pool:
        futures = {pool.submit(try_range, seed, numbers): numbers for numbers in ranges}
        for future in as_completed(futures):
            found = _result_of(future, futures[future])
            trial.add(found)
            done += len(futures[future])
            print_faults(seed, found)
            if sys.stderr.isatty():
                pace = done / (time.monotonic() - started)
                text = f"\r{done} of {count} cases, {len(trial.faults)} failed, {pace:.0f} per second "
                print(text, end="" if done < count else "\n", file=sys.stderr, flush=True)
    return trial


def main() -> int:
    """Run what was asked for; return 1 where a case failed."""
    parser = argparse.ArgumentParser(description="Fit random small tables.")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the cases ({SEED})")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case (0)")
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help=f"how many ({COUNT})")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (one per CPU)")
    parser.add_argument("--case", type=int, metavar="N", help="run this one and show it")
    parser.add_argument(
        "--save", type=Path, metavar="DIRECTORY", help="of --case: keep tables and model here"
    )
    asked = parser.parse_args()
    if asked.case is not None:
        with contextlib.ExitStack() as stack:
            directory = asked.save or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            directory.mkdir(parents=True, exist_ok=True)
            trial = show_case(asked.seed, asked.case, directory)
            print_faults(asked.seed, trial)
    else:
        trial = try_all(asked.seed, asked.first, asked.count, asked.jobs or blas.available_cpus())
    print("fits ended:", ", ".join(f"{name} {count}" for name, count in trial.ends.most_common()))
    print("failed cases:", ", ".join(map(str, sorted(trial.faults))) or "none")
    return 1 if trial.faults else 0


if __name__ == "__main__":
    sys.exit(main())
