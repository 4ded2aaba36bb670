"""A table that is not learnt from tells by its likelihood which checkpoint is the best, and when to end."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields, replace

import numpy as np

from gmmcli.core.em import Pair
from gmmcli.core.mixture import Array
from gmmcli.engine.local import LocalEngine
from gmmcli.jobs.training_table import TrainingTable

DEFAULT_STEPS = 10
_KEY = "validation"


@dataclass(frozen=True)
class Standing:
    """What has been found so far, as a checkpoint remembers it: numbers, all of them float.

    Parameters
    ----------
    best : float
        Greatest mean log-likelihood of the table, nats, the table's units.
    best_step : float
        Of the pair that reached it.
    misses : float
        Checks since then.
    checked_step : float
        Of the last check; −1 before the first.
    table : float
        48 bits of a digest of its operands' digests: for another one nothing has been found yet.
    """

    best: float = -np.inf
    best_step: float = -1.0
    misses: float = 0.0
    checked_step: float = -1.0
    table: float = 0.0


class Validation:
    """The checks of a run.

    Parameters
    ----------
    table : TrainingTable
        In the model's units.
    every : int
        A check is due whenever a multiple of so many steps has been passed: wherever runs were interrupted.
    patience : int or None
        After so many checks without a gain the run ends; None: it does not.
    before : mapping of str to ndarray
        Run state of the checkpoint that is continued; empty for a new model or another table to learn from.
    log : callable
        Told of every check: its step and mean log-likelihood.
    """

    def __init__(
        self,
        table: TrainingTable,
        every: int,
        patience: int | None,
        before: Mapping[str, Array],
        log: Callable[[int, float], None],
    ) -> None:
        self._table, self._every, self._patience, self._log = table, every, patience, log
        digests = "".join(operand.digest for operand in table.operands)
        identity = float(int(hashlib.sha256(digests.encode()).hexdigest()[:12], 16))
        self.standing = Standing(table=identity)
        stored = before.get(_KEY, np.empty(0)).tolist()
        if len(stored) == len(fields(Standing)) and Standing(*stored).table == identity:
            self.standing = Standing(*stored)

    @property
    def engine(self) -> LocalEngine:
        """The engine that holds the table; to be closed by whoever runs the fit."""
        return self._table.engine

    @property
    def is_exhausted(self) -> bool:
        """Whether there were so many checks without a gain that the run ends."""
        return self._patience is not None and self.standing.misses >= self._patience

    def follow(self, pair: Pair, *, is_last: bool) -> bool:
        """Check a pair if that is due, or if it is the last one; tell whether it was checked."""
        checked = self.standing.checked_step
        if pair.step <= checked or not (is_last or pair.step // self._every > checked // self._every):
            return False
        found = self._table.engine.expectation(pair.mixture).mean_log_likelihood
        found -= self._table.units.log_jacobian
        self._log(pair.step, found)
        standing = replace(self.standing, checked_step=float(pair.step), misses=self.standing.misses + 1)
        if found > standing.best:
            standing = replace(standing, best=found, best_step=float(pair.step), misses=0.0)
        self.standing = standing
        return True

    def forget(self) -> None:
        """Begin anew."""
        self.standing = Standing(table=self.standing.table)

    def kept_in(self, run: Mapping[str, Array]) -> dict[str, Array]:
        """Return a run state that remembers what has been found."""
        return {**run, _KEY: np.array(astuple(self.standing))}

    def report(self) -> dict[str, float | int] | None:
        """Return what has been found, for the report; None before the first check."""
        standing = self.standing
        if standing.best_step < 0:
            return None
        return {
            "mean_log_likelihood": standing.best,
            "global_step": int(standing.best_step),
            "misses": int(standing.misses),
            "rows": self._table.engine.n_rows,
        }
