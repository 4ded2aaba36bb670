"""What is written of a run: a mixture with its own E, and all that the next run needs to know."""

import numpy as np

from gmmcli.core.em import Pair
from gmmcli.core.mixture import Array
from gmmcli.jobs.origin import Origin
from gmmcli.jobs.settings import Settings
from gmmcli.jobs.training_table import TrainingTable
from gmmcli.store.checkpoint import Checkpoint


def checkpoint_of(
    pair: Pair,
    history: tuple[float, ...],
    quantiles: Array,
    origin: Origin,
    table: TrainingTable,
    settings: Settings,
) -> Checkpoint:
    """Return the checkpoint of a pair.

    Parameters
    ----------
    pair : Pair
    history : tuple of float
        Log-likelihoods up to its own.
    quantiles : ndarray of shape (1001,), float64
        Of log densities.
    origin : Origin
        Where the run started.
    table : TrainingTable
    settings : Settings
        Of the run.
    """
    return Checkpoint(
        state=pair.mixture,
        mixture=origin.in_table_units(pair.mixture, pair.step, settings.params),
        units=origin.units,
        statistics=pair.expectation.statistics,
        features=table.features,
        weights_column=None,
        global_step=pair.step,
        converged=pair.has_converged(settings.tol),
        settings=settings.as_json(),
        log_likelihoods=np.array(history),
        stopping=np.array(pair.likelihoods),
        run=pair.run,
        random_state="",
        operands=table.operands,
        absorbed_digests=(),
        quantiles=quantiles,
    )
