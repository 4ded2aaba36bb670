"""The report of a fit, and the warnings at its end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gmmcli.core.em.maximisation import empty_components
from gmmcli.core.em.stopping import has_converged, remaining_gain
from gmmcli.core.start.starts import Choice
from gmmcli.fitting.candidate import Candidate
from gmmcli.fitting.confidence import Confidence, confidence_of, tell_of_doubt
from gmmcli.fitting.diagnosis import tell_of_narrow
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Ending
from gmmcli.notices import Notice, Notify
from gmmcli.store.checkpoint import content_digest
from gmmcli.store.model_dir import Stored
from gmmcli.store.run_log import GivenUp
from gmmcli.tables import wording

# A message names at most this many of the checkpoints that a rollback gave up.
_MOST_NAMED = 5


@dataclass(frozen=True)
class FitReport:
    """The report of a run: the keys of `fit --json`, and the ending."""

    model_dir: str
    checkpoint: int
    content_digest: str
    global_step: int
    steps_run: int
    passes: int
    converged: bool
    estimated_remaining_gain: float | None
    components: int
    covariance_type: str
    features: tuple[str, ...]
    rows: int
    total_weight: float
    log_likelihood: float
    mean_log_likelihood: float
    approximate: bool
    aic: float
    bic: float
    icl: float
    n_parameters: int
    seconds: float
    validation: dict[str, float | int] | None
    starts: Confidence | None
    warnings: tuple[Notice, ...]
    selection: tuple[Candidate, ...]
    ending: Ending


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    plan : Plan
    stored : Stored
        The newest checkpoint when the run ends: that of the plan if the run published none.
    ending : str
    rows : TrainingRows, optional
        None if the run did not read them.
    passes : int
        Passes over the table, without those that chose the start.
    validation : dict, optional
        The best check of the validation table.
    choice : Choice, optional
        The race that chose the start of a new model.
    selection : tuple of Candidate
        The models that it was chosen from; empty if there was no choice.
    """

    plan: Plan
    stored: Stored
    ending: Ending
    rows: TrainingRows | None = None
    passes: int = 0
    validation: dict[str, float | int] | None = None
    choice: Choice | None = None
    selection: tuple[Candidate, ...] = ()

    @property
    def steps_run(self) -> int:
        """Number of steps of the run; negative if its best checkpoint is older than the one it continued."""
        return self.stored.checkpoint.global_step - self.plan.steps_before

    @property
    def converged(self) -> bool:
        """Whether the newest checkpoint meets the tolerance of this run."""
        return has_converged(self.stored.checkpoint.stopping.tolist(), self.plan.settings.tol)


def tell_of_ending(outcome: Outcome, tell: Notify) -> None:
    """Warn of a limit that was reached, and of problems of a new checkpoint."""
    plan, checkpoint, converged = outcome.plan, outcome.stored.checkpoint, outcome.converged
    steps = wording.counted(checkpoint.global_step, "step")
    if outcome.stored is plan.stored:
        why, way_on = _why_idle(outcome, steps)
        text = f"nothing to do: {why}; to go on: {way_on}, or --fresh for a new model"
        tell(Notice("nothing_to_do", text, "information"))
    if outcome.ending == "max_iter" and not converged:
        tell(
            Notice(
                "cap_reached",
                f"not converged after {steps} (--max-iter); run it again to continue",
                "serious",
            )
        )
    if outcome.ending == "time_limit":
        text = f"stopped by --time-limit after {steps}, {'converged' if converged else 'not converged'}"
        tell(Notice("time_limit", text, "warning" if converged else "serious"))
    if outcome.stored is plan.stored:
        return
    if outcome.choice is not None:
        tell_of_doubt(outcome.choice, tell, is_alone=not outcome.selection)
    for k in empty_components(checkpoint.statistics):
        tell(
            Notice(
                "empty_component",
                f"component {k} has no rows; use fewer components, with --fresh",
                "serious",
                {"component": k},
            )
        )
    if "c" in plan.settings.params and outcome.steps_run > 0 and outcome.rows is not None:
        tell_of_narrow(checkpoint, outcome.rows, plan, tell)


def _why_idle(outcome: Outcome, steps: str) -> tuple[str, str]:
    """Return why a run of a model of so many steps had nothing to do, and the option that makes it go on."""
    request = outcome.plan.request
    match outcome.ending:
        case "converged":
            return f"the model converged after {steps}", "--steps N"
        case "patience":
            return f"--patience {request.patience} ended the run after {steps}", "a larger --patience"
        case "steps" if request.max_steps is not None:
            why = f"the model has made {steps}, and --max-steps is {request.max_steps}"
            return why, "a larger --max-steps"
        case _:
            return f"the model has made {steps}", "--steps N"


def tell_of_rollback(given_up: Sequence[GivenUp], stored: Stored | None, tell: Notify) -> None:
    """Warn of the checkpoints that --rollback gave up, and of the tables that they had learnt from."""
    if stored is None:
        return
    if not given_up:
        text = f"nothing is damaged: continued from checkpoint {stored.generation}"
        tell(Notice("not_rolled_back", text, "information"))
        return
    lost = [
        f"checkpoint {one.checkpoint} of run {one.run or '(unknown)'}"
        + (f", which read {wording.listed(one.tables)}" if one.tables else "")
        for one in given_up
    ]
    more = f"; and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
    text = f"lost {'; '.join(lost[:_MOST_NAMED])}{more}; continued from checkpoint {stored.generation}"
    if any(one.tables for one in given_up):
        text += "; to learn from lost tables again, repeat that fit"
    details = {"checkpoint": stored.generation, "given_up": [asdict(one) for one in given_up]}
    tell(Notice("rolled_back", text, "serious", details))


def _confidence(outcome: Outcome) -> Confidence | None:
    """Return what the race met that chose the start of the run; None if there was none."""
    if outcome.choice is None or outcome.rows is None:
        return None
    return confidence_of(outcome.choice, outcome.rows)


def make_report(outcome: Outcome, notices: Sequence[Notice], seconds: float) -> FitReport:
    """Return the report of a run; it describes the newest checkpoint."""
    checkpoint = outcome.stored.checkpoint
    mixture, fitness = checkpoint.mixture, checkpoint.fitness
    return FitReport(
        model_dir=str(outcome.plan.request.model_dir),
        checkpoint=outcome.stored.generation,
        content_digest=content_digest(checkpoint),
        global_step=checkpoint.global_step,
        steps_run=outcome.steps_run,
        passes=outcome.passes,
        converged=outcome.converged,
        estimated_remaining_gain=remaining_gain(checkpoint.stopping.tolist()),
        components=mixture.n_components,
        covariance_type=mixture.covariance_type,
        features=checkpoint.features,
        rows=fitness.rows,
        total_weight=fitness.total_weight,
        log_likelihood=fitness.log_likelihood,
        mean_log_likelihood=fitness.mean_log_likelihood,
        approximate=checkpoint.memory.approximate,
        aic=fitness.aic,
        bic=fitness.bic,
        icl=fitness.icl,
        n_parameters=fitness.n_parameters,
        seconds=seconds,
        validation=outcome.validation,
        starts=_confidence(outcome),
        selection=outcome.selection,
        warnings=tuple(notices),
        ending=outcome.ending,
    )
