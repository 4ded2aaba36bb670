"""The estimator of tf.contrib.factorization, and what its arguments are made of."""

from gmmcli.gmm.arguments import RunConfig, Step
from gmmcli.gmm.estimator import GMM

__all__ = ["GMM", "RunConfig", "Step"]
