"""Which rows would leave their component if they had not helped to fit it.

With few rows per column, EM stays where it is: a row has pulled the mean and the covariance of its component
towards itself. To compare components fairly, a row is left out of its own.
"""

import numpy as np

from gmmcli.core.arrays import Integers
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows


def labels_without_self(mixture: Mixture, rows: Rows) -> tuple[Integers, Integers]:
    """Return the most probable component of each row, and that after the row is left out of it.

    Parameters
    ----------
    mixture : Mixture
        Of full covariances, each component with a covariance of its own; in the units of the rows.
    rows : Rows

    Returns
    -------
    before, after : ndarray of shape (n_rows,), int64

    Notes
    -----
    For a row of weight w with squared distance q to its component of weight n: without it, the squared
    distance is n·q / (n − w − w·q), and the determinant has the factor (n / (n − w))ᵈ · (1 − w·q / (n − w)):
    the formula of Sherman and Morrison. n·K·d² work.
    """
    (K, d), weights = mixture.means.shape, 1.0 if rows.weights is None else rows.weights
    lower = np.linalg.cholesky(mixture.matrices)
    distances = np.empty((K, rows.n_rows))
    for k, inverse in enumerate(np.linalg.inv(lower)):
        distances[k] = ((inverse @ (rows.X - mixture.means[k][:, None])) ** 2).sum(axis=0)
    log_determinants = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    total = rows.total_weight
    counts = mixture.weights * total
    with np.errstate(divide="ignore"):
        log_joint = np.log(mixture.weights)[:, None] - 0.5 * (distances + log_determinants[:, None])
        before = log_joint.argmax(axis=0)
        here = (before, np.arange(rows.n_rows))
        n, own = counts[before], distances[here]
        left = n - weights * (1 + own)  # where this is not positive, the row alone determines a direction
        is_possible = left > 0
        left, rest = np.where(is_possible, left, 1.0), np.where(is_possible, n - weights, 1.0)
        log_determinant = d * np.log(n / rest) + log_determinants[before] + np.log(left / rest)
        alone = np.log(rest / total) - 0.5 * (n * own / left + log_determinant)
    log_joint[here] = np.where(is_possible, alone, -np.inf)
    return before, log_joint.argmax(axis=0)
