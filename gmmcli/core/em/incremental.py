"""EM on new rows together with the stored statistics of earlier rows, without the earlier rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gmmcli.core.em.loop import Origin, Step, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, Expectation, Table
from gmmcli.core.statistics import Statistics


@dataclass(frozen=True, eq=False)
class _WithStored:
    """An engine whose E-step adds stored statistics to those of the table."""

    engine: Engine
    stored: Statistics

    def expectation(self, table: Table, mixture: Mixture, *, hard: bool = False) -> Expectation:
        """Return one E over the table plus the stored statistics."""
        found = self.engine.expectation(table, mixture, hard=hard)
        return Expectation(self.stored + found.statistics, found.log_densities)


def absorb(origin: Origin, engine: Engine, table: Table, rules: Rules, stored: Statistics) -> Iterator[Step]:
    """Yield the steps of a run over new rows and stored statistics, without end.

    Parameters
    ----------
    origin : Origin
    engine : Engine
    table : Table
        The new rows.
    rules : Rules
    stored : Statistics
        Of all earlier rows. They do not change: each batch was evaluated under the mixture of its time.

    Yields
    ------
    Step
        Its statistics are the sum of the stored ones and those of the new rows under its mixture. Its log
        densities are those of the new rows.

    Raises
    ------
    CovarianceNotPositive

    Notes
    -----
    One pass over the new rows per step. Incremental EM: Neal and Hinton (1998).
    """
    for step in iterate(origin, _WithStored(engine, stored), table, rules):
        # The stored part is evaluated under older mixtures, so these likelihoods must not judge convergence.
        yield replace(step, likelihoods=step.likelihoods[-1:])
