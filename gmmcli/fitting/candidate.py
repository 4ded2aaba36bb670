"""A model that a fit chooses from: what it is worth, and which is the best."""

from collections.abc import Sequence
from dataclasses import dataclass

from gmmcli.core.start.soundness import Flaw, find_flaw
from gmmcli.fitting.request import CROSS_VALIDATED, Criterion
from gmmcli.fitting.settings import Settings
from gmmcli.store.candidates import Key
from gmmcli.store.checkpoint import Checkpoint


@dataclass(frozen=True)
class Candidate:
    """One of the models that a fit chooses from.

    Parameters
    ----------
    components : int
    covariance_type : str
    log_likelihood : float
        Nats, in the table's units.
    n_parameters : int
    aic, bic, icl : float
        Lower is better.
    cv, cv_error : float or None
        Mean log-likelihood of rows that were held out, per row, and its standard error over the folds.
    steps : int
    converged : bool
    flaw : str or None
        Why the model looks spurious; None if it is sound.
    """

    components: int
    covariance_type: str
    log_likelihood: float
    n_parameters: int
    aic: float
    bic: float
    icl: float
    cv: float | None
    cv_error: float | None
    steps: int
    converged: bool
    flaw: str | None

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Candidate":
        """Return what a fitted model is worth."""
        mixture, fitness, held_out = checkpoint.mixture, checkpoint.fitness, checkpoint.memory.held_out
        flaw = flaw_of(checkpoint)
        return cls(
            components=mixture.n_components,
            covariance_type=mixture.covariance_type,
            log_likelihood=fitness.log_likelihood,
            n_parameters=fitness.n_parameters,
            aic=fitness.aic,
            bic=fitness.bic,
            icl=fitness.icl,
            cv=None if held_out is None else held_out.mean,
            cv_error=None if held_out is None else held_out.error,
            steps=checkpoint.global_step,
            converged=checkpoint.converged,
            flaw=None if flaw is None else flaw.kind,
        )

    @property
    def key(self) -> Key:
        """What tells it from the others: see `store.candidates`."""
        return self.components, self.covariance_type

    def loss(self, criterion: Criterion) -> float:
        """Return the value of a criterion, as a loss: lower is better; infinite if it was not computed."""
        if criterion in CROSS_VALIDATED:
            return float("inf") if self.cv is None else -self.cv
        return float(getattr(self, criterion))


def flaw_of(checkpoint: Checkpoint) -> Flaw | None:
    """Return why a fitted model looks spurious; None if it is sound."""
    settings, statistics = Settings.from_json(checkpoint.settings, "the model"), checkpoint.statistics
    counts = statistics.counts * (statistics.rows / statistics.total_weight)
    limits = settings.rules(checkpoint.units).limits(checkpoint.state.n_features)
    return find_flaw(checkpoint.state, counts, limits)


def best_of(candidates: Sequence[Candidate], criterion: Criterion) -> Candidate:
    """Return the best candidate: a sound one, if there is one; the first among equals.

    `cv-1se` gives the one with the fewest parameters within one standard error of the best.
    """
    sound = [one for one in candidates if one.flaw is None] or candidates
    best = min(sound, key=lambda one: one.loss(criterion))
    if criterion != "cv-1se" or best.cv_error is None:
        return best
    limit = best.loss(criterion) + best.cv_error
    return min((one for one in sound if one.loss(criterion) <= limit), key=lambda one: one.n_parameters)
