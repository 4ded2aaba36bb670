"""What a run will do: the checkpoint that it continues, and the settings that model and request come to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gmmcli.core.em import stepwise
from gmmcli.core.em.maximisation import PARAMS, Rules
from gmmcli.core.units import Units
from gmmcli.errors import Usage
from gmmcli.fitting.init_file import WORDS, InitFile, read_init_file
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.settings import Settings
from gmmcli.notices import Notify
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import Stored
from gmmcli.tables import wording
from gmmcli.tables.columns import match_features, select_features
from gmmcli.tables.source import Tables

DEFAULT_MAX_ITER = 1000


@dataclass(frozen=True, eq=False)
class Plan:
    """A model as it is continued, or begun, and what is asked of this run.

    Parameters
    ----------
    request : FitRequest
    stored : Stored or None
        The checkpoint that the run continues; None for a new model.
    settings : Settings
    init_file : InitFile or None
        The file that --init names.
    features : tuple of str
        Columns to learn from; empty until `choose_features`.
    """

    request: FitRequest
    stored: Stored | None
    settings: Settings
    init_file: InitFile | None
    features: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether the run begins a model."""
        return self.stored is None

    @property
    def given_features(self) -> tuple[str, ...] | None:
        """Columns of the model, or of its start file; None where the request chooses them."""
        if self.stored is not None:
            return self.stored.checkpoint.features
        if self.init_file is not None and self.init_file.model is not None:
            return self.init_file.model[1]
        return None

    @property
    def units(self) -> Units | None:
        """Standard units of the model; None before its first table."""
        return None if self.stored is None else self.stored.checkpoint.units

    @property
    def rules(self) -> Rules:
        """How steps are made."""
        return Rules(self.settings.params, self.settings.reg_covar, self.settings.tol)

    @property
    def may_reseed(self) -> bool:
        """Whether starved components move: not where the user gave the means, or froze a block."""
        return self.settings.params == PARAMS and not self.settings.has_given_means

    @property
    def has_all_steps(self) -> bool:
        """Whether the model made the steps of --max-steps before; a validation table may know more."""
        if self.stored is None or self.request.max_steps is None or self.request.validation is not None:
            return False
        return self.stored.checkpoint.global_step >= self.request.max_steps

    def last_step(self, first: int) -> int | None:
        """Return the step that a counted run ends at, given its first; None for a run to convergence."""
        request = self.request
        if request.partial:
            return first + request.update_steps
        return request.max_steps if request.steps is None else first + request.steps

    def most_steps(self, n_rows: int) -> int:
        """Return how many steps a run to convergence makes at most; --max-iter counts passes."""
        max_iter = DEFAULT_MAX_ITER if self.request.max_iter is None else self.request.max_iter
        return max_iter * stepwise.n_batches(n_rows, self.request.batch_size or n_rows)


def make_plan(request: FitRequest, writer: Writer) -> Plan:
    """Return the plan of a run; its columns are still to be chosen.

    Parameters
    ----------
    request : FitRequest
    writer : Writer
        Its retention is set to the model's.

    Raises
    ------
    Usage
        The request contradicts the model, or does not suffice for a new one.
    GmmError
        The directory or the --init file cannot be read.
    """
    stored, asked = None, request.settings
    if not request.fresh:
        stored = writer.rollback() if request.rollback else writer.latest()
    init = asked.get("init")
    init_file = None if init is None or init in WORDS else read_init_file(init)
    given = _with_implied(asked, init_file)
    if stored is None:
        settings = Settings.of_new_model(given)
    else:
        subject = str(writer.path)
        settings = Settings.from_json(stored.checkpoint.settings, subject).continued_with(given, subject)
    writer.keep, writer.keep_every = settings.keep, settings.keep_every
    return Plan(request, stored, settings, init_file)


def _with_implied(given: Mapping[str, Any], init_file: InitFile | None) -> dict[str, Any]:
    """Return the given settings together with those that an --init file stands for.

    Raises
    ------
    Usage
        Options contradict the file.
    """
    if init_file is None:
        return dict(given)
    if given.get("restarts") is not None:
        raise Usage("--restarts", "a file gives one start", "omit --restarts")
    together = {**given, "init": init_file.digest, "restarts": 1}
    for name, value in init_file.implied().items():
        if given.get(name) not in (None, value):
            raise Usage(
                f"--init {init_file.path}", f"{name.replace('_', ' ')} is {value} there, not {given[name]}"
            )
        together[name] = value
    return together


def choose_features(plan: Plan, tables: Tables, tell: Notify) -> Plan:
    """Return the plan with the columns to learn from: those of the model, or those that the request selects.

    Raises
    ------
    Usage
        The selection differs from the model's columns, or matches nothing.
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
                "add --fresh to start anew",
            )
        return replace(plan, features=match_features(tables, given, request.model_dir))
    selection = asked or select_features(tables)
    for notice in selection.notices:
        tell(notice)
    return replace(plan, features=selection.features)
