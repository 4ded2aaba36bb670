"""The file that --init names: a JSON export, or a table of starting means."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gmmcli.core.arrays import Array
from gmmcli.core.covariances.structure import NARROWEST_SD, WIDEST_SD
from gmmcli.core.mixture import Mixture
from gmmcli.core.units import (
    FURTHEST,
    FURTHEST_SD,
    Units,
    find_extreme_variance,
    find_far_column,
)
from gmmcli.errors import Given, TableUnusable, Usage, from_os_error
from gmmcli.export import model_json
from gmmcli.remedies import Set
from gmmcli.tables import wording
from gmmcli.tables.blocks import load
from gmmcli.tables.columns import match_features, select_features
from gmmcli.tables.source import open_tables

WORDS = ("auto", "kmeans", "kmeans++", "random")


@dataclass(frozen=True, eq=False)
class InitFile:
    """The content of the file that --init names.

    Parameters
    ----------
    path : Path
    digest : str
        "sha256:" and the digest of the content: the value of the setting `init`.
    model : tuple or None
        The mixture in the table's units and its features, if the file is a JSON export.
    """

    path: Path
    digest: str
    model: tuple[Mixture, tuple[str, ...]] | None

    @property
    def subject(self) -> Given:
        """What an error about the file says that it is about."""
        return Given("--init", str(self.path))

    def implied(self, n_components: int | None) -> dict[str, Any]:
        """Return the settings that the file gives; a table of means gives only a number that is not given."""
        if self.model is not None:
            return {
                "components": self.model[0].n_components,
                "covariance_type": self.model[0].covariance_type,
            }
        if n_components is not None:
            return {}
        with open_tables([str(self.path)]) as tables:
            features = select_features(tables).features
            loaded = load(tables, features, missing="error", skip_empty_columns=False)
        return {"components": sum(operand.n_rows for operand in loaded.operands)}


def read_init_file(init: str) -> InitFile:
    """Read the file that --init names.

    Raises
    ------
    NotFound, PermissionRefused, ReadWriteFailed
    TableUnusable
        The file is a JSON export, but does not describe a mixture.
    """
    path = Path(init)
    if path.exists() and not path.is_file():
        raise Usage(Given("--init", init), "not a regular file", "write it to a file first")
    try:
        os.stat(init)  # noqa: PTH116 (a Path forgets a slash at the end)
        content = path.read_bytes()
    except OSError as error:
        hint = f"--init takes {', '.join(WORDS)} or a file" if isinstance(error, FileNotFoundError) else None
        raise from_os_error(Given("--init", init), error, hint) from error
    return InitFile(path, f"sha256:{hashlib.sha256(content).hexdigest()}", model_json.decode(content, init))


def read_means(init_file: InitFile, features: tuple[str, ...], n_components: int) -> Array:
    """Read starting means, shape (K, d), in the table's units."""
    with open_tables([str(init_file.path)]) as tables:
        loaded = load(tables, match_features(tables, features), missing="error", skip_empty_columns=False)
    pieces = [rows.X.T for operand in loaded.operands for rows in operand.pieces]
    means = np.concatenate(pieces or [np.empty((0, 0))])
    if means.shape[0] != n_components:
        K, found = n_components, means.shape[0]
        hint = Set("-k", str(found)) if found else None
        raise Usage(
            init_file.subject, f"has {wording.counted(found, 'row')}; {K} components need {K} rows", hint
        )
    return means


def check_near(means: Array, units: Units, features: tuple[str, ...], init_file: InitFile) -> None:
    """Raise `TableUnusable` if a starting mean is too far from the table's centre to compute with."""
    far = find_far_column(np.abs(means).max(axis=0), units)
    if far is not None:
        fact = (
            f"{wording.column(features[far])}: a mean is too far from the centre of the table: "
            f"more than {FURTHEST_SD:g} standard deviations, or {FURTHEST:g}"
        )
        raise TableUnusable(init_file.subject, fact)


def check_variances(mixture: Mixture, units: Units, features: tuple[str, ...], init_file: InitFile) -> None:
    """Raise `TableUnusable` if a starting variance is too small or too large compared with the table's."""
    covariances = units.covariances_to_standard(mixture)
    extreme = find_extreme_variance(covariances, mixture.structure, mixture.n_features)
    if extreme is not None:
        fact = (
            f"{wording.column(features[extreme])}: a standard deviation is not between {NARROWEST_SD:g} and "
            f"{WIDEST_SD:g} times that of the table"
        )
        raise TableUnusable(init_file.subject, fact)
