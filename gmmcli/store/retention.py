"""Retention: which generations are removed, and their removal."""

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence

from gmmcli.errors import GmmError
from gmmcli.store.directory import Folder, checkpoint_name
from gmmcli.store.model_dir import open_checkpoint


def remove_doomed(
    checkpoints: Folder, *, keep: int, keep_every: int | None, best: int | None
) -> Iterator[str]:
    """Remove the generations that `choose_doomed` chooses; yield a warning for each that cannot be removed.

    Parameters
    ----------
    checkpoints : Folder
    keep, keep_every, best
        As for `choose_doomed`.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    generations = checkpoints.generations()
    damaged = set(generations)
    for generation in generations:  # by user block and size: to read all files at each publish is too slow
        with contextlib.suppress(GmmError), open_checkpoint(checkpoints, generation):
            damaged.remove(generation)
    doomed = choose_doomed(generations, damaged, keep=keep, keep_every=keep_every, best=best)
    for name in map(checkpoint_name, doomed):
        try:
            os.unlink(name, dir_fd=checkpoints.descriptor)
        except OSError as error:
            yield f"{checkpoints.path / name}: not removed: {error.strerror}"


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
        All generations that have a file, ascending.
    damaged : collection of int
        Damaged generations do not count as kept, so that they never displace a good one.
    keep : int
        Number of newest good generations that stay; 0 keeps all.
    keep_every : int, optional
        Generations divisible by it stay.
    best : int, optional
        This generation stays too.

    Notes
    -----
    The newest good generation always stays. If at most `keep` generations are good, none is removed.
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
