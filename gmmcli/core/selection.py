"""Information criteria. Lower is better."""

import math


def aic(log_likelihood: float, n_parameters: int) -> float:
    """Return 2p − 2L; Akaike (1974)."""
    return 2 * n_parameters - 2 * log_likelihood


def bic(log_likelihood: float, n_parameters: int, total_weight: float) -> float:
    """Return p·ln n − 2L, n the total weight of the rows; Schwarz (1978)."""
    return n_parameters * math.log(total_weight) - 2 * log_likelihood


def icl(log_likelihood: float, n_parameters: int, total_weight: float, log_max_posterior: float) -> float:
    """Return bic − 2 Σ ln max posterior; Biernacki, Celeux and Govaert (2000).

    Parameters
    ----------
    log_max_posterior : float
        Σ over rows of the log of the largest responsibility.
    """
    return bic(log_likelihood, n_parameters, total_weight) - 2 * log_max_posterior
