"""The sweep over a grid of models: each is fitted, and the criterion chooses one.

Simpler models come first and give starts to those that they are nested in. Each fitted model is kept as a
candidate in the model directory, so that a sweep that was cut off goes on with what is missing.
"""

import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gmmcli.core.em.memory import HeldOut
from gmmcli.core.families import FAMILIES
from gmmcli.core.mixture import Mixture
from gmmcli.core.start.nested import as_family, grown, splits
from gmmcli.core.start.starts import in_canonical_order
from gmmcli.engine.local import LocalEngine
from gmmcli.errors import NotConverged, NumericalFailure, Stopped, TableUnusable, Usage
from gmmcli.fitting.candidate import Candidate, best_of
from gmmcli.fitting.checkpoints import Publisher
from gmmcli.fitting.grid import MOST_TRIED, Grid, in_words
from gmmcli.fitting.journal import Journal
from gmmcli.fitting.learn import learn
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.report import Outcome
from gmmcli.fitting.request import CROSS_VALIDATED
from gmmcli.fitting.rows import TrainingRows
from gmmcli.fitting.run import Ending, TimeUp
from gmmcli.fitting.selection import tell_of_choice
from gmmcli.fitting.settings import Settings
from gmmcli.fitting.starts import Start, begin
from gmmcli.notices import Notice, Notify, Progress
from gmmcli.store.candidates import Key, key_of
from gmmcli.store.checkpoint import Checkpoint
from gmmcli.store.commit import Writer
from gmmcli.store.model_dir import Stored
from gmmcli.tables import wording

# Starts are found on fewer rows than those of a single model, since simpler models give starts too.
_START_ROWS = 5_000
# A model is worse than one that is nested in it if its log-likelihood is lower by more, in nats.
_WORSE = 1e-3
# The halves of a component are so near to each other that the density is nearly that of the simpler model.
_NEAR = 1e-2
# Settings that may differ between the candidates of a sweep and a later request for more of them.
_OF_A_RUN = ("components", "covariance_type", "keep", "keep_every")


class Draft:
    """A publisher that stores nothing: for fits whose result alone matters."""

    path: Path = Path()
    best: int | None = None

    def publish(self, checkpoint: Checkpoint, *, fresh: bool = False) -> Stored:
        """Return the checkpoint."""
        return Stored(checkpoint, 0, "", 0)


class Sweep:
    """A sweep on one table.

    Parameters
    ----------
    plan : Plan
        With a grid, and with the settings that all models share.
    rows : TrainingRows
        In units with a scale for each column, unless all families of the grid have a common one.
    engine : LocalEngine
    writer : Writer
    tell, progress : callable
    """

    def __init__(
        self,
        plan: Plan,
        rows: TrainingRows,
        engine: LocalEngine,
        writer: Writer,
        tell: Notify,
        progress: Progress,
    ) -> None:
        self._plan, self._engine, self._writer = plan, engine, writer
        self._rows = replace(rows, start_rows=_START_ROWS)
        self._tell, self._progress = tell, progress
        self._candidates, self._silent = writer.candidates, Journal(writer, None, 0)
        self._done: dict[Key, Candidate] = {}
        self._outcomes: dict[Key, Outcome] = {}

    def run(self) -> Outcome:
        """Fit what is missing, and publish the best model.

        Raises
        ------
        Usage
            The model was chosen on other tables.
        NotConverged
            The time limit passed; what is fitted is kept.
        NumericalFailure
            No model could be fitted.
        Stopped
            What is fitted is kept.
        """
        self._keep_only_alike()
        failures: dict[Key, NumericalFailure] = {}
        try:
            for key in self._keys():
                try:
                    self._complete(key)
                except NumericalFailure as error:
                    failures[key] = error
                else:
                    self._done[key] = Candidate.of(self._candidates.found[key].checkpoint)
        except (NotConverged, TimeUp) as error:
            fact = f"reached when {self._so_far()}; no checkpoint was written"
            raise NotConverged("--time-limit", fact, "the same command, to continue") from error
        except Stopped as stopped:
            name = signal.Signals(stopped.signum).name
            text = f"stopped by {name}: {self._so_far()}; run the same command to continue"
            self._tell(Notice("stopped", text, "information"))
            raise
        if failures and not self._done:
            raise next(iter(failures.values()))
        if failures:
            names = [in_words(*key) for key in failures]
            text = f"not fitted, since a covariance is not positive definite: {', '.join(names)}"
            self._tell(Notice("models_failed", text, "warning"))
        return self._publish()

    def _so_far(self) -> str:
        """Return the number of models that are fitted, in words."""
        n_fitted = len(self._done)
        return f"{wording.counted(n_fitted, 'model')} {'was' if n_fitted == 1 else 'were'} fitted"

    def _keep_only_alike(self) -> None:
        """Remove candidates of other tables or settings."""
        digests = [operand.digest for operand in self._rows.operands]
        mine = _shared(asdict(self._plan.settings))
        for key, stored in list(self._candidates.found.items()):
            checkpoint = stored.checkpoint
            is_of_table = [operand.digest for operand in checkpoint.operands] == digests
            if self._plan.replaced is not None and not is_of_table:
                fact = "the tables differ from those on which the model was chosen"
                hint = "omit -k to continue the model, or add --fresh to choose again"
                raise Usage("--components", fact, hint)
            theirs = _shared(asdict(Settings.from_json(checkpoint.settings, "a candidate")))
            if not is_of_table or checkpoint.features != self._rows.features or theirs != mine:
                self._candidates.remove(key)

    def _keys(self) -> Iterator[Key]:
        """Yield the models to fit, simpler ones first; an automatic grid grows while its last is the best."""
        grid, table = self._grid, self._rows.table
        counts = list(grid.counts)
        for K in counts:
            for kind in grid.types:
                is_enough = FAMILIES[kind].rows_needed(K, table.n_features) <= table.n_rows
                if is_enough or not grid.grows or K == 1:
                    yield K, kind
            if grid.grows and K == counts[-1] < MOST_TRIED and self._best().components == K:
                counts.append(K + 1)

    @property
    def _grid(self) -> Grid:
        """The grid of the plan."""
        if self._plan.grid is None:
            raise RuntimeError("a sweep needs a grid")
        return self._plan.grid

    def _best(self) -> Candidate:
        """Return the best model so far."""
        return best_of(list(self._done.values()), self._plan.request.criterion)

    def _complete(self, key: Key) -> None:
        """Fit a model, unless it is fitted already, and do what else the criterion needs of it."""
        rows, plan = self._rows.in_units_of(key[1]), self._plan_of(key)
        with self._engine.attached(rows.table, rows.partitions.sample):
            if plan.stored is None or plan.stored.checkpoint.memory.began is not None:
                start = partial(begin, plan, rows, self._engine, untold_notice, self._progress)
                self._outcomes[key] = self._learn(
                    plan, rows, partial(start, self._starts(key, rows)), self._candidates
                )
            self._improve(key, rows)
            if self._plan.request.criterion in CROSS_VALIDATED:
                self._cross_validate(key, rows)

    def _plan_of(self, key: Key) -> Plan:
        """Return the plan of one model; it continues what an earlier run has left of it."""
        settings = replace(self._plan.settings, components=key[0], covariance_type=key[1])
        return replace(self._plan, stored=self._candidates.found.get(key), settings=settings)

    def _learn(
        self, plan: Plan, rows: TrainingRows, make_start: Callable[[], Start], publisher: Publisher
    ) -> Outcome:
        """Fit one model in silence."""
        name = in_words(plan.settings.components, plan.settings.covariance_type)

        def progress(text: str) -> None:
            self._progress(f"{name}: {text}")

        outcome = learn(
            plan, rows, make_start, self._engine, publisher, self._silent, untold_notice, progress
        )
        if outcome.ending == "time_limit":
            raise TimeUp
        return outcome

    def _simpler(self, key: Key) -> list[Checkpoint]:
        """Return the sound models that are nested in a model: fewer components, or a narrower family."""
        fewer = [K for K, kind in self._done if kind == key[1] and key[0] > K]
        keys = [(K, key[1]) for K in fewer[-1:]]
        keys += [(key[0], kind) for K, kind in self._done if key[0] == K and FAMILIES[key[1]].contains(kind)]
        return [self._candidates.found[one].checkpoint for one in keys if self._done[one].flaw is None]

    def _starts(self, key: Key, rows: TrainingRows) -> list[Mixture]:
        """Return starts for a model from those that are nested in it, in standard units."""
        found = list[Mixture]()
        for simpler in self._simpler(key):
            mixture = as_family(simpler.mixture, key[1])
            found += [mixture] if mixture.n_components == key[0] else splits(mixture, key[0])
        return [rows.units.to_standard(mixture) for mixture in found]

    def _improve(self, key: Key, rows: TrainingRows) -> None:
        """Fit a model again from one that is nested in it and more likely."""
        for simpler in self._simpler(key):
            stored = self._candidates.found[key]
            likelihood = stored.checkpoint.fitness.log_likelihood
            if simpler.fitness.log_likelihood <= likelihood + _WORSE:
                continue
            mixture = grown(as_family(simpler.mixture, key[1]), key[0], _NEAR)
            state = in_canonical_order(rows.units.to_standard(mixture))
            plan = replace(self._plan_of(key), stored=None)
            outcome = self._learn(plan, rows, partial(Start.of, state, rows.units), Draft())
            if outcome.stored.checkpoint.fitness.log_likelihood > likelihood:
                self._candidates.publish(outcome.stored.checkpoint)
                self._outcomes[key] = outcome

    def _cross_validate(self, key: Key, rows: TrainingRows) -> None:
        """Score each of some parts of the rows under a model that is fitted to the others."""
        checkpoint, folds = self._candidates.found[key].checkpoint, self._plan.request.folds
        known = checkpoint.memory.held_out
        if known is not None and known.folds == folds:
            return
        plan, means, weights = replace(self._plan_of(key), stored=None), list[float](), list[float]()
        for others, part in rows.parts(folds):
            if not part.table.n_rows or others.table.n_rows < key[0]:
                return
            with self._engine.attached(others.table, others.partitions.sample):
                make_start = partial(begin, plan, others, self._engine, untold_notice, self._progress)
                outcome = self._learn(plan, others, make_start, Draft())
            found = self._engine.expectation(part.table, outcome.stored.checkpoint.state)
            means.append(found.mean_log_likelihood - rows.units.log_jacobian)
            weights.append(part.table.total_weight)
        mean, error = np.average(means, weights=weights), np.std(means, ddof=1) / np.sqrt(folds)
        memory = replace(checkpoint.memory, held_out=HeldOut(folds, float(mean), float(error)))
        self._candidates.publish(replace(checkpoint, memory=memory))

    def _publish(self) -> Outcome:
        """Make the best model the newest checkpoint, unless it is that already."""
        best, request = self._best(), self._plan.request
        if request.criterion in CROSS_VALIDATED and best.cv is None:
            fact = f"too few rows for {request.folds} folds: {self._rows.table.n_rows}"
            raise TableUnusable(self._rows.operands[0].name, fact, "--criterion bic")
        key = best.key
        candidate, newest = self._candidates.found[key], self._plan.replaced
        plan, rows = replace(self._plan_of(key), stored=None), self._rows.in_units_of(key[1])
        selection = tuple(self._done[one] for one in sorted(self._done))
        tell_of_choice(best, selection, self._plan, self._tell)
        if newest is not None and _is_as_likely(newest, candidate):
            return Outcome(replace(plan, stored=newest), newest, "converged", rows, selection=selection)
        checkpoint = replace(candidate.checkpoint, provenance=None)
        stored = self._writer.publish(checkpoint, fresh=newest is None)
        ending: Ending = "converged" if best.converged else "max_iter"
        fitted = self._outcomes.get(key)
        choice, passes = (None, 0) if fitted is None else (fitted.choice, fitted.passes)
        return Outcome(plan, stored, ending, rows, passes, choice=choice, selection=selection)


def _is_as_likely(newest: Stored, candidate: Stored) -> bool:
    """Tell whether the newest checkpoint is the candidate, perhaps with more steps."""
    lead = newest.checkpoint.fitness.log_likelihood - candidate.checkpoint.fitness.log_likelihood
    return key_of(newest) == key_of(candidate) and lead >= -_WORSE


def _shared(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that all candidates of a sweep have in common."""
    return {name: value for name, value in settings.items() if name not in _OF_A_RUN}


def untold_notice(_notice: Notice) -> None:
    """Drop a notice: those of the chosen model are told at the end."""
