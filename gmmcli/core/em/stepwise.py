"""Stepwise EM: an M-step after each batch of rows, on running statistics that forget old batches slowly.

S ← (1 − γ_t) S + γ_t s(batch), with γ_t = (t + 10)^−0.7; Cappé and Moulines (2009).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gmmcli.core.em.loop import Origin, Step
from gmmcli.core.em.maximisation import Rules, maximise
from gmmcli.core.em.memory import Batches
from gmmcli.core.passes import Engine, Table
from gmmcli.core.statistics import Statistics

# Of the step sizes: a larger offset makes the first ones smaller; the exponent is between 1/2 and 1.
OFFSET, EXPONENT = 10.0, 0.7
_ARRAYS = ("counts", "sums", "squares", "reference")


@dataclass(frozen=True, eq=False)
class _Running:
    """The running statistics between two batches.

    Parameters
    ----------
    statistics : Statistics
        Scaled to the weight of the whole table. Their likelihood has no meaning.
    batches : int
        Number of batches seen, t.
    first : int
        First row of the next batch.
    """

    statistics: Statistics
    batches: int = 0
    first: int = 0

    @classmethod
    def of(cls, memory: Batches | None, whole: Statistics, n_rows: int) -> "_Running":
        """Return the statistics that a run remembers, or those of the whole table if these do not fit."""
        if memory is None or not 0 <= memory.first < n_rows:
            return cls(whole)
        stored = {name: getattr(memory, name) for name in _ARRAYS}
        if any(array.shape != getattr(whole, name).shape for name, array in stored.items()):
            return cls(whole)
        return cls(replace(whole, **stored), memory.batches, memory.first)

    def remembered(self, likelihoods: tuple[float, ...]) -> Batches:
        """Return the memory of a run that stops here."""
        arrays = {name: getattr(self.statistics, name) for name in _ARRAYS}
        return Batches(self.batches, self.first, **arrays, likelihoods=np.array(likelihoods, float))

    def learn(self, found: Statistics, batch_rows: int, n_rows: int) -> "_Running":
        """Return the running statistics after one more batch."""
        share = found.total_weight / self.statistics.total_weight * n_rows / batch_rows
        size = min((self.batches + OFFSET) ** -EXPONENT * share, 1.0)
        scaled = found.scaled(self.statistics.total_weight / found.total_weight * size)
        total = self.statistics.scaled(1.0 - size) + scaled
        statistics = replace(total, rows=self.statistics.rows, total_weight=self.statistics.total_weight)
        return _Running(statistics, self.batches + 1, (self.first + batch_rows) % n_rows)


def n_batches(n_rows: int, batch_rows: int) -> int:
    """Return the number of batches in a pass."""
    return -(-n_rows // min(batch_rows, n_rows))


def iterate(
    origin: Origin,
    engine: Engine,
    table: Table,
    rules: Rules,
    batch_rows: int,
    last_step: int | None = None,
) -> Iterator[Step]:
    """Yield a step after every pass, without end. The M-step after each batch counts as one step.

    Parameters
    ----------
    origin : Origin
        With the memory of a step yielded here, the run continues as if it had not stopped.
    engine : Engine
    table : Table
    rules : Rules
    batch_rows : int
        Rows of a batch, at most those of the table.
    last_step : int, optional
        This step is yielded as well, even in the middle of a pass.

    Raises
    ------
    CovarianceNotPositive
        When the caller asks for the next step.

    Notes
    -----
    Every yielded step costs one E over the whole table in addition to its batches.
    """
    n_rows = table.n_rows
    batch_rows, of_pass = min(batch_rows, n_rows), n_batches(n_rows, batch_rows)
    step, memory = origin.step(engine, table), origin.memory.stepwise
    known = _Running.of(memory, step.expectation.statistics, n_rows)
    is_end = known.batches % of_pass == 0
    # Only the likelihoods at the ends of passes judge convergence.
    within = () if memory is None else tuple(memory.likelihoods.tolist())
    likelihoods = step.likelihoods if is_end else within
    while True:
        remembered = known.remembered(() if is_end else likelihoods)
        step = replace(step, memory=replace(step.memory, stepwise=remembered))
        yield step
        mixture, number = step.mixture, step.number
        while True:
            batch = table.part(known.first, batch_rows)
            known = known.learn(engine.expectation(batch, mixture).statistics, batch_rows, n_rows)
            mixture = maximise(known.statistics, mixture, rules)
            number += 1
            is_end = known.batches % of_pass == 0
            if is_end or number == last_step:
                break
        before = likelihoods if is_end else ()
        step = Origin(mixture, number, before, step.memory).step(engine, table)
        likelihoods = step.likelihoods if is_end else likelihoods
