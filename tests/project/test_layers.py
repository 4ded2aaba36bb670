"""Imports point one way: cli -> jobs -> engine -> { tables, store, export } -> core -> errors, atomic."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "gmmcli"
# A module may import what ranks below it, and its own package.
RANKS = {
    "__main__": 7,
    "gmm": 6,
    "cli": 6,
    "jobs": 5,
    "engine": 4,
    "tables": 3,
    "store": 3,
    "export": 3,
    "core": 2,
    "atomic": 1,
    "errors": 0,
    "__init__": 0,
}
OWNERS = {
    "click": {"cli"},
    "rich": {"cli"},
    "h5py": {"store"},
    "pyarrow": {"tables"},
    "scipy": {"core"},
    "sklearn": {"gmm"},
    "tensorboardX": {"store"},
    "threadpoolctl": {"engine"},
}
# Doors to the world outside that one layer keeps.
ONLY_CLI = ("os.environ", "os.getenv", "sys.exit", "sys.stdout", "sys.stderr", "sys.stdin", "sys.argv")


def find_violations(source: Path) -> list[str]:
    """Return a line per import or use that the architecture does not allow."""
    found = []
    for path in sorted(source.rglob("*.py")):
        layer = path.relative_to(source).parts[0].removesuffix(".py")
        tree = ast.parse(path.read_text())
        for line, module in iter_imports(tree):
            if not is_allowed(layer, module):
                found.append(f"{path.relative_to(source)}:{line}: {layer} imports {module}")
        if layer not in ("cli", "__main__"):
            found += [
                f"{path.relative_to(source)}:{node.lineno}: {layer} uses {ast.unparse(node)}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and ast.unparse(node) in ONLY_CLI
            ]
    return found


def iter_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "gmmcli.relative"
        elif isinstance(node, ast.ImportFrom):
            # `from gmmcli import core` and `from gmmcli.core import em` name the layer at different places.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_allowed(layer: str, module: str) -> bool:
    """Tell whether a layer may import a module."""
    top, _, rest = module.partition(".")
    if top != "gmmcli":
        return top not in OWNERS or layer in OWNERS[top]
    target = rest.partition(".")[0] or "__init__"
    if target.startswith("__version__"):
        target = "__init__"
    if layer == "__init__":
        return target == "gmm"  # public names, loaded when they are used
    return target in RANKS and layer in RANKS and (target == layer or RANKS[target] < RANKS[layer])


def test_imports_point_one_way() -> None:
    """No module imports a layer above its own or beside it, nor a library that belongs to another."""
    assert find_violations(SOURCE) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("core/em.py", "import gmmcli.store.commit", "core imports gmmcli.store.commit"),
        ("core/em.py", "from gmmcli import jobs", "core imports gmmcli.jobs"),
        ("tables/sink.py", "from gmmcli.store import commit", "tables imports gmmcli.store.commit"),
        (
            "store/lock.py",
            "from gmmcli.tables.source import Batch",
            "store imports gmmcli.tables.source.Batch",
        ),
        ("export/portable.py", "def f():\n    import gmmcli.tables", "export imports gmmcli.tables"),
        ("engine/local.py", "from gmmcli.jobs import run", "engine imports gmmcli.jobs.run"),
        ("errors.py", "import gmmcli.atomic", "errors imports gmmcli.atomic"),
        ("jobs/fit.py", "import click", "jobs imports click"),
        ("jobs/fit.py", "from pyarrow import csv", "jobs imports pyarrow.csv"),
        ("core/em.py", "import h5py", "core imports h5py"),
        ("core/em.py", "from .family import expand", "core imports gmmcli.relative"),
        ("utils.py", "import gmmcli.errors", "utils imports gmmcli.errors"),
        ("store/lock.py", "import os\nos.environ['X']", "store uses os.environ"),
    ],
)
def test_the_checker_finds_a_planted_violation(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    """Each kind of forbidden import is reported, and nothing else is."""
    planted = tmp_path / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(line + "\n")

    (found,) = find_violations(tmp_path)

    assert found.endswith(complaint)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("cli/fit.py", "import click\nfrom gmmcli.jobs.fit import fit\nfrom gmmcli.errors import Usage"),
        ("engine/local.py", "from gmmcli.core import em\nimport threadpoolctl"),
        ("store/commit.py", "from gmmcli.store import directory\nfrom gmmcli.atomic import open_atomic"),
        ("jobs/versions.py", "import gmmcli\nfrom gmmcli import __version__"),
    ],
)
def test_the_checker_lets_downward_imports_pass(tmp_path: Path, file: str, line: str) -> None:
    """What the architecture allows is not reported."""
    allowed = tmp_path / file
    allowed.parent.mkdir()
    allowed.write_text(line + "\n")

    assert find_violations(tmp_path) == []
