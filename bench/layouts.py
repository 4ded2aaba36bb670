"""Measure what a row costs in either form and by length of tile: the tables of docs/blocks.md.

Usage: layouts.py

One worker, full covariances, on the BLAS kernel that the program chooses. Nanoseconds per row of a whole
expectation, the best of some passes over 16,384 rows that do not fit the caches.
"""

import subprocess
import sys
import time
from dataclasses import replace
from unittest import mock

import numpy as np
from children import GMMCLI, environment_of
from part import table
from problems import Shape, draw

from gmmcli.core.families import FAMILIES
from gmmcli.core.kernel import block, kernel
from gmmcli.core.kernel.block import Workspace, choose_layout, prefers_centred
from gmmcli.core.kernel.kernel import Kernel
from gmmcli.core.mixture import Mixture
from gmmcli.core.rows import Rows
from gmmcli.engine.blas import blas_kernel, one_blas_thread
from gmmcli.engine.memory import adjoining

ROWS = 16_384
REPEATS = 5
TILES = (256, 512, 1024, 2048, 4096, 8192)
TILED = ((2, 8), (8, 16), (16, 16), (16, 64), (32, 16), (64, 16), (128, 16))
COMPARED = tuple((d, K) for d in (4, 8, 16, 32, 64, 128) for K in (1, 4, 16, 64))

FULL = FAMILIES["full"].structure


def cost_ns(d: int, n_components: int, tile_rows: int | None, centred: bool) -> float:
    """Return nanoseconds per row."""
    start = draw(Shape(ROWS, d, n_components))
    mixture = Mixture(start.start.weights, start.start.means, start.start.covariances, "full")
    X = np.ascontiguousarray(start.X.T)
    with (
        mock.patch.object(block, "prefers_centred", return_value=centred),
        mock.patch.object(kernel, "prefers_centred", return_value=centred),
    ):
        layout = choose_layout(FULL, d, n_components)
        if tile_rows is not None:
            layout = replace(layout, tile_rows=tile_rows, slab_rows=min(layout.slab_rows, tile_rows))
        ready = Kernel(mixture, layout)
    work, best = Workspace(mixture, layout, adjoining), np.inf
    for _ in range(REPEATS):
        started = time.perf_counter()
        for first in range(0, ROWS, layout.tile_rows):
            ready.expectation(Rows(X[:, first : first + layout.tile_rows]), work)
        best = min(best, time.perf_counter() - started)
    return best / ROWS * 1e9


def main() -> None:
    """Print the kernel and both tables."""
    print(blas_kernel())
    rows = []
    for d, K in TILED:
        chosen = choose_layout(FULL, d, K).tile_rows
        costs = {tile: cost_ns(d, K, tile, centred=False) for tile in TILES}
        marked = [f"**{cost:.0f}**" if tile == chosen else f"{cost:.0f}" for tile, cost in costs.items()]
        rows.append([f"{d}, {K}", *marked])
    print("\n".join(table(["columns, components", *map(str, TILES)], rows)))
    rows = []
    for d, K in COMPARED:
        forms = [cost_ns(d, K, None, centred) for centred in (False, True)]
        chosen = prefers_centred(FULL, d, K, n_unsafe=0)
        marked = [
            f"**{cost:.0f}**" if form == chosen else f"{cost:.0f}"
            for form, cost in zip((False, True), forms, strict=True)
        ]
        rows.append([f"{d}, {K}", *marked])
    print("\n".join(table(["columns, components", "expanded", "centred"], rows)))


if __name__ == "__main__":
    if sys.argv[1:] == ["--here"]:
        with one_blas_thread():
            main()
    else:  # numpy is loaded, and with it the kernel chosen
        command = [sys.executable, __file__, "--here"]
        subprocess.run(command, env=environment_of(GMMCLI, None), check=True)
