"""Mixtures that make the same density as a simpler one: starts of a model that a simpler one is nested in."""

from dataclasses import replace

import numpy as np

from gmmcli.core.families import FAMILIES, CovarianceType
from gmmcli.core.mixture import Mixture

# The distance of the halves of a component to its mean, in sds of its widest direction.
_APART = 0.5
# Of so many components each may be split; the heaviest are.
_MOST_SPLITS = 8


def splits(mixture: Mixture, n_components: int) -> list[Mixture]:
    """Return mixtures with more components: in each of them, another component is split first.

    Parameters
    ----------
    mixture : Mixture
    n_components : int
        More than the mixture has; the heaviest component of what is there is split until there are so many.
    """
    heaviest = np.argsort(-mixture.weights, kind="stable")[:_MOST_SPLITS]
    return [grown(split(mixture, int(k), _APART), n_components, _APART) for k in heaviest]


def grown(mixture: Mixture, n_components: int, apart: float) -> Mixture:
    """Return a mixture whose heaviest component is split until there are `n_components`."""
    while mixture.n_components < n_components:
        mixture = split(mixture, int(np.argmax(mixture.weights)), apart)
    return mixture


def split(mixture: Mixture, component: int, apart: float) -> Mixture:
    """Return a mixture with one component in two halves, along its widest direction; the second is last."""
    variances, directions = np.linalg.eigh(mixture.matrices[component])
    step = apart * np.sqrt(variances[-1]) * directions[:, -1]
    means = np.vstack([mixture.means, mixture.means[component] + step])
    means[component] -= step
    weights = np.append(mixture.weights, mixture.weights[component] / 2)
    weights[component] /= 2
    covariances = mixture.covariances
    if not mixture.structure.is_shared:
        covariances = np.concatenate([covariances, covariances[component : component + 1]])
    return replace(mixture, weights=weights, means=means, covariances=covariances)


def as_family(mixture: Mixture, covariance_type: CovarianceType) -> Mixture:
    """Return the same mixture in a family that its own family is nested in."""
    family, (K, d) = FAMILIES[covariance_type], mixture.means.shape
    squares = np.zeros(family.structure.shape(K, d))
    for k, matrix in enumerate(mixture.matrices):
        family.structure.add_squares(np.linalg.cholesky(matrix), squares, k)
    covariances = family.choose(squares, np.ones(K), d)
    return replace(mixture, covariances=covariances, covariance_type=covariance_type)
