"""What a model was told: identity, start and run settings, and how a later command line may differ.

Identity (components, type, columns) never changes. Start (init, restarts, seed) may be repeated and is not
used again. Run settings never contradict; those remembered here are the next run's defaults.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from gmmcli.core.mixture import CovarianceType
from gmmcli.core.start import AUTO_STARTS
from gmmcli.errors import CheckpointCorrupt, Usage

IDENTITY = {"components": "--components", "covariance_type": "--covariance-type"}
START = {"init": "--init", "restarts": "--restarts", "seed": "--seed"}
Missing = Literal["error", "drop"]
DEFAULTS: dict[str, Any] = {
    "covariance_type": "full",
    "init": "auto",
    "seed": 0,
    "params": "wmc",
    "reg_covar": 1e-6,
    "missing": "error",
    "tol": 1e-6,
    "accelerate": "auto",
    "keep": 5,
    "keep_every": None,
}
_LEARNING = ("params", "reg_covar", "missing", "accelerate")
_TYPES: dict[str, Any] = {
    "components": int,
    "covariance_type": str,
    "init": str,
    "restarts": int,
    "seed": int,
    "params": str,
    "reg_covar": float | int,
    "missing": str,
    "tol": float | int,
    "accelerate": str,
    "keep": int,
    "keep_every": int | None,
}


@dataclass(frozen=True)
class Settings:
    """The settings of a model, as a checkpoint remembers them.

    Parameters
    ----------
    components : int
    covariance_type : str
    init : str
        A word, or "sha256:…" of the content of the file that gave the start.
    restarts, seed : int
    params : str
        Of w, m, c, in this order.
    reg_covar, tol : float
    missing : str
    accelerate : str
        "auto" or "none".
    keep : int
    keep_every : int or None
    """

    components: int
    covariance_type: CovarianceType
    init: str
    restarts: int
    seed: int
    params: str
    reg_covar: float
    missing: Missing
    tol: float
    accelerate: str
    keep: int
    keep_every: int | None

    @classmethod
    def of_new_model(cls, given: Mapping[str, Any]) -> Self:
        """Return what was given on the command line over the defaults.

        Parameters
        ----------
        given : mapping
            By field name; None is "not given".

        Raises
        ------
        Usage
            `components` was not given.
        """
        chosen = DEFAULTS | {name: value for name, value in given.items() if value is not None}
        if "components" not in chosen:
            raise Usage("--components", "a new model needs a number of components", "add -k 3, say")
        if "restarts" not in chosen:
            automatic = chosen["init"] == "auto" and chosen["components"] > 1
            chosen["restarts"] = AUTO_STARTS if automatic else 1
        return cls(**chosen)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], subject: str) -> Self:
        """Return the settings of a checkpoint; one that its version did not have yet is the default.

        Raises
        ------
        CheckpointCorrupt
            A setting is absent that has no default, or is of another type.
        """
        found = DEFAULTS | dict(stored)
        for field in fields(cls):
            value = found.get(field.name)
            if not isinstance(value, _TYPES[field.name]) or isinstance(value, bool):
                raise CheckpointCorrupt(subject, f"its setting {field.name} is {value!r}")
        return cls(**{field.name: found[field.name] for field in fields(cls)})

    def as_json(self) -> dict[str, Any]:
        """Return the settings for the checkpoint."""
        return asdict(self)

    def continued_with(self, given: Mapping[str, Any], model: str) -> Self:
        """Return the settings of a run that continues the model.

        Raises
        ------
        Usage
            An identity or start setting is given with another value than the model's.
        """
        for name, option in (IDENTITY | START).items():
            value, own = given.get(name), getattr(self, name)
            if value is not None and value != own:
                raise Usage(
                    option, f"{_shown(value)}, but {model} has {_shown(own)}", "add --fresh to start anew"
                )
        run = {
            name: value for name, value in given.items() if value is not None and name not in IDENTITY | START
        }
        return type(self)(**(asdict(self) | run))

    @property
    def has_given_means(self) -> bool:
        """Whether the model started from a file of the user's."""
        return self.init.startswith("sha256:")

    def learns_like(self, other: "Settings") -> bool:
        """Tell whether runs under both make the same steps and judge them alike."""
        return all(getattr(self, name) == getattr(other, name) for name in _LEARNING)


def _shown(value: object) -> str:
    """Return a setting for a message; a digest stands for "a file"."""
    text = str(value)
    return f"a file of SHA-256 {text[7:19]}…" if text.startswith("sha256:") else text
