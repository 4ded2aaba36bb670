"""The model as other programs get it, and the table of formats."""

from dataclasses import dataclass

from gmmcli.core.mixture import Mixture


@dataclass(frozen=True, eq=False)
class PortableModel:
    """A mixture in the table's units with the names it needs.

    Parameters
    ----------
    mixture : Mixture
        In the table's units.
    features : tuple of str
    global_step : int
    converged : bool
    log_likelihood : float
        Of the table it was fitted to, nats, table's units.
    rows : int
    total_weight : float
    """

    mixture: Mixture
    features: tuple[str, ...]
    global_step: int
    converged: bool
    log_likelihood: float
    rows: int
    total_weight: float


# Format: (suffix, whether it is text that a terminal can show).
FORMATS: dict[str, tuple[str, bool]] = {"json": (".json", True), "npz": (".npz", False)}


def encode(model: PortableModel, export_format: str) -> bytes:
    """Return the model in one of FORMATS."""
    if export_format == "json":
        from gmmcli.export import model_json

        return model_json.encode(model)
    from gmmcli.export import model_npz

    return model_npz.encode(model)
