"""The run: a stream of steps, and why it ends. No files, no clock."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from gmmcli.core.em import acceleration, incremental, loop, stepwise
from gmmcli.core.em.loop import Mend, Origin, Step
from gmmcli.core.em.memory import Memory
from gmmcli.core.em.reseeding import Reseeding
from gmmcli.core.passes import Engine, Table
from gmmcli.core.statistics import Statistics
from gmmcli.errors import OutOfMemory, Stopped
from gmmcli.fitting.plan import Plan

Ending = Literal["converged", "steps", "max_iter", "time_limit", "patience", "monitor"]
# Looks at a step, given why the run ends with it so far; returns why it ends, or None.
Observer: TypeAlias = Callable[[Step, Ending | None], Ending | None]
TellReseeded: TypeAlias = Callable[[list[int], int], None]


class TimeUp(Exception):
    """The time limit has passed."""


def run(plan: Plan, origin: Origin, engine: Engine, table: Table, tell: TellReseeded) -> Iterator[Step]:
    """Return the steps of a run, without end.

    Parameters
    ----------
    plan : Plan
    origin : Origin
    engine : Engine
    table : Table
        The rows to learn from.
    tell : callable
        Called with components that are re-seeded, and the step that moves them.

    Raises
    ------
    CovarianceNotPositive
        While the next step is asked for.
    """
    request, rules = plan.request, plan.rules
    memory = Memory(reseeded=origin.memory.reseeded)
    if request.partial:
        stored = Statistics.empty(
            origin.mixture.covariance_type, origin.mixture.n_components, origin.mixture.n_features
        )
        if plan.stored is not None:
            stored = plan.stored.checkpoint.statistics.scaled(request.kept_share)
            memory = replace(memory, approximate=True)
        origin = replace(origin, memory=memory, likelihoods=())
        return incremental.absorb(origin, engine, table, rules, stored)
    if not request.is_counted:
        memory = replace(memory, began=first_step_of(plan, origin, table.n_rows))
    mend: Mend = Reseeding(table, tell) if plan.may_reseed else loop.leave_alone
    if request.batch_size is not None:
        origin = replace(origin, memory=replace(memory, stepwise=origin.memory.stepwise))
        last_step = plan.last_step(origin.number)
        return stepwise.iterate(origin, engine, table, rules, request.batch_size, last_step)
    if plan.settings.accelerate == "none" or request.is_counted:
        return loop.iterate(replace(origin, memory=memory), engine, table, rules, mend)
    cap = Stopping.of(plan, origin, table.n_rows).cap
    origin = replace(origin, memory=replace(memory, cycle=origin.memory.cycle))
    return acceleration.iterate(origin, engine, table, rules, mend, cap)


def first_step_of(plan: Plan, origin: Origin, n_rows: int) -> int:
    """Return the step that a run to convergence began with, in an earlier process if that did not end it."""
    began = origin.memory.began
    if began is not None and began <= origin.number <= began + plan.most_steps(n_rows):
        return began
    return origin.number


@dataclass(frozen=True)
class Stopping:
    """When a run ends by itself: an `Observer`.

    Parameters
    ----------
    tol : float
        A run to convergence ends where the estimated remaining gain and the last gain are below it.
    last_step : int or None
        A counted run ends at this step, and only there.
    cap : int
        A run to convergence ends at this step at the latest.
    """

    tol: float
    last_step: int | None
    cap: int

    @classmethod
    def of(cls, plan: Plan, origin: Origin, n_rows: int) -> "Stopping":
        """Return when the run of a plan ends."""
        cap = first_step_of(plan, origin, n_rows) + plan.most_steps(n_rows)
        return cls(plan.settings.tol, plan.last_step(origin.number), cap)

    def __call__(self, step: Step, ending: Ending | None) -> Ending | None:
        """Return why the run ends with a step, or None."""
        if ending is not None:
            return ending
        if self.last_step is not None:
            return "steps" if step.number >= self.last_step else None
        if step.has_converged(self.tol):
            return "converged"
        return "max_iter" if step.number >= self.cap else None


class Keeper(Protocol):
    """What keeps steps for later runs."""

    def look(self, step: Step, ending: Ending | None) -> None:
        """Keep a step that is due, or the last one."""

    def keep(self, step: Step) -> None:
        """Keep the last whole step of a run that is cut off."""


def follow(steps: Iterator[Step], observers: Sequence[Observer], keeper: Keeper) -> Ending:
    """Show every step to the observers until one of them ends the run; return why it ended.

    Parameters
    ----------
    steps : iterator of Step
    observers : sequence of Observer
        Asked in order.
    keeper : Keeper
        Asked after them. The last whole step is kept, whatever cuts the run off.

    Raises
    ------
    TimeUp
        Before the first step.
    Stopped, KeyboardInterrupt, OutOfMemory
        After the last whole step was kept; so does what an observer raises.
    """
    step: Step | None = None
    try:
        while True:
            step = next(steps)
            ending: Ending | None = None
            try:
                for observer in observers:
                    ending = observer(step, ending)
            except Exception:
                keeper.keep(step)
                raise
            keeper.look(step, ending)
            if ending is not None:
                return ending
    except TimeUp:
        if step is None:
            raise
        keeper.keep(step)
        return "time_limit"
    except (Stopped, KeyboardInterrupt, OutOfMemory):
        if step is not None:
            keeper.keep(step)
        raise
