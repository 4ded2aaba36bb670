"""NumPy export: `numpy.load` opens it without pickle."""

import io

import numpy as np

from gmmcli.export.portable import PortableModel


def encode(model: PortableModel) -> bytes:
    """Return an uncompressed .npz; texts are arrays of fixed-length Unicode."""
    mixture = model.mixture
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        covariance_type=np.array(mixture.covariance_type),
        features=np.array(model.features),
        global_step=np.int64(model.global_step),
        converged=np.bool_(model.converged),
        log_likelihood=np.float64(model.log_likelihood),
        rows=np.int64(model.rows),
        total_weight=np.float64(model.total_weight),
    )
    return buffer.getvalue()
