"""Where a run starts: at a checkpoint, or at a new model that --init describes."""

from dataclasses import dataclass, replace

from gmmcli.core.em.loop import Origin
from gmmcli.core.em.memory import Memory
from gmmcli.core.mixture import Mixture
from gmmcli.core.start import Starts, enough_rows, kinds_of
from gmmcli.core.units import Units
from gmmcli.engine.local import LocalEngine
from gmmcli.fitting.diagnosis import tell_of_few_rows
from gmmcli.fitting.init_file import check_near, check_variances, read_means
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.settings import Settings
from gmmcli.notices import Notice, Notify, Progress
from gmmcli.store.checkpoint import Checkpoint

_BLOCKS = {"w": "weights", "m": "means", "c": "covariances"}


@dataclass(frozen=True, eq=False)
class Start:
    """The mixture that a run starts from.

    Parameters
    ----------
    origin : Origin
        In standard units.
    mixture : Mixture
        The same in the table's units; blocks that the user gave are exact here.
    units : Units
    history : tuple of float
        Log-likelihoods before the origin's own E.
    """

    origin: Origin
    mixture: Mixture
    units: Units
    history: tuple[float, ...] = ()

    @classmethod
    def of(cls, state: Mixture, units: Units) -> "Start":
        """Return step 0 of a new model, given its mixture in standard units."""
        return cls(Origin(state), units.to_table(state), units)

    def in_table_units(self, state: Mixture, number: int, params: str) -> Mixture:
        """Return the mixture of a later step in the table's units; frozen blocks stay, bit for bit."""
        if number == self.origin.number:
            return self.mixture
        frozen = {
            name: getattr(self.mixture, name) for letter, name in _BLOCKS.items() if letter not in params
        }
        return replace(self.units.to_table(state), **frozen)


def begin(plan: Plan, rows: TrainingRows, engine: LocalEngine, tell: Notify, progress: Progress) -> Start:
    """Return where the run starts.

    Raises
    ------
    TableUnusable, Usage
        The --init file does not fit the table.
    CovarianceNotPositive
    """
    if plan.stored is None:
        tell_of_few_rows(rows.table, plan.settings.components, tell)
        return _begin_new(plan, rows, engine, progress)
    checkpoint = plan.stored.checkpoint
    is_same_table = rows.are_those_of(checkpoint)
    if not is_same_table and not plan.request.partial:
        tables = f"other tables than those of checkpoint {plan.stored.generation}"
        tell(Notice("other_table", f"{tables}: only these count from now on", "information"))
    before = Settings.from_json(checkpoint.settings, "the model")
    return _continued(checkpoint, is_same_table, plan.settings.makes_steps_like(before))


def _continued(checkpoint: Checkpoint, is_same_table: bool, is_same_rules: bool) -> Start:
    """Return the start of a run that continues a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
    is_same_table : bool
        Likelihoods of different tables are never compared.
    is_same_rules : bool
        Whether the run makes and judges steps as the stored one did.
    """
    is_kept = is_same_table and is_same_rules
    origin = Origin(
        checkpoint.state,
        checkpoint.global_step,
        tuple(checkpoint.stopping[:-1].tolist()) if is_kept else (),
        checkpoint.memory if is_kept else Memory(reseeded=checkpoint.memory.reseeded),
    )
    history = tuple(checkpoint.log_likelihoods[:-1].tolist()) if is_same_table else ()
    return Start(origin, checkpoint.mixture, checkpoint.units, history)


def _begin_new(plan: Plan, rows: TrainingRows, engine: LocalEngine, progress: Progress) -> Start:
    """Return step 0 of a new model."""
    init_file, units, settings = plan.init_file, rows.units, plan.settings
    if init_file is None:
        return Start.of(_best_start(plan, rows, engine, progress), units)
    if init_file.model is not None:
        mixture = init_file.model[0]
        check_near(units.means_to_standard(mixture.means), units, rows.features, init_file)
        check_variances(mixture, units, rows.features, init_file)
        return Start(Origin(units.to_standard(mixture)), mixture, units)
    means = read_means(init_file, rows.features, settings.components)
    standard = units.means_to_standard(means)
    check_near(standard, units, rows.features, init_file)
    kind = settings.covariance_type
    starts = Starts(engine, rows.table, rows.table, kind, settings.components, plan.rules)
    start = Start.of(starts.around_means(standard), units)
    return replace(start, mixture=replace(start.mixture, means=means))


def _best_start(plan: Plan, rows: TrainingRows, engine: LocalEngine, progress: Progress) -> Mixture:
    """Return the best of the starts that the settings ask for."""
    settings, table = plan.settings, rows.table
    kinds = kinds_of(settings.init, settings.restarts)
    # Distinct rows are looked for in the whole table, and what stays frozen is learnt from it.
    may_sample = settings.init != "random" and settings.params == "wmc"
    n_rows = enough_rows(settings.components, table.n_features) if may_sample else table.n_rows
    sample = table.sample(n_rows)
    learning = table if len(kinds) == 1 else sample

    def tell(number: int, kind: str) -> None:
        progress(f"start {number} of {settings.restarts}, {kind}")

    with engine.attached(sample):
        starts = Starts(engine, learning, sample, settings.covariance_type, settings.components, plan.rules)
        return starts.choose(kinds, settings.seed, tell)
