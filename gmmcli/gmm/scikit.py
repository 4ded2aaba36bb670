"""Methods and attributes of scikit-learn's GaussianMixture."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from gmmcli.core.arrays import Array, Integers
from gmmcli.core.sampling import draw
from gmmcli.gmm.arguments import check_integer, operand_of
from gmmcli.gmm.fitted import Fitted
from gmmcli.store.checkpoint import Checkpoint

T = TypeVar("T")


def _learnt(read: Callable[[Checkpoint], T], text: str) -> T:
    """Return a property that reads the newest checkpoint. Type checkers see the type of its value."""
    return cast("T", property(lambda model: read(model._load().checkpoint), doc=text))


class ScikitNames(Fitted):
    """Names of sklearn.mixture.GaussianMixture, except those with another meaning in the original."""

    def fit_predict(self, X: Any, y: Any = None) -> Integers:
        """Fit, and return the most probable component of each row, shape (n_samples,).

        Parameters
        ----------
        X : table
            As for `fit`.
        y : ignored
        """
        operand = operand_of(X, y)
        self._run(operand)
        assignments: Integers = self._evaluate(operand, ("assignment",))["assignment"]
        return assignments

    def predict_proba(self, X: Any) -> Array:
        """Return the posterior probability of each component, shape (n_samples, num_clusters)."""
        probabilities: Array = self._evaluate(operand_of(X), ("probabilities",))["probabilities"]
        return probabilities

    def score_samples(self, X: Any) -> Array:
        """Return the log density of each row, shape (n_samples,), in nats and the table's units."""
        densities: Array = self._evaluate(operand_of(X), ("log_density",))["log_density"]
        return densities

    def sample(self, n_samples: int = 1, random_seed: int | None = None) -> tuple[Array, Integers]:
        """Return rows drawn from the mixture, in the table's units.

        Parameters
        ----------
        n_samples : int
        random_seed : int, optional
            The default is that of the estimator: the same rows each time.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        components : ndarray of shape (n_samples,)
            The component of each row.
        """
        check_integer(0, n_samples=n_samples, random_seed=random_seed)
        seed = self._params["random_seed"] if random_seed is None else random_seed
        return draw(self._load().checkpoint.mixture, n_samples, seed)

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion for a table: smaller is better."""
        return float(self._measure(operand_of(X))["aic"])

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion for a table: smaller is better."""
        return float(self._measure(operand_of(X))["bic"])

    weights_ = _learnt(
        lambda checkpoint: np.array(checkpoint.mixture.weights),
        "Weights of the components, shape (num_clusters,).",
    )
    means_ = _learnt(
        lambda checkpoint: np.array(checkpoint.mixture.means),
        "Means, shape (num_clusters, n_features), in the table's units.",
    )
    covariances_ = _learnt(
        lambda checkpoint: np.array(checkpoint.mixture.covariances),
        "Covariances, in the table's units, shape (K, d, d), (d, d), (K, d) or (K,) by their type.",
    )
    converged_ = _learnt(
        lambda checkpoint: checkpoint.converged, "Whether the newest checkpoint has converged."
    )
    n_iter_ = _learnt(
        lambda checkpoint: checkpoint.global_step, "Number of steps of the model, over all fits."
    )
    lower_bound_ = _learnt(
        lambda checkpoint: checkpoint.fitness.mean_log_likelihood,
        "Mean log-likelihood of the training rows, in nats and the table's units.",
    )
    n_features_in_ = _learnt(lambda checkpoint: len(checkpoint.features), "Number of columns of the model.")
    feature_names_in_ = _learnt(
        lambda checkpoint: np.array(checkpoint.features, dtype=object),
        "Names of the columns of the model, shape (n_features,); x0, x1 and so on for an array.",
    )

    def __sklearn_is_fitted__(self) -> bool:
        return self._has_model()

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags  # only scikit-learn calls this method

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(),
        )
