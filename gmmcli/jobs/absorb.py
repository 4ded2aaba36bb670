"""fit --partial: what a model knows of earlier rows stays, and new rows are added to it."""

from gmmcli.core import incremental, quantiles, reseed
from gmmcli.core.em import Expect, Expectation, Pair
from gmmcli.core.statistics import Statistics
from gmmcli.jobs.model import Model
from gmmcli.jobs.origin import Origin
from gmmcli.jobs.snapshot import checkpoint_of
from gmmcli.jobs.training_table import TrainingTable
from gmmcli.store.checkpoint import Checkpoint


def absorb(
    model: Model,
    origin: Origin,
    table: TrainingTable,
    expectation: Expect,
    *,
    steps: int,
    decay: float,
) -> Checkpoint:
    """Return the checkpoint of a model that has learnt the rows of a table as well.

    Parameters
    ----------
    model : Model
        Its stored statistics stand for the rows before; a new one has none.
    origin : Origin
    table : TrainingTable
    expectation : callable
        One E over the table.
    steps : int
        How often M and the E of the new rows are repeated.
    decay : float
        What the stored statistics are multiplied by first, 0 to 1.
    """
    settings, state, run = model.settings, origin.state, reseed.remembered(origin.run)
    stored = Statistics.empty(state.covariance_type, state.n_components, state.n_features)
    parts = []
    if model.stored is not None:
        before = model.stored.checkpoint
        stored, run = before.statistics.scaled(decay), incremental.marked(run)
        parts.append((before.quantiles, stored.total_weight))
    mixture, statistics, found = incremental.absorb(
        state, stored, expectation, steps=steps, params=settings.params, reg_covar=settings.reg_covar
    )
    parts.append((quantiles.summarise(found.log_densities), found.statistics.total_weight))
    whole = Expectation(statistics, found.log_densities)
    pair = Pair(mixture, whole, origin.step + steps, (whole.mean_log_likelihood,), run)
    return checkpoint_of(pair, (statistics.log_likelihood,), quantiles.merge(parts), origin, table, settings)
