"""A case: one or two fits of small tables, a function of a seed and a number."""

import json
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fuzz.tables import LARGEST, MOST_FEATURES, Array, draw_table, move_table, pick
from pyarrow import ipc

from gmmcli.fitting.request import FitRequest
from gmmcli.tables.operands import TableRequest

TYPES = ("full", "tied", "diag", "spherical")
NAMES = (tuple("abcde"), ("x 1", "Größe", 'c"3', "#4", "e*"))
PARAMS = ("w", "m", "c", "wm", "wc", "mc")


@dataclass(frozen=True, eq=False)
class Fit:
    """What one run of `gmmcli fit` is given.

    Parameters
    ----------
    operands : tuple of ndarray of shape (n, d), float64
        NaN is a missing value.
    names : tuple of str
        Of the columns.
    suffix : {"arrow", "csv"}
    settings, options : mapping
        Of a `FitRequest`.
    start : ndarray of shape (K, d) or mapping, optional
        The file that --init names: a table of means, or an export.
    """

    operands: tuple[Array, ...]
    names: tuple[str, ...]
    suffix: str
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    start: Array | Mapping[str, Any] | None = None

    @property
    def rows(self) -> Array:
        """All rows, shape (n, d)."""
        return np.concatenate(self.operands)

    @property
    def means(self) -> Array:
        """The starting means of `start`, shape (K, d)."""
        return np.array(self.start["means"]) if isinstance(self.start, Mapping) else np.asarray(self.start)

    def complete_rows(self, features: Sequence[str]) -> Array:
        """Return the rows without a gap in these columns."""
        rows = self.rows[:, self.positions(features)]
        return rows[~np.isnan(rows).any(axis=1)]

    def positions(self, features: Sequence[str]) -> list[int]:
        """Return where these columns are."""
        return [self.names.index(name) for name in features]

    def contents(self, stem: str) -> dict[str, str | Array]:
        """Return text or rows of each file by its name: the operands, then the one of --init."""
        files: dict[str, str | Array] = {
            f"{stem}-{i}.{self.suffix}": as_csv(rows, self.names) if self.suffix == "csv" else rows
            for i, rows in enumerate(self.operands)
        }
        match self.start:
            case np.ndarray():
                files[f"{stem}-means.csv"] = as_csv(self.start, self.names)
            case Mapping():
                files[f"{stem}-model.json"] = json.dumps(self.start) + "\n"
        return files

    def write(self, directory: Path, stem: str) -> None:
        """Write the files to a directory."""
        for name, content in self.contents(stem).items():
            if isinstance(content, str):
                (directory / name).write_text(content)
            else:
                _write_arrow(directory / name, content, self.names)

    def request(self, directory: Path, stem: str) -> FitRequest:
        """Return the request; the model lives in the directory, too."""
        paths = [str(directory / name) for name in self.contents(stem)]
        settings = dict(self.settings)
        if self.start is not None:
            settings["init"] = paths.pop()
        return FitRequest(
            directory / "model", TableRequest(tuple(paths), n_threads=1), settings, **self.options
        )

    def command(self, directory: Path, stem: str) -> str:
        """Return what would be typed."""
        request = self.request(directory, stem)
        words = ["gmmcli", "fit", "-m", str(request.model_dir)]
        for name, value in (*request.settings.items(), *self.options.items()):
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return shlex.join([*words, *request.table.operands])


@dataclass(frozen=True, eq=False)
class Case:
    """Fits of one model directory, one after the other.

    Parameters
    ----------
    seed, number : int
        What they were drawn from.
    fits : tuple of Fit
    """

    seed: int
    number: int
    fits: tuple[Fit, ...]


def make_case(seed: int, number: int) -> Case:
    """Return the case of this number."""
    rng = np.random.default_rng([seed, number])
    rows = draw_table(rng)
    names = NAMES[int(rng.random() < 0.1)][: rows.shape[1]]
    fits = [_wrap(rng, rows, names, _settings_of_new_model(rng, rows), _options(rng))]
    while rng.random() < 0.25 and len(fits) < 3:
        fits.append(_continue(rng, fits[0]))
    other = np.random.default_rng([seed, number, 1])
    return Case(seed, number, tuple(_learn_otherwise(other, one) for one in fits))


def _learn_otherwise(rng: np.random.Generator, one: Fit) -> Fit:
    """Return the fit as it is; now and then as a partial one, or one of batches."""
    options = dict(one.options)
    match pick(rng, {"whole": 8, "partial": 1, "batches": 1}):
        case "partial" if "fresh" not in options:
            options = {"partial": True, "steps": int(rng.integers(0, 4))}
            if rng.random() < 0.5:
                options["decay"] = pick(rng, {0.0: 1, 1e-9: 1, 0.5: 3, 1.0: 1})
        case "batches":
            options = _without(options, "max_iter")
            options["batch_size"] = int(rng.integers(1, len(one.rows) + 3))
            if "steps" not in options and "max_steps" not in options:
                options["max_iter"] = int(rng.integers(0, 9))
    return replace(one, options=options)


def as_csv(rows: Array, names: Sequence[str]) -> str:
    """Return a table as text, every number such that it reads back exactly."""
    gap = "" if len(names) > 1 else "NA"  # a line without anything is no row
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    cells = [[gap if cell != cell else repr(cell) for cell in row] for row in rows.tolist()]
    return "\n".join([header, *map(",".join, cells)]) + "\n"


def _write_arrow(path: Path, rows: Array, names: Sequence[str]) -> None:
    """Write an Arrow file; a column of small whole numbers is one of integers, NaN a null."""
    columns = []
    for column in rows.T:
        is_whole = bool((np.abs(column) < 2**53).all()) and bool((column == np.round(column)).all())
        if is_whole and not np.signbit(column[column == 0]).any():
            columns.append(pa.array(column.astype(np.int64)))
        else:
            columns.append(pa.array(column, mask=np.isnan(column)))
    table = pa.record_batch(columns, names=list(names))
    with ipc.new_file(str(path), table.schema) as stream:
        stream.write_batch(table)


def _wrap(
    rng: np.random.Generator,
    rows: Array,
    names: tuple[str, ...],
    settings: dict[str, Any],
    options: dict[str, Any],
) -> Fit:
    """Return a fit of these rows, now and then in two files."""
    start: Array | Mapping[str, Any] | None = None
    if "init" in settings and rng.random() < 0.1:
        K, covariance_type = settings["components"], settings["covariance_type"]
        if rng.random() < 0.6:
            settings = _without(settings, "init", "restarts")
            start = _means(rng, rows, K + pick(rng, {0: 20, -1: 1, 1: 1}))
        else:
            settings = _without(settings, "init", "restarts", "components", "covariance_type")
            start = _export(rng, rows, names, K, covariance_type)
    cuts = [int(rng.integers(len(rows) + 1))] if rng.random() < 0.15 else []
    suffix = "csv" if rng.random() < 0.25 else "arrow"
    return Fit(tuple(np.split(rows, cuts)), names, suffix, settings, options, start)


def _without(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the other settings."""
    return {name: value for name, value in settings.items() if name not in names}


def _means(rng: np.random.Generator, rows: Array, n_components: int) -> Array:
    """Return starting means: rows of the table, or what lies far from them."""
    means = rows[rng.integers(0, len(rows), n_components)]
    match pick(rng, {"rows": 2, "moved": 2, "other": 1}):
        case "moved":
            means = move_table(rng, means)
        case "other":
            means = draw_table(rng, rows.shape[1])[:n_components]
    return means


def _export(
    rng: np.random.Generator, rows: Array, names: Sequence[str], n_components: int, covariance_type: str
) -> dict[str, Any]:
    """Return an export of a mixture about as large as the table, or not at all."""
    d = rows.shape[1]
    means = np.nan_to_num(_means(rng, rows, n_components), posinf=LARGEST, neginf=-LARGEST)
    weights = rng.dirichlet(np.ones(len(means)))
    sds = np.ones(d)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.nanstd(rows, axis=0)
        sds[(found > 0) & np.isfinite(found)] = found[(found > 0) & np.isfinite(found)]
        reach = pick(rng, {0.0: 3, 3.0: 3, 8.0: 1, 100.0: 1})
        sds *= 10.0 ** rng.uniform(-reach, reach, d)
        factors = rng.normal(size=(len(means), d, d)) * sds[:, None]
        full = np.nan_to_num(factors @ factors.swapaxes(1, 2), posinf=LARGEST, neginf=-LARGEST)
    full = 0.5 * full + 0.5 * full.swapaxes(1, 2)
    if rng.random() < 0.05:
        full[0] = rng.normal(size=(d, d)) * full[0]
    shapes = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }
    return {
        "schema": "gmmcli.model/1",
        "covariance_type": covariance_type,
        "features": list(names),
        "weights": weights.tolist(),
        "means": means.tolist(),
        "covariances": shapes[covariance_type].tolist(),
    }


def _settings_of_new_model(rng: np.random.Generator, rows: Array) -> dict[str, Any]:
    """Return settings, of which those that are not given are the program's own."""
    n = len(rows)
    most = pick(rng, {min(n, 4): 6, n: 3, n + 2: 0.5})
    settings: dict[str, Any] = {
        "components": int(rng.integers(1, most + 1)),
        "covariance_type": TYPES[rng.integers(4)],
        "init": pick(rng, {"kmeans": 7, "kmeans++": 5, "random": 5, "auto": 1.5}),
        "seed": int(rng.integers(100)),
    }
    if rng.random() < 0.25:
        settings["restarts"] = int(rng.integers(1, 4))
    if np.isnan(rows).any() and rng.random() < 0.85:
        settings["missing"] = "drop"
    return settings | _run_settings(rng)


def _run_settings(rng: np.random.Generator) -> dict[str, Any]:
    """Return settings that may change from run to run."""
    settings: dict[str, Any] = {}
    if rng.random() < 0.2:
        settings["params"] = PARAMS[rng.integers(len(PARAMS))]
    if rng.random() < 0.3:
        settings["reg_covar"] = pick(rng, {0.0: 6, 1e-12: 1, 1e-9: 1, 1e-3: 1, 1.0: 1, 1e6: 1})
    if rng.random() < 0.1:
        settings["tol"] = pick(rng, {0.0: 1, 1e-2: 1})
    if rng.random() < 0.1:
        settings["accelerate"] = "none"
    return settings


def _options(rng: np.random.Generator) -> dict[str, Any]:
    """Return how long to run, and how often to write."""
    few, many = int(rng.integers(0, 6)), int(rng.integers(0, 26))
    ways: dict[tuple[str, int], float] = {
        ("max_iter", many): 6,
        ("max_iter", 3 * many): 1,
        ("max_iter", 200): 0.2,
        ("steps", few): 2,
        ("max_steps", few): 1,
    }
    name, value = pick(rng, ways)
    options = {name: value}
    if rng.random() < 0.1:
        options["checkpoint_steps"] = int(rng.integers(1, 4))
    return options


def _continue(rng: np.random.Generator, first: Fit) -> Fit:
    """Return a fit that goes on with the model of another, or starts anew beside it."""
    rows = first.rows
    match pick(rng, {"same": 6, "moved": 2, "other": 2}):
        case "moved":
            rows = move_table(rng, rows)
        case "other":
            rows = draw_table(rng, rows.shape[1])
    if rng.random() < 0.1:
        settings, options = _settings_of_new_model(rng, rows), _options(rng) | {"fresh": True}
        return _wrap(rng, rows, first.names, settings, options)
    settings = _run_settings(rng)
    if rng.random() < 0.1:
        settings["components"] = int(rng.integers(1, 4))
    if np.isnan(rows).any() and rng.random() < 0.7:
        settings["missing"] = "drop"
    return _wrap(rng, rows, first.names, settings, _options(rng))


assert max(map(len, NAMES)) == MOST_FEATURES
