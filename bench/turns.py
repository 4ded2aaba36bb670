"""Turns: programs that are compared run one after another, again and again.

A machine that slows down slows all of them, and the median of the turns counts.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from children import GMMCLI, SKLEARN, Worker, available_cpus
from part import Result, median
from problems import Shape

TURNS = 3
# Long enough for clocks to rise, and for threads of the last run that spin in wait of work to go to sleep.
WARM_UP_S = 0.2
_SPIN = f"""
from time import perf_counter
end = perf_counter() + {WARM_UP_S}
while perf_counter() < end: pass
"""


@dataclass(frozen=True)
class Plan:
    """How often a program runs, and with how many threads each time.

    One that settles runs with each number of threads in the first turn, and with the best of them after that.
    """

    turns: int
    threads: tuple[int, ...]
    settles: bool = False

    def threads_of_turn(self, turn: int, seconds: Mapping[str, Sequence[float]]) -> tuple[int, ...]:
        """Return the numbers of threads of a turn, given what the turns before took with each."""
        if turn >= self.turns:
            return ()
        if turn == 0 or not self.settles:
            return self.threads
        return (min(self.threads, key=lambda n: seconds[str(n)][0]),)


def thread_counts(program: str) -> tuple[int, ...]:
    """Return one and all; for gmmcli also two, of which something is asked."""
    cpus = available_cpus()
    return tuple(sorted({1, min(2, cpus), cpus} if program == GMMCLI else {1, cpus}))


def take_turns(workers: Mapping[str, Worker], shape: Shape, plans: Mapping[str, Plan]) -> Result:
    """Let programs take turns on one problem, five iterations each.

    Returns
    -------
    dict
        By program the seconds of every turn by number of threads, gmmcli's seconds of a single pass likewise,
        and the mean log-likelihood: of the
        runs that differ most from the first program's the furthest.
    """
    for worker in workers.values():
        worker.ask("prepare", shape=asdict(shape))
    seconds: dict[str, dict[str, list[float]]] = {
        program: {str(threads): [] for threads in plans[program].threads} for program in workers
    }
    passes: dict[str, list[float]] = {}
    likelihoods: dict[str, list[float]] = {program: [] for program in workers}
    for turn in range(max(plan.turns for plan in plans.values())):
        for program, worker in workers.items():
            for threads in plans[program].threads_of_turn(turn, seconds[program]):
                warm_up()
                answer = worker.ask("run", threads=threads)
                seconds[program][str(threads)].append(answer["seconds"])
                if "pass_s" in answer:
                    passes.setdefault(str(threads), []).append(answer["pass_s"])
                likelihoods[program].append(answer["log_likelihood"])
    return {"shape": asdict(shape), "seconds": seconds, "passes": passes, "log_likelihoods": likelihoods}


def warm_up() -> None:
    """Keep every CPU busy for a moment.

    One that had nothing to do may compute at three quarters of its speed for the next tenth of a second: two
    threads would be compared with one on another machine than that one had.
    """
    command = [sys.executable, "-I", "-S", "-c", _SPIN]
    spinning = [subprocess.Popen(command) for _ in range(available_cpus())]
    for process in spinning:
        process.wait()


def best(measured: Result, program: str) -> float:
    """Return the best median over the numbers of threads."""
    return min(median(seconds) for seconds in measured["seconds"][program].values())


def ratio(measured: Result) -> float:
    """Return how many times faster gmmcli is than scikit-learn."""
    return best(measured, SKLEARN) / best(measured, GMMCLI)


def speedup(measured: Result) -> float | None:
    """Return how many times faster gmmcli is with two threads than with one; None where there is one CPU."""
    return _over_one(measured["seconds"][GMMCLI])


def speedup_of_pass(measured: Result) -> float | None:
    """Return the same of a single pass, by workers that are there already."""
    return _over_one(measured["passes"])


def _over_one(seconds: Mapping[str, Sequence[float]]) -> float | None:
    """Return the ratio of the medians with one thread and with two."""
    return median(seconds["1"]) / median(seconds["2"]) if "2" in seconds else None


def disagreement(measured: Result) -> float:
    """Return the largest relative difference between two log-likelihoods of the same mixture."""
    found = [likelihood for program in measured["log_likelihoods"].values() for likelihood in program]
    return (max(found) - min(found)) / max(map(abs, found))
