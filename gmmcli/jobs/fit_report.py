"""What fit reports: the JSON's keys, and the warnings that its end gives rise to."""

from dataclasses import dataclass

from gmmcli.core import em
from gmmcli.core.degenerate import find_floored
from gmmcli.jobs.fitness import fitness_of
from gmmcli.jobs.notice import Notice, Notify
from gmmcli.jobs.run import Ending, Moment
from gmmcli.store.checkpoint import content_digest
from gmmcli.store.model_dir import Stored

_COMPONENTS_SHOWN = 10


@dataclass(frozen=True)
class FitReport:
    """What a run did: the keys of `fit --json`, and its ending."""

    model_dir: str
    checkpoint: int
    content_digest: str
    global_step: int
    steps_run: int
    converged: bool
    estimated_remaining_gain: float | None
    components: int
    covariance_type: str
    features: tuple[str, ...]
    rows: int
    total_weight: float
    log_likelihood: float
    mean_log_likelihood: float
    aic: float
    bic: float
    icl: float | None
    n_parameters: int
    seconds: float
    warnings: tuple[Notice, ...]
    ending: Ending


@dataclass(frozen=True, eq=False)
class Outcome:
    """The newest checkpoint when a run ends, and the pair it ended with."""

    stored: Stored
    moment: Moment | None
    ending: Ending


def tell_of_ending(outcome: Outcome, reg_covar: float, tell: Notify) -> None:
    """Warn of a cap that was reached, of components without rows, of variances at the floor."""
    if outcome.ending == "max_iter":
        tell(Notice("cap_reached", f"not converged after {in_words(outcome)}: --max-iter reached"))
    if outcome.ending == "time_limit":
        state = "converged" if outcome.stored.checkpoint.converged else "not converged"
        tell(Notice("time_limit", f"stopped by --time-limit after {in_words(outcome)}, {state}"))
    if outcome.moment is None:
        return
    pair, features = outcome.moment.pair, outcome.stored.checkpoint.features
    for k in em.empty_components(pair.expectation.statistics):
        tell(Notice("empty_component", f"component {k} explains no row", details={"component": k}))
    floored: dict[tuple[int, ...], list[int | None]] = {}
    for component, columns in find_floored(pair.mixture, reg_covar):
        floored.setdefault(columns, []).append(component)
    for columns, components in floored.items():
        names = [features[j] for j in columns]
        text = f"{_who(components)}: variance at the floor of --reg-covar {reg_covar:g} in {', '.join(names)}"
        known = [component for component in components if component is not None]
        tell(Notice("variance_floor", text, details={"components": known, "columns": names}))


def _who(components: list[int | None]) -> str:
    """Return components in words; a long list is cut."""
    if components == [None]:
        return "all components"
    shown = ", ".join(map(str, components[:_COMPONENTS_SHOWN]))
    more = f" and {len(components) - _COMPONENTS_SHOWN} more" if len(components) > _COMPONENTS_SHOWN else ""
    return f"component {shown}" if len(components) == 1 else f"components {shown}{more}"


def in_words(outcome: Outcome) -> str:
    """Return the step counter in words."""
    step = outcome.stored.checkpoint.global_step
    return f"{step} step" if step == 1 else f"{step} steps"


def make_report(
    model_dir: str,
    outcome: Outcome,
    steps_before: int,
    tol: float,
    notices: tuple[Notice, ...],
    seconds: float,
) -> FitReport:
    """Return the report; likelihoods are those of the checkpoint, in the table's units."""
    checkpoint, moment = outcome.stored.checkpoint, outcome.moment
    mixture, fitness = checkpoint.mixture, fitness_of(checkpoint)
    gain = em.remaining_gain(checkpoint.stopping.tolist())
    certainty = None if moment is None else moment.pair.expectation.log_max_posterior
    return FitReport(
        model_dir=model_dir,
        checkpoint=outcome.stored.generation,
        content_digest=content_digest(checkpoint),
        global_step=checkpoint.global_step,
        steps_run=checkpoint.global_step - steps_before,
        converged=gain is not None and gain < tol,
        estimated_remaining_gain=gain,
        components=mixture.n_components,
        covariance_type=mixture.covariance_type,
        features=checkpoint.features,
        rows=fitness.rows,
        total_weight=fitness.total_weight,
        log_likelihood=fitness.log_likelihood,
        mean_log_likelihood=fitness.mean_log_likelihood,
        aic=fitness.aic,
        bic=fitness.bic,
        icl=None if certainty is None else fitness.icl(certainty),
        n_parameters=fitness.n_parameters,
        seconds=seconds,
        warnings=notices,
        ending=outcome.ending,
    )
