"""Where a run starts: a model that is continued, or a new one from what --init says."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from gmmcli.core import reseed, start
from gmmcli.core.mixture import Array, Mixture
from gmmcli.core.units import (
    FURTHEST,
    FURTHEST_SD,
    NARROWEST_SD,
    WIDEST_SD,
    Units,
    find_extreme_variance,
    find_far_column,
)
from gmmcli.engine.local import LocalEngine
from gmmcli.errors import TableUnusable, Usage, from_os_error
from gmmcli.export import model_json
from gmmcli.jobs.notice import Progress
from gmmcli.jobs.settings import Settings
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.tables import wording
from gmmcli.tables.blocks import load
from gmmcli.tables.columns import match_features
from gmmcli.tables.source import open_tables

WORDS = ("auto", "kmeans", "kmeans++", "random")
_BLOCKS = {"w": "weights", "m": "means", "c": "covariances"}


@dataclass(frozen=True, eq=False)
class Origin:
    """The mixture a run starts from, and what is remembered of the runs before.

    Parameters
    ----------
    state : Mixture
        In standard units.
    mixture : Mixture
        The same in the table's units; blocks that the user gave are exact here.
    units : Units
    step : int
    likelihoods : tuple of float
        Stopping state before the state's own E.
    history : tuple of float
        Log-likelihoods before the state's own E.
    run : mapping of str to ndarray
        What else the last run knew with this state.
    """

    state: Mixture
    mixture: Mixture
    units: Units
    step: int = 0
    likelihoods: tuple[float, ...] = ()
    history: tuple[float, ...] = ()
    run: Mapping[str, Array] = field(default_factory=dict)

    def in_table_units(self, state: Mixture, step: int, params: str) -> Mixture:
        """Return a later state in the table's units; what was frozen stays as it was, bit for bit."""
        if step == self.step:
            return self.mixture
        frozen = {
            name: getattr(self.mixture, name) for letter, name in _BLOCKS.items() if letter not in params
        }
        return replace(self.units.to_table(state), **frozen)


def continued(checkpoint: Checkpoint, *, same_table: bool, same_rules: bool) -> Origin:
    """Return the origin of a run that continues a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
    same_table : bool
        Whether the operands' digests are those of the checkpoint: likelihoods of different tables are
        never compared.
    same_rules : bool
        Whether the run makes and judges steps as the stored one did.
    """
    keep = same_table and same_rules
    return Origin(
        checkpoint.state,
        checkpoint.mixture,
        checkpoint.units,
        checkpoint.global_step,
        tuple(checkpoint.stopping[:-1].tolist()) if keep else (),
        tuple(checkpoint.log_likelihoods[:-1].tolist()) if same_table else (),
        checkpoint.run if keep else reseed.remembered(checkpoint.run),
    )


@dataclass(frozen=True, eq=False)
class InitFile:
    """The file that --init names: a JSON export, or a table of starting means.

    Parameters
    ----------
    path : Path
    digest : str
        "sha256:…" of its content, the setting that a checkpoint remembers.
    model : tuple or None
        Mixture in the table's units and its features, where it is an export.
    """

    path: Path
    digest: str
    model: tuple[Mixture, tuple[str, ...]] | None

    def implied(self) -> dict[str, Any]:
        """Return the settings that an export gives."""
        if self.model is None:
            return {}
        return {"components": self.model[0].n_components, "covariance_type": self.model[0].covariance_type}


def read_init_file(init: str) -> InitFile:
    """Read the file that --init names.

    Raises
    ------
    NotFound, PermissionRefused, ReadWriteFailed
    TableUnusable
        It calls itself an export but is none.
    """
    path = Path(init)
    if path.exists() and not path.is_file():
        raise Usage(f"--init {init}", "not a regular file", "write it to a file first")
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = f"--init takes {', '.join(WORDS)} or a file" if isinstance(error, FileNotFoundError) else None
        raise from_os_error(f"--init {init}", error, hint) from error
    return InitFile(path, f"sha256:{hashlib.sha256(content).hexdigest()}", model_json.decode(content, init))


def with_implied(given: Mapping[str, Any], init_file: InitFile | None) -> dict[str, Any]:
    """Return the given settings together with those that an --init file stands for.

    Raises
    ------
    Usage
        Options contradict the file.
    """
    if init_file is None:
        return dict(given)
    if given.get("restarts") is not None:
        raise Usage("--restarts", "a file gives one start", "leave --restarts away")
    together = {**given, "init": init_file.digest, "restarts": 1}
    for name, value in init_file.implied().items():
        if given.get(name) not in (None, value):
            raise Usage(
                f"--init {init_file.path}", f"{name.replace('_', ' ')} is {value} there, not {given[name]}"
            )
        together[name] = value
    return together


def begin(
    engine: LocalEngine,
    units: Units,
    features: tuple[str, ...],
    settings: Settings,
    init_file: InitFile | None,
    progress: Progress,
) -> Origin:
    """Return step 0 of a new model."""
    if init_file is None:
        return _drawn(engine, units, settings, progress)
    if init_file.model is not None:
        mixture = init_file.model[0]
        _check_near(units.means_to_standard(mixture.means), units, features, init_file)
        _check_variances(mixture, units, features, init_file)
        return Origin(units.to_standard(mixture), mixture, units)
    means = _read_means(init_file, features, settings)
    standard = units.means_to_standard(means)
    _check_near(standard, units, features, init_file)
    state = start.around_means(engine, standard, settings.covariance_type, settings.reg_covar)
    return Origin(state, replace(units.to_table(state), means=means), units)


def _check_near(means: Array, units: Units, features: tuple[str, ...], init_file: InitFile) -> None:
    """Raise `TableUnusable` where a starting mean lies outside of what squares of distances can tell."""
    far = find_far_column(np.abs(means).max(axis=0), units)
    if far is not None:
        fact = (
            f"{wording.column(features[far])}: a mean beyond {FURTHEST_SD:g} standard deviations, or "
            f"{FURTHEST:g}, from the table's centre"
        )
        raise TableUnusable(f"--init {init_file.path}", fact)


def _check_variances(mixture: Mixture, units: Units, features: tuple[str, ...], init_file: InitFile) -> None:
    """Raise `TableUnusable` where a starting variance is too small or too large beside the table's."""
    covariances = units.covariances_to_standard(mixture)
    extreme = find_extreme_variance(covariances, mixture.covariance_type)
    if extreme is not None:
        fact = (
            f"{wording.column(features[extreme])}: a standard deviation not within {NARROWEST_SD:g} to "
            f"{WIDEST_SD:g} of the table's"
        )
        raise TableUnusable(f"--init {init_file.path}", fact)


def _drawn(engine: LocalEngine, units: Units, settings: Settings, progress: Progress) -> Origin:
    """Return the best of the starts that the settings ask for."""
    numbers = count(1)
    kinds = start.kinds_of(settings.init, settings.restarts)
    # Distinct rows are looked for in the whole table, and what stays frozen is learned from it.
    may_sample = settings.init != "random" and settings.params == "wmc"
    n_rows = start.enough_rows(settings.components, engine.n_features) if may_sample else engine.n_rows
    with engine.sample(n_rows) as sample:
        learning = engine if len(kinds) == 1 else sample

        def make(kind: str, rng: np.random.Generator) -> Mixture:
            progress(f"start {next(numbers)} of {settings.restarts}, {kind}")
            return start.draw(
                learning, kind, settings.covariance_type, settings.components, settings.reg_covar, rng, sample
            )

        state = start.choose(learning, kinds, settings.seed, settings.params, settings.reg_covar, make)
    return Origin(state, units.to_table(state), units)


def _read_means(init_file: InitFile, features: tuple[str, ...], settings: Settings) -> Array:
    """Return the starting means of a table, shape (K, d), in the table's units."""
    with open_tables([str(init_file.path)]) as tables:
        loaded = load(tables, match_features(tables, features), missing="error", skip_empty_columns=False)
    means = np.concatenate([chunk.T for operand in loaded.chunks for chunk in operand] or [np.empty((0, 0))])
    if means.shape[0] != settings.components:
        K, found = settings.components, means.shape[0]
        hint = f"-k {found}" if found else None
        raise Usage(f"--init {init_file.path}", f"{found} rows, but {K} components asked for", hint)
    return means
