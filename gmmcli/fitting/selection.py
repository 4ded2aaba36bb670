"""The choice of a model by its name, and what is told of a choice."""

from collections.abc import Sequence

from gmmcli.core import covariance_types
from gmmcli.core.families import FAMILIES
from gmmcli.errors import Usage
from gmmcli.fitting.candidate import Candidate, best_of
from gmmcli.fitting.grid import in_words
from gmmcli.fitting.plan import Plan
from gmmcli.fitting.request import FitRequest
from gmmcli.notices import Notice, Notify
from gmmcli.remedies import quoted
from gmmcli.store.candidates import key_of
from gmmcli.store.model_dir import Stored
from gmmcli.tables import wording


def pick(request: FitRequest, found: Sequence[Stored], newest: Stored | None) -> Stored:
    """Return the candidate that --choose names by its number of components, its covariance type, or both.

    Without a type, that of the newest checkpoint is preferred; what is open still, the criterion decides.

    Raises
    ------
    Usage
        It names no candidate.
    """
    names = [covariance_types.ALIASES.get(name, name) for name in request.choose]
    types = [name for name in names if name in FAMILIES]
    counts = [int(name) for name in names if name.isascii() and name.isdecimal()]
    if len(types) > 1 or len(counts) > 1 or len(types) + len(counts) != len(names):
        raise Usage("--choose", "must be a number of components, a covariance type, or both", "e.g. tied,4")
    fitting = [one for one in found if not counts or key_of(one)[0] in counts]
    fitting = [one for one in fitting if not types or key_of(one)[1] in types]
    if not fitting:
        fact = f"no model of {' and '.join(request.choose)} among those that were fitted"
        hint = f"gmmcli inspect -m {quoted(str(request.model_dir))} --selection"
        if not found:
            fact, hint = "the model was not chosen among several", "gmmcli fit with -k 1:9 keeps all models"
        raise Usage("--choose", fact, hint)
    if newest is not None and not types:
        fitting = [one for one in fitting if key_of(one)[1] == key_of(newest)[1]] or fitting
    candidates = {Candidate.of(one.checkpoint): one for one in fitting}
    return candidates[best_of(list(candidates), request.criterion)]


def tell_of_choice(best: Candidate, candidates: Sequence[Candidate], plan: Plan, tell: Notify) -> None:
    """Report which model was chosen, and why; warn if the choice could have gone on or replaces another."""
    criterion, grid = plan.request.criterion, plan.grid
    if len(candidates) == 1:
        return
    others = sorted(
        (one for one in candidates if one is not best and one.flaw is None),
        key=lambda one: one.loss(criterion),
    )
    name = "cv" if criterion == "cv-1se" else criterion
    text = f"chose {in_words(*best.key)}: {name} {getattr(best, name):.6g}"
    if others:
        other = others[0]
        text += f"; next {other.components} ({other.covariance_type}): {getattr(other, name):.6g}"
    tell(Notice("chosen", text, "information"))
    spurious = [
        one for one in candidates if one.flaw is not None and one.loss(criterion) < best.loss(criterion)
    ]
    if spurious and best.flaw is None:
        names = wording.listed([in_words(*one.key) for one in spurious])
        text = f"not chosen, since a component looks spurious: {names}"
        tell(Notice("spurious_models", text, "information"))
    last = max(one.components for one in candidates)
    if grid is not None and best.components == last and last > 1 and len(grid.counts) > 1:
        text = f"{criterion} is still improving at {last} components; to try more: -k {last}:{2 * last}"
        tell(Notice("choice_at_the_end", text, "warning" if grid.grows else "information"))
    if plan.replaced is not None:
        before = key_of(plan.replaced)
        if before != best.key:
            was = f"{in_words(*before)} of checkpoint {plan.replaced.generation}"
            text = f"chose {in_words(*best.key)} instead of {was}"
            tell(Notice("model_replaced", text, "warning"))
