"""What is known of a model before its table is read: what the directory holds, and what was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gmmcli.core.units import Units
from gmmcli.errors import Usage
from gmmcli.jobs.fit_request import FitRequest
from gmmcli.jobs.notice import Notice, Notify
from gmmcli.jobs.origin import WORDS, InitFile, read_init_file, with_implied
from gmmcli.jobs.settings import Settings
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import Stored
from gmmcli.tables import wording
from gmmcli.tables.columns import match_features, select_features
from gmmcli.tables.source import Tables


@dataclass(frozen=True, eq=False)
class Model:
    """A model as it is continued, or begun.

    Parameters
    ----------
    stored : Stored or None
        None for a new model.
    settings : Settings
    init_file : InitFile or None
        The file that --init names.
    """

    stored: Stored | None
    settings: Settings
    init_file: InitFile | None

    @property
    def features(self) -> tuple[str, ...] | None:
        """The model's own columns; None where the command line chooses them."""
        if self.stored is not None:
            return self.stored.checkpoint.features
        if self.init_file is not None and self.init_file.model is not None:
            return self.init_file.model[1]
        return None

    @property
    def units(self) -> Units | None:
        """The model's standard units; None before its first table."""
        return None if self.stored is None else self.stored.checkpoint.units


def open_model(writer: Writer, asked: Mapping[str, Any], *, fresh: bool, rollback: bool) -> Model:
    """Return what the directory holds, and the settings that it and the command line come to.

    Parameters
    ----------
    writer : Writer
        Its retention is set to the model's.
    asked : mapping
        Settings on the command line; None is "not given".
    fresh, rollback : bool

    Raises
    ------
    Usage
        The command line contradicts the model, or does not suffice for a new one.
    GmmError
        What reading the directory or the --init file finds.
    """
    stored = None
    if not fresh:
        stored = writer.rollback() if rollback else writer.latest()
    init = asked.get("init")
    init_file = None if init is None or init in WORDS else read_init_file(init)
    given = with_implied(asked, init_file)
    if stored is None:
        settings = Settings.of_new_model(given)
    else:
        subject = str(writer.path)
        settings = Settings.from_json(stored.checkpoint.settings, subject).continued_with(given, subject)
    writer.keep, writer.keep_every = settings.keep, settings.keep_every
    return Model(stored, settings, init_file)


def choose_features(tables: Tables, model: Model, request: FitRequest, tell: Notify) -> tuple[str, ...]:
    """Return the columns to learn from: the model's own, or those the command line selects.

    Raises
    ------
    Usage
        The selection differs from the model's columns, or matches nothing.
    TableUnusable
        A column is absent or not numeric.
    """
    asked = None
    if request.columns or request.exclude:
        asked = select_features(tables, request.columns, request.exclude)
    if model.features is not None:
        if asked is not None and set(asked.features) != set(model.features):
            raise Usage(
                "--columns",
                f"selects {wording.listed(asked.features)}, the model has {wording.listed(model.features)}",
                "add --fresh to start anew",
            )
        return match_features(tables, model.features, request.model_dir)
    selection = asked or select_features(tables)
    if selection.skipped:
        names = wording.listed(selection.skipped)
        tell(
            Notice("columns_skipped", f"not numeric, skipped: {names}", False, {"columns": selection.skipped})
        )
    for error in selection.doubtful:
        text = f"{error}; left out, though most of its cells are numbers: mend it, or --exclude it"
        tell(Notice("column_left_out", text))
    return selection.features
