"""The settings that a model remembers, and which of them a later run may change."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from gmmcli.core import covariance_types
from gmmcli.errors import CheckpointCorrupt, Usage
from gmmcli.fitting.options import option, options_of

if TYPE_CHECKING:
    from gmmcli.core.em.maximisation import Rules
    from gmmcli.core.units import Units

# `--min-sd auto`: far below what a component of real rows has, far above rounding errors.
AUTO_MIN_SD = 1e-6
# The value of --components that leaves their number to the criterion.
AUTO = "auto"
# All starts are in memory before they compete.
MAX_RESTARTS = 1_000_000
Missing = Literal["error", "drop"]
# Settings that may have no value: every Nth checkpoint, and the number of starts that auto chooses.
_MAY_BE_ABSENT = ("keep_every", "restarts")


@dataclass(frozen=True)
class Settings:
    """The settings of a model, one field each, as a checkpoint stores them.

    To add a setting, add a field here and use it. `init` is a word, or "sha256:" and the digest of the
    starting file.
    """

    components: int = option(
        "-k",
        "--components",
        "--num-clusters",
        help="Number of components, or numbers to choose from: 1:9, 2,4,8, or auto, which goes on after 9 "
        "while the criterion improves [default: auto].",
        least=1,
        several={AUTO: AUTO},
        metavar="N|A:B|LIST|auto",
        python="num_clusters",
        role="identity",
    )
    covariance_type: str = option(
        "--covariance-type",
        help="Shape of the covariances, or its name in mclust; a list, or all: choose among them "
        f"[default: {covariance_types.DEFAULT}].",
        kind="word",
        words=tuple(covariance_types.MCLUST_NAMES),
        aliases=covariance_types.ALIASES,
        several={"all": tuple(covariance_types.MCLUST_NAMES)},
        python="covariance_type",
        default=covariance_types.DEFAULT,
        role="identity",
    )
    init: str = option(
        "--init",
        "--initial-clusters",
        help="How to start: a method, a table of means, or a JSON export [default: auto].",
        kind="text",
        metavar="auto|kmeans|kmeans++|random|FILE",
        python="initial_clusters",
        default="auto",
        role="start",
    )
    restarts: int | None = option(
        "--restarts",
        help="Make N starts and keep the best [default: 1; with --init auto: 13 to 192].",
        least=1,
        most=MAX_RESTARTS,
        python="restarts",
        role="start",
    )
    seed: int = option(
        "--seed",
        "--random-seed",
        help="Random seed of the starts [default: 0].",
        least=0,
        python="random_seed",
        default=0,
        role="start",
    )
    params: str = option(
        "--params",
        help="Parameters to update: w weights, m means, c covariances [default: wmc].",
        kind="letters",
        words=("wmc",),
        metavar="LETTERS",
        python="params",
        default="wmc",
        changes_steps=True,
    )
    tol: float = option(
        "--tol",
        help="Stop if the last and the estimated remaining gain are below F nats per row [default: 1e-6].",
        kind="number",
        least=0,
        python="tol",
        default=1e-6,
    )
    accelerate: str = option(
        "--accelerate",
        help="auto: extrapolate if plain EM is slow; none: plain EM [default: auto].",
        kind="word",
        words=("auto", "none"),
        python="accelerate",
        default="auto",
        changes_steps=True,
    )
    min_sd: float = option(
        "--min-sd",
        help="No component is narrower than F spreads of a column, or than its rounding; 0: no bound "
        f"[default: auto, {AUTO_MIN_SD:g}].",
        kind="number",
        least=0,
        most=1,
        aliases={"auto": AUTO_MIN_SD},
        metavar="auto|F",
        python="min_sd",
        default=AUTO_MIN_SD,
        before=0.0,
        role="start",
    )
    reg_covar: float = option(
        "--reg-covar",
        help="Add F to each variance of the standardised columns [default: 0].",
        kind="number",
        least=0,
        most=1e6,
        python="reg_covar",
        default=0.0,
        changes_steps=True,
    )
    missing: Missing = option(
        "--missing",
        help="Rows with missing values: error (exit 65), or drop them [default: error, later as before].",
        kind="word",
        words=("error", "drop"),
        python="missing",
        default="error",
        changes_steps=True,
    )
    keep: int = option(
        "--keep", help="Keep the newest N checkpoints; 0 keeps all [default: 5].", least=0, default=5
    )
    keep_every: int | None = option("--keep-every", help="Also keep every Nth checkpoint.", least=1)

    @classmethod
    def of_new_model(cls, given: Mapping[str, Any]) -> Self:
        """Return the settings of a new model: the given ones, and defaults for the rest.

        Parameters
        ----------
        given : mapping
            Values by field name; None means that a setting was not given.

        Raises
        ------
        Usage
            `components` was not given.
        """
        chosen = {name: row.default for name, row in options_of(cls)}
        chosen |= {name: value for name, value in given.items() if value is not None}
        if chosen["components"] is None:
            hint = "choose a number of clusters, e.g. -k 3"
            raise Usage("--components", "a new model needs a number of components", hint)
        if chosen["restarts"] is None and (chosen["init"] != "auto" or chosen["components"] == 1):
            chosen["restarts"] = 1
        return cls(**chosen)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], subject: str) -> Self:
        """Return the settings of a checkpoint, and defaults for settings that its version did not have.

        Raises
        ------
        CheckpointCorrupt
            A setting is missing and has no default, or its value is not allowed.
        """
        found: dict[str, Any] = {}
        for name, row in options_of(cls):
            absent = row.default if row.before is None else row.before
            value = found[name] = stored.get(name, absent)
            if value is None and name in _MAY_BE_ABSENT:
                continue
            try:
                row.checked(value, repr(value))
            except ValueError as error:
                raise CheckpointCorrupt(subject, f"its setting {name} is {value!r}") from error
            if row.kind == "text" and not isinstance(value, str):
                raise CheckpointCorrupt(subject, f"its setting {name} is {value!r}")
        return cls(**found)

    def continued_with(self, given: Mapping[str, Any], model: str) -> Self:
        """Return the settings of a run that continues the model.

        Raises
        ------
        Usage
            An identity or start setting differs from the model's.
        """
        run: dict[str, Any] = {}
        for name, row in options_of(type(self)):
            value, own = given.get(name), getattr(self, name)
            if value is None:
                continue
            if row.role == "run":
                run[name] = value
            elif value != own:
                fact = f"{_shown(value)}, but {model} has {_shown(own)}"
                raise Usage(row.name, fact, "add --fresh to start a new model")
        return type(self)(**(asdict(self) | run))

    def rules(self, units: "Units") -> "Rules":
        """Return how the M-step makes a mixture in these units, and when a run has converged."""
        from gmmcli.core.em.maximisation import Rules  # not for --help

        narrowest = None if units.narrowest is None else units.narrowest / units.scale
        return Rules(self.params, self.reg_covar, self.tol, narrowest)

    def makes_steps_like(self, other: "Settings") -> bool:
        """Tell whether runs with these settings and with the others make the same steps."""
        names = [name for name, row in options_of(type(self)) if row.changes_steps]
        return all(getattr(self, name) == getattr(other, name) for name in names)


def _shown(value: object) -> str:
    """Return a setting for a message; a digest is shortened, a number that was not given is automatic."""
    text = "auto" if value is None else str(value)
    return f"a file of SHA-256 {text[7:19]}…" if text.startswith("sha256:") else text
