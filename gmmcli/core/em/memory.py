"""What a run must know beside mixture and statistics to continue as if it had never stopped.

Each algorithm that has such a memory defines it here as a type; a checkpoint stores what these types hold.
"""

from dataclasses import dataclass, field

import numpy as np

from gmmcli.core.mixture import Array, Covariances, PerComponent, PerComponentAndFeature

# Plain steps before the first jump: far from an optimum EM is fast, and extrapolation is blind.
FIRST_PLAIN = 5


@dataclass(frozen=True, eq=False)
class Cycle:
    """Where an accelerated run stands between two steps.

    Parameters
    ----------
    plain : int
        Plain steps to make before the next jump is considered.
    since : int
        Plain steps since the last jump; −1 before the first.
    calm : int
        Cycles in a row that gained less than the tolerance.
    longest : float
        Bound on the length of a jump; 1 is the length of two plain steps.
    slowest : float
        The greatest length measured so far, at most `acceleration.SLOWEST`: about 1 / (1 − rate) of the
        slowest direction.
    failures : int
        Jumps in a row that did not pay.
    is_fast : bool
        Whether the last measured length was below `acceleration.FAST`.
    likelihood : float
        Mean log-likelihood at the start of the cycle.
    base : ndarray of shape (n,), float64
        Parameters (`acceleration.pack`) before the latest step; empty while no jump is being prepared.
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
    """Where a run with `--batch-size` stands between two batches.

    Parameters
    ----------
    batches : int
        Batches seen so far: t.
    first : int
        First row of the next batch.
    counts, sums, squares, reference : ndarray, float64
        The running statistics, scaled to the weight of the whole table.
    likelihoods : ndarray of shape (n,), float64
        Within a pass: mean log-likelihoods at the ends of the last passes. Empty at the end of a pass, where
        the stopping state holds them.
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
    """The checks against a validation table so far.

    Parameters
    ----------
    best : float or None
        Greatest mean log-likelihood of that table, nats, the table's units; None before the first check.
    best_step : int
        The step that reached it; −1 before the first check.
    misses : int
        Checks since then.
    checked_step : int
        Step of the last check; −1 before the first.
    table : str
        First 12 hexadecimal digits of a digest of the table. Another table starts a new count.
    """

    best: float | None = None
    best_step: int = -1
    misses: int = 0
    checked_step: int = -1
    table: str = "0" * 12


@dataclass(frozen=True)
class Converged:
    """The settings of a run that continued from a best checkpoint, converged, and found nothing better.

    Parameters
    ----------
    tol : float
    batch_rows : int
        Rows of a batch; 0 for a run without `--batch-size`.
    """

    tol: float
    batch_rows: int


@dataclass(frozen=True, eq=False)
class Memory:
    """The memory of a run, one field for each algorithm that has one.

    Parameters
    ----------
    reseeded : int
        How often starved components were re-seeded in the life of the model.
    approximate : bool
        Whether the statistics were gathered under several mixtures, as partial fits do.
    began : int or None
        The step that a run to convergence began with; None once it has ended, and in counted runs.
    cycle : Cycle or None
        Of an accelerated run.
    stepwise : Batches or None
        Of a run with `--batch-size`.
    validation : Standing or None
        Of a run with `--validation`.
    converged : Converged or None
        In the best checkpoint of a run that converged after it.
    """

    reseeded: int = 0
    approximate: bool = False
    began: int | None = None
    cycle: Cycle | None = None
    stepwise: Batches | None = None
    validation: Standing | None = None
    converged: Converged | None = None
