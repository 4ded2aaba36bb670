"""The mixture that a run starts from: a checkpoint's, or a new one as --init describes it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gmmcli.core.em.loop import Origin
from gmmcli.core.em.memory import Memory
from gmmcli.core.mixture import Mixture
from gmmcli.core.start.starts import FEWEST_STARTS, MOST_STARTS, Choice, Starts, automatic_starts
from gmmcli.core.units import Units
from gmmcli.engine.local import LocalEngine
from gmmcli.fitting.diagnosis import tell_of_few_rows
from gmmcli.fitting.init_file import check_near, check_variances, read_means
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.settings import Settings
from gmmcli.notices import Notice, Notify, Progress

_BLOCKS = {"w": "weights", "m": "means", "c": "covariances"}


@dataclass(frozen=True, eq=False)
class Start:
    """The start of a run.

    Parameters
    ----------
    origin : Origin
        Holds the mixture in standard units.
    mixture : Mixture
        The same mixture in the table's units. Parameters that the user gave are exact here.
    units : Units
    history : tuple of float
        Log-likelihoods of earlier steps.
    choice : Choice or None
        The race that chose the mixture.
    """

    origin: Origin
    mixture: Mixture
    units: Units
    history: tuple[float, ...] = ()
    choice: Choice | None = None

    @classmethod
    def of(cls, state: Mixture, units: Units) -> "Start":
        """Return the start of a new model, given its mixture in standard units."""
        return cls(Origin(state), units.to_table(state), units)

    def in_table_units(self, state: Mixture, number: int, params: str) -> Mixture:
        """Return the mixture of a step in the table's units; frozen parameters stay the same, bit for bit."""
        if number == self.origin.number:
            return self.mixture
        frozen = {
            name: getattr(self.mixture, name) for letter, name in _BLOCKS.items() if letter not in params
        }
        return replace(self.units.to_table(state), **frozen)


def begin(
    plan: Plan,
    rows: TrainingRows,
    engine: LocalEngine,
    tell: Notify,
    progress: Progress,
    also: Sequence[Mixture] = (),
) -> Start:
    """Return the start of a run; mixtures in standard units may join the race of a new model.

    Raises
    ------
    TableUnusable, Usage
        The --init file does not fit the table.
    CovarianceNotPositive
    """
    if plan.stored is None:
        tell_of_few_rows(rows.table, plan.settings.components, tell)
        return _begin_new(plan, rows, engine, progress, also)
    checkpoint = plan.stored.checkpoint
    is_same_table = rows.are_those_of(checkpoint)
    if not is_same_table and not plan.request.partial:
        before = f"checkpoint {plan.stored.generation}"
        if checkpoint.memory.approximate:
            text = f"this run forgets the rows that partial fits added to {before}; to add rows: --partial"
            tell(Notice("other_table", text, "serious"))
        else:
            text = f"the tables differ from those of {before}: this run learns from its own tables only"
            tell(Notice("other_table", text, "information"))
    # Likelihoods of different tables are not comparable; nor are those of steps made in another way.
    likelihoods: tuple[float, ...] = ()
    history: tuple[float, ...] = ()
    memory = Memory(reseeded=checkpoint.memory.reseeded)
    if is_same_table:
        history = tuple(checkpoint.log_likelihoods[:-1].tolist())
        if plan.settings.makes_steps_like(Settings.from_json(checkpoint.settings, "the model")):
            likelihoods, memory = tuple(checkpoint.stopping[:-1].tolist()), checkpoint.memory
    origin = Origin(checkpoint.state, checkpoint.global_step, likelihoods, memory)
    return Start(origin, checkpoint.mixture, checkpoint.units, history)


def _begin_new(
    plan: Plan, rows: TrainingRows, engine: LocalEngine, progress: Progress, also: Sequence[Mixture]
) -> Start:
    """Return the start of a new model."""
    init_file, units, settings = plan.init_file, rows.units, plan.settings
    if init_file is None:
        choice = _choose(plan, rows, engine, progress, also)
        return replace(Start.of(choice.mixture, units), choice=choice)
    if init_file.model is not None:
        mixture = init_file.model[0]
        check_near(units.means_to_standard(mixture.means), units, rows.features, init_file)
        check_variances(mixture, units, rows.features, init_file)
        return Start(Origin(units.to_standard(mixture)), mixture, units)
    means = read_means(init_file, rows.features, settings.components)
    standard = units.means_to_standard(means)
    check_near(standard, units, rows.features, init_file)
    kind = settings.covariance_type
    starts = Starts(
        engine, rows.table, rows.partitions, kind, settings.components, plan.settings.rules(units)
    )
    start = Start.of(starts.around_means(standard), units)
    return replace(start, mixture=replace(start.mixture, means=means))


def _choose(
    plan: Plan, rows: TrainingRows, engine: LocalEngine, progress: Progress, also: Sequence[Mixture]
) -> Choice:
    """Return the best of as many starts as the settings ask for."""
    settings, table, partitions = plan.settings, rows.table, rows.partitions
    kind, K = settings.covariance_type, settings.components
    n_starts, is_alone = settings.restarts, plan.grid is None
    if n_starts is None:
        n_starts = automatic_starts(kind, K, table.n_features, table.n_rows)
        if not is_alone:
            n_starts = min(n_starts, FEWEST_STARTS)  # simpler models of the grid give the others
    may_repeat = settings.restarts is None and is_alone and n_starts == MOST_STARTS
    with engine.attached(partitions.sample):
        starts = Starts(engine, table, partitions, kind, K, plan.settings.rules(rows.units))
        return starts.choose(
            settings.init, n_starts, settings.seed, progress, may_repeat=may_repeat, also=also
        )
