"""Learning from a batch of rows at a time: running statistics that forget slowly, and an M after each batch.

Cappé and Moulines (2009), stepwise EM: S ← (1 − γ_t) S + γ_t s(batch), with γ_t = (t + 10)^−0.7.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gmmcli.core import em
from gmmcli.core.em import Expect, Pair, Rules
from gmmcli.core.mixture import Array, Mixture
from gmmcli.core.statistics import Statistics

# Of the step sizes: the larger the offset, the slower the first ones; the exponent is between 1/2 and 1.
OFFSET, EXPONENT = 10.0, 0.7
_KEY, _PASSES, _ARRAYS = "stepwise", "stepwise_likelihoods", ("counts", "sums", "squares", "reference")


class Batches(Protocol):
    """The rows of a table in batches, as an engine offers them."""

    @property
    def n_rows(self) -> int:
        """Rows in use."""

    def expectation_of(self, first: int, count: int, mixture: Mixture) -> Statistics:
        """Return one E over `count` consecutive rows from `first` on, the first row following the last."""


@dataclass(frozen=True, eq=False)
class Running:
    """Where a run stands between two batches.

    Parameters
    ----------
    statistics : Statistics
        Scaled to the weight of the whole table; its likelihood means nothing.
    batches : int
        How many have been seen: t.
    first : int
        Row that the next batch begins with.
    """

    statistics: Statistics
    batches: int = 0
    first: int = 0

    def kept_in(self, run: Mapping[str, Array]) -> dict[str, Array]:
        """Return a pair's run state with this in it."""
        numbers = {_KEY: np.array([self.batches, self.first], dtype=np.float64)}
        arrays = {f"{_KEY}_{name}": getattr(self.statistics, name) for name in _ARRAYS}
        return {**run, **numbers, **arrays}

    @classmethod
    def from_arrays(cls, run: Mapping[str, Array], whole: Statistics) -> "Running":
        """Return what a checkpoint stored; the statistics of the whole table where it stored nothing."""
        stored = {name: run.get(f"{_KEY}_{name}", np.empty(0)) for name in _ARRAYS}
        fits = all(stored[name].shape == getattr(whole, name).shape for name in _ARRAYS)
        if run.get(_KEY, np.empty(0)).shape != (2,) or not fits:
            return cls(whole)
        batches, first = map(int, run[_KEY])
        counts, sums, squares, reference = stored.values()
        own = replace(whole, counts=counts, sums=sums, squares=squares, reference=reference)
        return cls(own, batches, first)

    def learn(self, found: Statistics, batch_rows: int, n_rows: int) -> "Running":
        """Return what is known after one more batch, given its statistics."""
        share = found.total_weight / self.statistics.total_weight * n_rows / batch_rows
        size = min((self.batches + OFFSET) ** -EXPONENT * share, 1.0)
        scaled = found.scaled(self.statistics.total_weight / found.total_weight * size)
        total = self.statistics.scaled(1.0 - size) + scaled
        statistics = replace(total, rows=self.statistics.rows, total_weight=self.statistics.total_weight)
        return Running(statistics, self.batches + 1, (self.first + batch_rows) % n_rows)


def remembered(run: Mapping[str, Array]) -> dict[str, Array]:
    """Return what of a run state is this module's."""
    return em.part_of(run, (_KEY, _PASSES, *(f"{_KEY}_{name}" for name in _ARRAYS)))


def n_batches(n_rows: int, batch_rows: int) -> int:
    """Return how many batches make a pass."""
    return -(-n_rows // min(batch_rows, n_rows))


def iterate(
    pair: Pair,
    expectation: Expect,
    rules: Rules,
    batches: Batches,
    batch_rows: int,
    last_step: int | None = None,
) -> Iterator[Pair]:
    """Yield a pair after every pass, without end; one step is the M after one batch.

    Parameters
    ----------
    pair : Pair
        The first; its run state may be that of a pair yielded here.
    expectation : callable
        One E over the whole table: of every pair that is yielded.
    rules : Rules
    batches : Batches
    batch_rows : int
        Rows of a batch; the whole table where it has fewer.
    last_step : int, optional
        A pair is yielded there as well, in the middle of a pass.

    Raises
    ------
    CovarianceNotPositive
        While the next pair is asked for.
    """
    n_rows = batches.n_rows
    batch_rows, of_pass = min(batch_rows, n_rows), n_batches(n_rows, batch_rows)
    known = Running.from_arrays(pair.run, pair.expectation.statistics)
    is_end = known.batches % of_pass == 0
    # Those of whole passes, by which convergence is judged: those within a pass say nothing of it.
    likelihoods = pair.likelihoods if is_end else tuple(pair.run.get(_PASSES, np.empty(0)).tolist())
    while True:
        run = {name: array for name, array in known.kept_in(pair.run).items() if name != _PASSES}
        pair = replace(pair, run=run if is_end else {**run, _PASSES: np.array(likelihoods)})
        yield pair
        mixture, step = pair.mixture, pair.step
        while True:
            found = batches.expectation_of(known.first, batch_rows, mixture)
            known = known.learn(found, batch_rows, n_rows)
            mixture = rules.maximise(known.statistics, mixture)
            step += 1
            is_end = known.batches % of_pass == 0
            if is_end or step == last_step:
                break
        before = likelihoods if is_end else ()
        pair = em.begin(mixture, expectation, step=step, likelihoods=before, run=pair.run)
        likelihoods = pair.likelihoods if is_end else likelihoods
