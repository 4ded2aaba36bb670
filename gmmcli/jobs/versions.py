"""What computed a result: versions and the BLAS kernel, for the checkpoint and --version -v."""

import platform
from importlib import metadata

import gmmcli
from gmmcli.engine.local import blas_kernel

__all__ = ["blas_kernel", "versions"]


def versions() -> dict[str, str]:
    """Return the versions of gmmcli, Python and the libraries that results depend on."""
    libraries = ("numpy", "scipy", "h5py", "pyarrow")
    return {
        "gmmcli": gmmcli.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in libraries},
    }
