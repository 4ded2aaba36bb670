"""The plan of a run: which checkpoint it continues, and with which settings and columns."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gmmcli.errors import CheckpointCorrupt, Usage
from gmmcli.fitting.grid import Grid, check_alone, in_words
from gmmcli.fitting.init_file import WORDS, InitFile, read_init_file
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.settings import Settings
from gmmcli.notices import Notify
from gmmcli.remedies import ReadCheckpoint
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import Stored
from gmmcli.tables import wording
from gmmcli.tables.columns import match_features, select_features
from gmmcli.tables.source import Tables


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do.

    Parameters
    ----------
    request : FitRequest
    stored : Stored or None
        The checkpoint that the run continues; None for a new model.
    settings : Settings
    init_file : InitFile or None
        The file that --init names.
    features : tuple of str
        The columns to learn from; empty until `choose_features`.
    grid : Grid or None
        The models to choose from, if the run fits several; `settings` are those of one of them.
    replaced : Stored or None
        The newest checkpoint, if it may become another model of the grid.
    """

    request: FitRequest
    stored: Stored | None
    settings: Settings
    init_file: InitFile | None
    features: tuple[str, ...] = ()
    grid: Grid | None = None
    replaced: Stored | None = None

    @property
    def is_new(self) -> bool:
        """Whether the run begins a new model."""
        return self.stored is None

    @property
    def steps_before(self) -> int:
        """Number of steps that the model had before this run."""
        return 0 if self.stored is None else self.stored.checkpoint.global_step

    @property
    def given_features(self) -> tuple[str, ...] | None:
        """The columns of the model or of the JSON export that it starts from; None if the request decides."""
        if self.stored is not None:
            return self.stored.checkpoint.features
        if self.init_file is not None and self.init_file.model is not None:
            return self.init_file.model[1]
        return None

    @property
    def has_all_steps(self) -> bool:
        """Whether earlier runs made all steps of --max-steps, so that there is nothing to check either."""
        if self.stored is None or self.request.max_steps is None or self.request.validation is not None:
            return False
        return self.stored.checkpoint.global_step >= self.request.max_steps


def make_plan(request: FitRequest, writer: Writer) -> Plan:
    """Return the plan of a run, without its columns; set the writer's retention.

    Raises
    ------
    Usage
        The request contradicts the model, or lacks the number of components of a new one.
    GmmError
        The directory or the --init file cannot be read.
    """
    stored, asked = None, request.settings
    if not request.fresh:
        try:
            stored = writer.rollback() if request.rollback else writer.latest()
        except CheckpointCorrupt as error:
            error.without(ReadCheckpoint)  # fit has no --checkpoint
            raise
    init = asked.get("init")
    init_file = None if init is None or init in WORDS else read_init_file(init)
    given = _with_implied(asked, init_file)
    grid = Grid.asked(given, by_default=stored is None)
    if grid is not None:
        check_alone(request, is_given=given.get("components") is not None)
        given |= {"components": grid.most, "covariance_type": grid.types[-1]}
    settings = Settings.of_new_model(given) if stored is None else _continued(stored, given, grid, writer)
    writer.keep, writer.keep_every = settings.keep, settings.keep_every
    if grid is not None:
        return Plan(request, None, settings, init_file, grid=grid, replaced=stored)
    return Plan(request, stored, settings, init_file)


def _continued(stored: Stored, given: Mapping[str, Any], grid: Grid | None, writer: Writer) -> Settings:
    """Return the settings of a run after a checkpoint.

    Raises
    ------
    Usage
        A given setting contradicts the checkpoint, or no earlier run chose it from a grid.
    """
    own, subject = Settings.from_json(stored.checkpoint.settings, str(writer.path)), str(writer.path)
    if grid is None:
        return own.continued_with(given, subject)
    key = (own.components, own.covariance_type)
    if key not in grid or not writer.candidates.found:
        was = f"{subject} has {in_words(*key)}"
        fact = (
            f"{grid}, but {was}" if key not in grid else f"{was}, which was not chosen among several models"
        )
        raise Usage("--components", fact, "add --fresh to start a new model")
    alike = {**given, "components": own.components, "covariance_type": own.covariance_type}
    of_grid = {"components": given["components"], "covariance_type": given["covariance_type"]}
    return replace(own.continued_with(alike, subject), **of_grid)


def _with_implied(given: Mapping[str, Any], init_file: InitFile | None) -> dict[str, Any]:
    """Return the given settings and those that an --init file implies.

    Raises
    ------
    Usage
        A given setting contradicts the file.
    """
    if init_file is None:
        return dict(given)
    if given.get("restarts") is not None:
        raise Usage("--restarts", "--init FILE makes a single start", "omit --restarts")
    together = {**given, "init": init_file.digest, "restarts": 1}
    for name, value in init_file.implied(given.get("components")).items():
        if given.get(name) not in (None, value):
            fact = f"{name.replace('_', ' ')} is {value} there, not {given[name]}"
            raise Usage(init_file.subject, fact)
        together[name] = value
    return together


def choose_features(plan: Plan, tables: Tables, tell: Notify) -> Plan:
    """Return the plan with its columns: those of the model, or those that the request selects.

    Raises
    ------
    Usage
        The selection differs from the model's columns, or matches no column.
    TableUnusable
        A column is absent or not numeric.
    """
    request, given, asked = plan.request, plan.given_features, None
    if request.columns or request.exclude:
        asked = select_features(tables, request.columns, request.exclude)
    if given is not None:
        if asked is not None and set(asked.features) != set(given):
            raise Usage(
                "--columns",
                f"selects {wording.listed(asked.features)}, the model has {wording.listed(given)}",
                "add --fresh to start a new model",
            )
        return replace(plan, features=match_features(tables, given, request.model_dir))
    selection = asked or select_features(tables)
    for notice in selection.notices:
        tell(notice)
    return replace(plan, features=selection.features)
