"""The estimator of tf.contrib.factorization, and the types of its arguments."""

from gmmcli.gmm.arguments import RunConfig, Step
from gmmcli.gmm.estimator import GMM

__all__ = ["GMM", "RunConfig", "Step"]
