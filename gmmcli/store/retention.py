"""Which generations are let go of. Numbers only; no files."""

from collections.abc import Collection, Sequence


def choose_doomed(
    generations: Sequence[int],
    damaged: Collection[int],
    *,
    keep: int,
    keep_every: int | None,
    best: int | None = None,
) -> list[int]:
    """Return the generations to remove.

    Parameters
    ----------
    generations : sequence of int
        All that have a file, ascending.
    damaged : collection of int
        Those that do not count as kept: a damaged file is no reason to let a good one go.
    keep : int
        How many of the newest good ones stay; 0 keeps everything.
    keep_every : int, optional
        Those divisible by it stay for ever.
    best : int, optional
        Stays as well.

    Notes
    -----
    The newest good one is among the kept for every `keep`. Where no more than `keep` are good, none goes.
    """
    good = [generation for generation in generations if generation not in damaged]
    if keep == 0 or len(good) <= keep:
        return []
    oldest_kept = good[-keep]
    return [
        generation
        for generation in generations
        if generation < oldest_kept
        and generation != best
        and not (keep_every and generation % keep_every == 0)
    ]
