"""Where a run stands, for the journal, for people, and for the monitor of a Python caller."""

from gmmcli.core.em.loop import Step
from gmmcli.fitting.journal import Journal
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Ending, Observer
from gmmcli.notices import Progress


def telling(plan: Plan, rows: TrainingRows, journal: Journal, progress: Progress) -> Observer:
    """Return the observer that logs and shows every step, and that lets the caller's monitor end the run."""
    log_jacobian, monitor = rows.log_jacobian, plan.request.monitor
    first = 0 if plan.stored is None else plan.stored.checkpoint.global_step

    def look(step: Step, ending: Ending | None) -> Ending | None:
        mean_log_likelihood = step.likelihoods[-1] - log_jacobian
        if plan.request.partial:
            progress(f"pass {step.number - first + 1} of {plan.request.update_steps + 1}")
        else:
            journal.follow(step, mean_log_likelihood)
            progress(_in_words(step, mean_log_likelihood))
        if monitor is not None and monitor(step.number, mean_log_likelihood):
            return "monitor"
        return ending

    return look


def _in_words(step: Step, mean_log_likelihood: float) -> str:
    """Return where a run stands, in words."""
    gain = step.remaining_gain
    rest = "" if gain is None else f", about {gain:.1e} to gain"
    return f"step {step.number}, mean log-likelihood {mean_log_likelihood:.6g}{rest}"
