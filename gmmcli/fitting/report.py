"""What fit reports: the JSON's keys, and the warnings that its end gives rise to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gmmcli.core.em.maximisation import empty_components
from gmmcli.core.em.stopping import has_converged, remaining_gain
from gmmcli.fitting.diagnosis import tell_of_floor
from gmmcli.fitting.run import Ending
from gmmcli.fitting.settings import Settings
from gmmcli.notices import Notice, Notify
from gmmcli.store.checkpoint import content_digest
from gmmcli.store.model_dir import Stored
from gmmcli.store.run_log import GivenUp
from gmmcli.tables import wording

# Of the checkpoints that a rollback gives up, in its message.
_MOST_NAMED = 5


@dataclass(frozen=True)
class FitReport:
    """What a run did: the keys of `fit --json`, and its ending."""

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
    warnings: tuple[Notice, ...]
    ending: Ending


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    stored : Stored
        The newest checkpoint when the run ends.
    before : Stored or None
        The one it continued; None for a new model. The same as `stored` where nothing was published.
    settings : Settings
        Of this run.
    ending : str
    passes : int
        E-steps over the table, those of the start not counted.
    validation : dict, optional
        What the checks by a validation table have found.
    """

    stored: Stored
    before: Stored | None
    settings: Settings
    ending: Ending
    passes: int
    validation: dict[str, float | int] | None = None

    @property
    def has_published(self) -> bool:
        """Whether the run left a checkpoint of its own."""
        return self.stored is not self.before

    @property
    def steps_before(self) -> int:
        """Steps of the model before the run."""
        return 0 if self.before is None else self.before.checkpoint.global_step

    @property
    def remaining_gain(self) -> float | None:
        """Estimated gain per unit weight that further steps would bring; None where unknown."""
        return remaining_gain(self.stored.checkpoint.stopping.tolist())

    @property
    def converged(self) -> bool:
        """Whether the newest checkpoint meets this run's tolerance."""
        return has_converged(self.stored.checkpoint.stopping.tolist(), self.settings.tol)

    @property
    def steps_in_words(self) -> str:
        """The step counter of the newest checkpoint."""
        step = self.stored.checkpoint.global_step
        return f"{step} step" if step == 1 else f"{step} steps"


def tell_of_ending(outcome: Outcome, tell: Notify) -> None:
    """Warn of a limit that was reached; of empty components and variances at the floor, once."""
    state = "converged" if outcome.converged else "not converged"
    if outcome.ending == "max_iter" and not outcome.converged:
        tell(
            Notice(
                "cap_reached", f"not converged after {outcome.steps_in_words}: --max-iter reached", "serious"
            )
        )
    if outcome.ending == "time_limit":
        text = f"stopped by --time-limit after {outcome.steps_in_words}, {state}"
        tell(Notice("time_limit", text, "warning" if outcome.converged else "serious"))
    checkpoint, settings = outcome.stored.checkpoint, outcome.settings
    if not outcome.has_published:
        return
    for k in empty_components(checkpoint.statistics):
        tell(Notice("empty_component", f"component {k} explains no row", "serious", {"component": k}))
    is_regularised = "c" in settings.params and checkpoint.global_step > outcome.steps_before
    if is_regularised:
        tell_of_floor(checkpoint, settings.reg_covar, tell, is_new=outcome.before is None)


def tell_of_rollback(given_up: Sequence[GivenUp], stored: Stored | None, tell: Notify) -> None:
    """Warn of the checkpoints that --rollback gave up, with the tables whose rows they had learnt."""
    if not given_up or stored is None:
        return
    lost = [
        f"checkpoint {one.checkpoint} of run {one.run or '(unknown)'}"
        + (f", which read {wording.listed(one.tables)}" if one.tables else "")
        for one in given_up
    ]
    more = f"; and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
    text = f"gave up {'; '.join(lost[:_MOST_NAMED])}{more}; continued from checkpoint {stored.generation}"
    details = {"checkpoint": stored.generation, "given_up": [asdict(one) for one in given_up]}
    tell(Notice("rolled_back", text, "serious", details))


def make_report(model_dir: str, outcome: Outcome, notices: tuple[Notice, ...], seconds: float) -> FitReport:
    """Return the report; everything in it is that of the newest checkpoint."""
    checkpoint = outcome.stored.checkpoint
    mixture, fitness = checkpoint.mixture, checkpoint.fitness
    return FitReport(
        model_dir=model_dir,
        checkpoint=outcome.stored.generation,
        content_digest=content_digest(checkpoint),
        global_step=checkpoint.global_step,
        steps_run=checkpoint.global_step - outcome.steps_before,
        passes=outcome.passes,
        converged=outcome.converged,
        estimated_remaining_gain=outcome.remaining_gain,
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
        warnings=notices,
        ending=outcome.ending,
    )
