"""The grid of models that a fit chooses from: numbers of components by covariance types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gmmcli.core import covariance_types
from gmmcli.core.families import FAMILIES
from gmmcli.errors import Usage
from gmmcli.fitting.options import options_of
from gmmcli.fitting.request import FitRequest
from gmmcli.fitting.settings import AUTO
from gmmcli.tables import wording

# With `-k auto`, numbers of components up to the first are always tried; more, up to the second, while the
# criterion improves.
ALWAYS_TRIED, MOST_TRIED = 9, 25
# The options of a run that fits one model.
_OF_ONE_MODEL = ("steps", "max_steps", "batch_size", "partial", "validation", "checkpoint_steps")


@dataclass(frozen=True)
class Grid:
    """Numbers of components by covariance types.

    Parameters
    ----------
    counts : tuple of int
        Ascending.
    types : tuple of str
        A family comes after those that are nested in it.
    grows : bool
        Whether larger numbers follow while the criterion improves.
    """

    counts: tuple[int, ...]
    types: tuple[str, ...]
    grows: bool = False

    @classmethod
    def asked(cls, given: Mapping[str, Any], *, by_default: bool) -> Self | None:
        """Return the grid of some settings; None if they give a single model.

        Parameters
        ----------
        given : mapping
            Values of settings, by name.
        by_default : bool
            Whether a number that is not given is automatic.
        """
        counts, types = given.get("components"), given.get("covariance_type")
        if counts is None and by_default:
            counts = AUTO
        if not isinstance(types, tuple) and not isinstance(counts, tuple) and counts != AUTO:
            return None
        chosen = types if isinstance(types, tuple) else (types or covariance_types.DEFAULT,)
        ordered = tuple(name for name in reversed(FAMILIES) if name in chosen)
        if counts == AUTO:
            return cls(tuple(range(1, ALWAYS_TRIED + 1)), ordered, grows=True)
        return cls(counts if isinstance(counts, tuple) else (counts,), ordered) if counts else None

    @property
    def most(self) -> int:
        """The number of components that a table must have rows for."""
        return 1 if self.grows else self.counts[-1]

    def __contains__(self, key: tuple[int, str]) -> bool:
        """Tell whether a model may be one of the grid."""
        K, kind = key
        return kind in self.types and (K in self.counts or (self.grows and K <= MOST_TRIED))

    def __str__(self) -> str:
        """Return the grid in words, for a message."""
        first, last = self.counts[0], self.counts[-1]
        is_range = self.counts == tuple(range(first, last + 1))
        counts = f"{first} to {last}" if is_range and last > first else ", ".join(map(str, self.counts))
        return AUTO if self.grows else counts


def in_words(n_components: int, covariance_type: str) -> str:
    """Return the name of a model, for a message."""
    return f"{wording.counted(n_components, 'component')} ({covariance_type})"


def check_alone(request: FitRequest, *, is_given: bool) -> None:
    """Raise `Usage` if a request that chooses among models has an option that is for one model.

    `is_given` tells whether the request names several models, or no number of components at all.
    """
    for name, row in options_of(FitRequest):
        if name in _OF_ONE_MODEL and getattr(request, name) not in (None, False):
            if is_given:
                raise Usage(row.name, "needs one number of components and one covariance type", "-k 3")
            fact = f"a new model with {row.name} needs a number of components"
            raise Usage("--components", fact, "choose a number of clusters, e.g. -k 3")
