"""Methods and attributes of scikit-learn's GaussianMixture."""

from typing import Any

import numpy as np

from gmmcli.core.mixture import Array, Integers
from gmmcli.core.sampling import draw
from gmmcli.gmm.arguments import check_integer, operand_of
from gmmcli.gmm.fitted import Fitted


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
        operand = self._learn(X, y, None)
        assignments: Integers = self._evaluate(operand, ("assignment",))["assignment"]
        return assignments

    def predict_proba(self, X: Any) -> Array:
        """Return the posterior probability of each component, shape (n_samples, num_clusters)."""
        probabilities: Array = self._evaluate(operand_of(X, None, None), ("probabilities",))["probabilities"]
        return probabilities

    def score_samples(self, X: Any) -> Array:
        """Return the log density of each row, shape (n_samples,), in nats and the table's units."""
        densities: Array = self._evaluate(operand_of(X, None, None), ("log_density",))["log_density"]
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
        return self._criterion(X, "aic")

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion for a table: smaller is better."""
        return self._criterion(X, "bic")

    @property
    def weights_(self) -> Array:
        """Weights of the components, shape (num_clusters,)."""
        return np.array(self._load().checkpoint.mixture.weights)

    @property
    def means_(self) -> Array:
        """Means, shape (num_clusters, n_features), in the table's units."""
        return np.array(self._load().checkpoint.mixture.means)

    @property
    def covariances_(self) -> Array:
        """Covariances, in the table's units, shape (K, d, d), (d, d), (K, d) or (K,) by their type."""
        return np.array(self._load().checkpoint.mixture.covariances)

    @property
    def converged_(self) -> bool:
        """Whether the newest checkpoint has converged."""
        return self._load().checkpoint.converged

    @property
    def n_iter_(self) -> int:
        """Number of steps of the model, over all fits."""
        return self._load().checkpoint.global_step

    @property
    def lower_bound_(self) -> float:
        """Mean log-likelihood of the training rows, in nats and the table's units."""
        return self._load().checkpoint.fitness.mean_log_likelihood

    @property
    def n_features_in_(self) -> int:
        """Number of columns of the model."""
        return len(self._load().checkpoint.features)

    @property
    def feature_names_in_(self) -> Any:
        """Names of the columns of the model, shape (n_features,); x0, x1 and so on for an array."""
        return np.array(self._load().checkpoint.features, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return self._has_model()

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags  # asked for by scikit-learn alone

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(),
        )

    def _criterion(self, X: Any, name: str) -> float:
        """Return a metric of a table."""
        return float(self._measure(operand_of(X, None, None))[name])
