"""One block of rows, summed by a kernel without an engine."""

import numpy as np

from gmmcli.core.kernel.block import Workspace
from gmmcli.core.kernel.kernel import Kernel, Sums
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.core.statistics import Statistics


def workspace_of(kernel: Kernel) -> Workspace:
    """Return arrays for a kernel to work in."""
    return Workspace(kernel.mixture, kernel.layout)


def summed(
    X: np.ndarray, mixture: Mixture, weights: np.ndarray | None = None, *, hard: bool = False
) -> tuple[Statistics, Sums, np.ndarray]:
    """Return the statistics of a block, its sums before they are named, and its log densities."""
    kernel = Kernel(mixture)
    sums, log_density = kernel.expectation(Rows(X, weights), workspace_of(kernel), hard=hard)
    scatter = (X if weights is None else X * weights) @ X.T
    return kernel.statistics(sums, scatter), sums, log_density
