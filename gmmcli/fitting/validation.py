"""A second table, not learnt from: its likelihood decides which step is the best and when the run ends."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from gmmcli.core.em.loop import Origin, Step
from gmmcli.core.em.memory import Standing
from gmmcli.core.passes import Engine
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Ending

DEFAULT_STEPS = 10


class Validation:
    """The observer that scores the validation table.

    Parameters
    ----------
    plan : Plan
    rows : TrainingRows
        The training rows. If they differ from those of the continued checkpoint, the count starts anew.
    held_out : TrainingRows
        The rows of the validation table, in the same units.
    engine : Engine
    log : callable
        Called with the step and the mean log-likelihood of every check.

    Attributes
    ----------
    standing : Standing
        The checks so far, those of earlier runs included.
    has_checked : bool
        Whether the latest step was checked.
    """

    def __init__(
        self,
        plan: Plan,
        rows: TrainingRows,
        held_out: TrainingRows,
        engine: Engine,
        log: Callable[[int, float], None],
    ) -> None:
        self._plan, self._held_out, self._engine, self._log = plan, held_out, engine, log
        self.has_checked = False
        request = plan.request
        self._every = DEFAULT_STEPS if request.checkpoint_steps is None else request.checkpoint_steps
        digests = "".join(operand.digest for operand in held_out.operands)
        self.standing = Standing(table=hashlib.sha256(digests.encode()).hexdigest()[:12])
        if plan.stored is not None and rows.are_those_of(plan.stored.checkpoint):
            before = plan.stored.checkpoint.memory.validation
            if before is not None and before.table == self.standing.table:
                self.standing = before

    @property
    def is_exhausted(self) -> bool:
        """Whether as many checks as --patience allows brought no improvement."""
        patience = self._plan.request.patience
        return patience is not None and self.standing.misses >= patience

    def __call__(self, step: Step, ending: Ending | None) -> Ending | None:
        """Check a step that is due or ends the run; return why the run ends."""
        number, checked = step.number, self.standing.checked_step
        is_due = ending is not None or number // self._every > checked // self._every
        self.has_checked = number > checked and is_due
        if self.has_checked:
            self._check(step)
        return "patience" if ending is None and self.is_exhausted else ending

    def _check(self, step: Step) -> None:
        """Score the validation table with the mixture of a step."""
        found = self._engine.expectation(self._held_out.table, step.mixture).mean_log_likelihood
        found -= self._held_out.units.log_jacobian
        self._log(step.number, found)
        standing = replace(self.standing, checked_step=step.number, misses=self.standing.misses + 1)
        if standing.best is None or found > standing.best:
            standing = replace(standing, best=found, best_step=step.number, misses=0)
        self.standing = standing

    def ending_of_earlier_runs(self, origin: Origin) -> Ending | None:
        """Return why earlier runs ended, if they made and checked all steps of this one; else None."""
        request, settings, found = self._plan.request, self._plan.settings, origin.memory.converged
        if request.max_steps is not None and self.standing.checked_step >= request.max_steps:
            return "steps"
        is_best = self.standing.best_step == origin.number and not request.is_counted
        if is_best and found is not None:
            batch_rows = request.batch_size or 0
            if settings.tol >= found.tol and found.batch_rows == batch_rows:
                return "converged"
        return "patience" if self.is_exhausted else None

    def report(self) -> dict[str, float | int] | None:
        """Return the best check so far, for the report; None before the first check."""
        standing = self.standing
        if standing.best is None:
            return None
        return {
            "mean_log_likelihood": standing.best,
            "global_step": standing.best_step,
            "misses": standing.misses,
            "rows": self._held_out.table.n_rows,
        }
