"""The versions of the software, for checkpoints and --version -v."""

import platform
from importlib import metadata

import gmmcli


def versions() -> dict[str, str]:
    """Return the versions of gmmcli, Python and the libraries that results depend on."""
    libraries = ("numpy", "scipy", "h5py", "pyarrow")
    return {
        "gmmcli": gmmcli.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in libraries},
    }
