"""The run as a stream of steps, and why it ends. No files, no clock."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from gmmcli.core.em import acceleration, incremental, loop, stepwise
from gmmcli.core.em.loop import Mend, Origin, Step
from gmmcli.core.em.maximisation import PARAMS, Rules
from gmmcli.core.em.memory import Memory
from gmmcli.core.em.reseeding import Reseeding
from gmmcli.core.passes import Engine, Table
from gmmcli.core.statistics import Statistics
from gmmcli.errors import OutOfMemory, Stopped
from gmmcli.fitting.plan import Plan

DEFAULT_MAX_ITER = 1000

Ending = Literal["converged", "steps", "max_iter", "time_limit", "patience", "monitor"]
# Called with a step and the ending that earlier observers gave; returns the ending, or None to continue.
Observer: TypeAlias = Callable[[Step, Ending | None], Ending | None]
TellReseeded: TypeAlias = Callable[[list[int], int], None]


class TimeUp(Exception):
    """The time limit has passed."""


def run(
    plan: Plan, rules: Rules, origin: Origin, engine: Engine, table: Table, tell: TellReseeded
) -> Iterator[Step]:
    """Return the stream of steps of a run. It has no end of its own; observers end the run.

    Parameters
    ----------
    plan : Plan
    rules : Rules
        Those of the plan.
    origin : Origin
    engine : Engine
    table : Table
        The rows to learn from.
    tell : callable
        Called with the components that are re-seeded and the number of the step.

    Raises
    ------
    CovarianceNotPositive
        While the next step is computed.
    """
    request, settings = plan.request, plan.settings
    memory = Memory(reseeded=origin.memory.reseeded)
    if request.partial:
        K, d = origin.mixture.means.shape
        stored = Statistics.empty(origin.mixture.covariance_type, K, d)
        if plan.stored is not None:
            stored = plan.stored.checkpoint.statistics.scaled(request.kept_share)
            memory = replace(memory, approximate=True)
        origin = replace(origin, likelihoods=(), memory=memory)
        return incremental.absorb(origin, engine, table, rules, stored)
    if not request.is_counted:
        memory = replace(memory, began=first_step_of(plan, origin, table.n_rows))
    stopping = Stopping.of(plan, origin, table.n_rows)
    if request.batch_size is not None:
        origin = replace(origin, memory=replace(memory, stepwise=origin.memory.stepwise))
        return stepwise.iterate(origin, engine, table, rules, request.batch_size, stopping.last_step)
    # Components do not move if the user froze a block or gave the means; nor after a race, since it found no
    # better start.
    is_single = settings.init != "auto" and not settings.init.startswith("sha256:")
    may_reseed = settings.params == PARAMS and is_single
    mend: Mend = Reseeding(table, tell) if may_reseed else loop.leave_alone
    if settings.accelerate == "none" or request.is_counted:
        return loop.iterate(replace(origin, memory=memory), engine, table, rules, mend)
    origin = replace(origin, memory=replace(memory, cycle=origin.memory.cycle))
    return acceleration.iterate(origin, engine, table, rules, mend, stopping.cap)


def first_step_of(plan: Plan, origin: Origin, n_rows: int) -> int:
    """Return the step at which a run to convergence began, perhaps in an earlier process that was cut off."""
    began = origin.memory.began
    if began is not None and began <= origin.number <= began + _most_steps(plan, n_rows):
        return began
    return origin.number


def _most_steps(plan: Plan, n_rows: int) -> int:
    """Return the maximum number of steps of a run to convergence; --max-iter counts passes."""
    request = plan.request
    max_iter = DEFAULT_MAX_ITER if request.max_iter is None else request.max_iter
    return max_iter * stepwise.n_batches(n_rows, request.batch_size or n_rows)


@dataclass(frozen=True)
class Stopping:
    """The observer that ends a run at its number of steps, at convergence or at the cap.

    Parameters
    ----------
    tol : float
        A run to convergence ends if the last gain and the estimated remaining gain are below it.
    last_step : int or None
        A counted run ends at this step; None for a run to convergence.
    cap : int
        A run to convergence ends at this step at the latest.
    """

    tol: float
    last_step: int | None
    cap: int

    @classmethod
    def of(cls, plan: Plan, origin: Origin, n_rows: int) -> "Stopping":
        """Return the stopping rule of a plan."""
        request, last_step = plan.request, plan.request.max_steps
        if request.partial:
            last_step = origin.number + request.update_steps
        elif request.steps is not None:
            last_step = origin.number + request.steps
        cap = first_step_of(plan, origin, n_rows) + _most_steps(plan, n_rows)
        return cls(plan.settings.tol, last_step, cap)

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
    """The part of a run that publishes steps as checkpoints."""

    def look(self, step: Step, ending: Ending | None) -> None:
        """Publish a step that is due or ends the run."""

    def keep(self, step: Step) -> None:
        """Publish the last whole step of a run that is cut off."""


def follow(steps: Iterator[Step], observers: Sequence[Observer], keeper: Keeper) -> Ending:
    """Show every step to the observers until one of them ends the run; return the ending.

    Parameters
    ----------
    steps : iterator of Step
    observers : sequence of Observer
        Called in order; the answer of the last one decides.
    keeper : Keeper
        Called after the observers. If the run is cut off, it publishes the last whole step.

    Raises
    ------
    TimeUp
        The time limit passed before the first step.
    Stopped, KeyboardInterrupt, OutOfMemory, and what an observer raises
        After the keeper has published the last whole step.
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
