"""Learning from new rows and the stored statistics of earlier rows, without the earlier rows themselves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gmmcli.core.em.loop import Origin, Step, iterate
from gmmcli.core.em.maximisation import Rules
from gmmcli.core.mixture import Mixture
from gmmcli.core.passes import Engine, Expectation, Table
from gmmcli.core.statistics import Statistics


@dataclass(frozen=True, eq=False)
class _WithStored:
    """An engine whose E adds stored statistics to those of the table."""

    engine: Engine
    stored: Statistics

    def expectation(self, table: Table, mixture: Mixture, *, hard: bool = False) -> Expectation:
        """Return one E over the table, with the stored statistics added."""
        found = self.engine.expectation(table, mixture, hard=hard)
        return Expectation(self.stored + found.statistics, found.log_densities)


def absorb(origin: Origin, engine: Engine, table: Table, rules: Rules, stored: Statistics) -> Iterator[Step]:
    """Yield the steps of a mixture that learns new rows beside those it knows, without end.

    Parameters
    ----------
    origin : Origin
    engine : Engine
    table : Table
        The new rows.
    rules : Rules
    stored : Statistics
        Of all earlier rows, each batch under the mixture of its time: they stay as they are.

    Yields
    ------
    Step
        Its statistics are the stored ones and those of the new rows under its mixture; its log densities are
        those of the new rows alone.

    Raises
    ------
    CovarianceNotPositive

    Notes
    -----
    One pass over the new rows per step. Incremental EM: Neal and Hinton (1998).
    """
    for step in iterate(origin, _WithStored(engine, stored), table, rules):
        # Likelihoods under several mixtures are not those of consecutive steps: they judge nothing.
        yield replace(step, likelihoods=step.likelihoods[-1:])
