"""What a test needs to evaluate a kernel by hand."""

from gmmcli.core.kernel.block import Workspace


def workspace_of(kernel):
    """Return arrays to work in."""
    return Workspace(kernel.mixture, kernel.layout)
