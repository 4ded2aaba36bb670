"""The observer that reports each step: to the journal, to people, and to the monitor of a Python caller."""

from gmmcli.core.em.loop import Step
from gmmcli.fitting.journal import Journal
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Ending, Observer
from gmmcli.notices import Progress


def telling(plan: Plan, rows: TrainingRows, journal: Journal, progress: Progress) -> Observer:
    """Return the observer; the run ends if the monitor asks for it."""
    log_jacobian, monitor = rows.units.log_jacobian, plan.request.monitor
    first = 0 if plan.stored is None else plan.stored.checkpoint.global_step

    def look(step: Step, ending: Ending | None) -> Ending | None:
        mean_log_likelihood = step.likelihoods[-1] - log_jacobian
        if plan.request.partial:
            progress(f"pass {step.number - first + 1} of {plan.request.update_steps + 1}")
        else:
            journal.follow(step, mean_log_likelihood)
            gain = step.remaining_gain
            rest = "" if gain is None else f", about {gain:.1e} to gain"
            progress(f"step {step.number}, mean log-likelihood {mean_log_likelihood:.6g}{rest}")
        if monitor is not None and monitor(step.number, mean_log_likelihood):
            return "monitor"
        return ending

    return look
