"""The EM loop: E, (M, E)*. A run is a stream of steps; a step is a mixture with its own E."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.em.memory import Memory
from gmmcli.core.em.stopping import has_converged, remaining_gain
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, Expectation, Table


@dataclass(frozen=True, eq=False)
class Step:
    """A mixture with its own E: the content of a checkpoint.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    expectation : Expectation
    number : int
        M-steps in the life of the model.
    likelihoods : tuple of float
        The stopping state: mean log-likelihoods of this table at up to three consecutive plain steps, newest
        last.
    memory : Memory
        The other data that a later run needs to continue from this step.
    """

    mixture: Mixture
    expectation: Expectation
    number: int
    likelihoods: tuple[float, ...]
    memory: Memory = field(default_factory=Memory)

    def followed_by(self, mixture: Mixture, expectation: Expectation) -> "Step":
        """Return the next plain step."""
        likelihoods = (*self.likelihoods, expectation.mean_log_likelihood)[-3:]
        return Step(mixture, expectation, self.number + 1, likelihoods, self.memory)

    @property
    def remaining_gain(self) -> float | None:
        """Estimated gain of further steps per unit weight, in nats: see `stopping.remaining_gain`."""
        return remaining_gain(self.likelihoods)

    def has_converged(self, tol: float) -> bool:
        """Return whether further steps would gain less than `tol`: see `stopping.has_converged`."""
        return has_converged(self.likelihoods, tol)


@dataclass(frozen=True, eq=False)
class Origin:
    """The start of a stream of steps: a mixture without its E.

    Parameters
    ----------
    mixture : Mixture
        In standard units.
    number : int
        M-steps in the life of the model.
    likelihoods : tuple of float
        The stopping state before the mixture's own E, newest last.
    memory : Memory
    """

    mixture: Mixture
    number: int = 0
    likelihoods: tuple[float, ...] = ()
    memory: Memory = field(default_factory=Memory)

    def step(self, engine: Engine, table: Table) -> Step:
        """Make one E over the table; return the first step.

        Raises
        ------
        CovarianceNotPositive
        """
        found = engine.expectation(table, self.mixture)
        likelihoods = (*self.likelihoods, found.mean_log_likelihood)[-3:]
        return Step(self.mixture, found, self.number, likelihoods, self.memory)


# Called with a step and the mixture that the M-step makes of it; may return another origin to continue from.
Mend: TypeAlias = Callable[[Step, Mixture], Origin | None]


def leave_alone(step: Step, stepped: Mixture) -> None:
    """Never mend: a `Mend`."""


def iterate(
    origin: Origin, engine: Engine, table: Table, rules: Rules, mend: Mend = leave_alone
) -> Iterator[Step]:
    """Yield the steps of a run, without end: the first one, then one for each (M, E).

    Parameters
    ----------
    origin : Origin
    engine : Engine
    table : Table
    rules : Rules
    mend : callable

    Raises
    ------
    CovarianceNotPositive
        From the kernel, when the caller asks for the next step.
    """
    step = origin.step(engine, table)
    while True:
        yield step
        stepped = maximise(step.expectation.statistics, step.mixture, rules)
        mended = mend(step, stepped)
        if mended is not None:
            step = mended.step(engine, table)
        else:
            step = step.followed_by(stepped, engine.expectation(table, stepped))
