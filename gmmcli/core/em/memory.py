"""The memory of a run: the data beside mixture and statistics that it needs to continue exactly.

Each algorithm that has such data defines a type for it here. A checkpoint stores the fields of these types.
"""

from dataclasses import dataclass, field

import numpy as np

from gmmcli.core.arrays import Array, Covariances, PerComponent, PerComponentAndFeature

# Plain steps before the first jump: far from an optimum EM is fast and extrapolation is unreliable.
FIRST_PLAIN = 5


@dataclass(frozen=True, eq=False)
class Cycle:
    """The state of an accelerated run between two steps.

    Parameters
    ----------
    plain : int
        Plain steps before the next jump is considered.
    since : int
        Plain steps since the last jump; −1 before the first jump.
    calm : int
        Cycles in a row that gained less than the tolerance.
    longest : float
        Bound on the length of a jump. The length of two plain steps is 1.
    slowest : float
        The greatest length measured so far, at most `acceleration.SLOWEST`. About 1 / (1 − rate) for the rate
        of the slowest direction.
    failures : int
        Jumps in a row that failed.
    is_fast : bool
        Whether the last measured length was below `acceleration.FAST`.
    likelihood : float
        Mean log-likelihood at the start of the cycle.
    base : ndarray of shape (n,), float64
        Parameters (`acceleration.pack`) before the latest step; empty if no jump is being prepared.
    """

    plain: int = FIRST_PLAIN
    since: int = -1
    calm: int = 0
    longest: float = 1.0
    slowest: float = 1.0
    failures: int = 0
    is_fast: bool = False
    likelihood: float = 0.0
    base: Array = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, eq=False)
class Batches:
    """The state of a run with `--batch-size` between two batches.

    Parameters
    ----------
    batches : int
        Number of batches seen, t.
    first : int
        First row of the next batch.
    counts, sums, squares, reference : ndarray, float64
        The running statistics, scaled to the weight of the whole table.
    likelihoods : ndarray of shape (n,), float64
        Within a pass: mean log-likelihoods at the ends of the last passes. At the end of a pass it is empty,
        because the stopping state holds them.
    """

    batches: int
    first: int
    counts: PerComponent
    sums: PerComponentAndFeature
    squares: Covariances
    reference: PerComponentAndFeature
    likelihoods: Array = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Standing:
    """The results of the checks against a validation table so far.

    Parameters
    ----------
    best : float or None
        Greatest mean log-likelihood of the validation table, in nats and the table's units; None before the
        first check.
    best_step : int
        The step that reached it; −1 before the first check.
    misses : int
        Checks since that step.
    checked_step : int
        Step of the last check; −1 before the first.
    table : str
        The first 12 hexadecimal digits of a digest of the table. With another table the count starts again.
    """

    best: float | None = None
    best_step: int = -1
    misses: int = 0
    checked_step: int = -1
    table: str = "0" * 12


@dataclass(frozen=True)
class Converged:
    """The settings of a run that continued from a best checkpoint and converged without finding a better one.

    Parameters
    ----------
    tol : float
    batch_rows : int
        Rows of a batch; 0 for a run without `--batch-size`.
    """

    tol: float
    batch_rows: int


@dataclass(frozen=True)
class HeldOut:
    """How well models like this one explain rows that they were not fitted to.

    Parameters
    ----------
    folds : int
    mean : float
        Mean log-likelihood of the rows, in nats and the table's units.
    error : float
        Standard error of the mean, from the scatter of the folds.
    """

    folds: int
    mean: float
    error: float


@dataclass(frozen=True, eq=False)
class Memory:
    """The memory of a run, one field for each algorithm that has one.

    Parameters
    ----------
    reseeded : int
        How often starved components were re-seeded in the life of the model.
    approximate : bool
        Whether the statistics were gathered under several mixtures, as in a partial fit.
    began : int or None
        The first step of a run to convergence; None once the run has ended, and in counted runs.
    cycle : Cycle or None
        Set in accelerated runs.
    stepwise : Batches or None
        Set in runs with `--batch-size`.
    validation : Standing or None
        Set in runs with `--validation`.
    converged : Converged or None
        Set in the best checkpoint of a run that converged after it.
    held_out : HeldOut or None
        Set in a candidate that was cross-validated. It does not change a run.
    """

    reseeded: int = 0
    approximate: bool = False
    began: int | None = None
    cycle: Cycle | None = None
    stepwise: Batches | None = None
    validation: Standing | None = None
    converged: Converged | None = None
    held_out: HeldOut | None = None
