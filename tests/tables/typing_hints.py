"""A hint is typed: what the table is that comes out."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gmmcli.errors import TableUnusable
from gmmcli.tables.columns import select_features
from gmmcli.tables.source import open_tables

TOOLS = ("7z", "bzip2", "funzip", "gzip", "jq", "lz4", "unzip", "xz", "zstd")


def read(name: str) -> dict[str, list[float]]:
    """Return the columns of a table that are selected by default."""
    with open_tables([name]) as tables:
        features = select_features(tables).features
        batches = list(tables.iter_batches(features))
    return {
        feature: [x for batch in batches for x in batch.X[j].tolist()] for j, feature in enumerate(features)
    }


def refusal_of(name: str) -> TableUnusable:
    """Return the error about a table."""
    with pytest.raises(TableUnusable) as caught:
        read(name)
    return caught.value


def read_after_typing(hint: str) -> dict[str, list[float]] | None:
    """Type a hint in the working directory and read the new file; None where its program is not installed."""
    if any(f"{tool} " in hint and shutil.which(tool) is None for tool in TOOLS):
        return None
    before = set(Path().iterdir())
    done = subprocess.run(["/bin/sh", "-c", hint], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    (new,) = set(Path().iterdir()) - before
    return read(str(new))
