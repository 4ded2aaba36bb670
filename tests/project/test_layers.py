"""The house: imports point one way, no two files import each other, and no file is long.

cli, gmm -> jobs -> fitting -> engine, tables, store, export -> core -> atomic, notices, interrupt -> errors
-> remedies
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "gmmcli"
# A module may import what ranks below it, and its own package.
RANKS = {
    "__main__": 8,
    "gmm": 7,
    "cli": 7,
    "jobs": 6,
    "fitting": 5,
    "engine": 4,
    "tables": 4,
    "store": 4,
    "export": 4,
    "core": 3,
    "atomic": 2,
    "notices": 2,
    "interrupt": 2,
    "errors": 1,
    "remedies": 0,
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
        ("core/em/loop.py", "import gmmcli.store.commit", "core imports gmmcli.store.commit"),
        ("core/family.py", "from gmmcli import jobs", "core imports gmmcli.jobs"),
        ("tables/sink.py", "from gmmcli.store import commit", "tables imports gmmcli.store.commit"),
        (
            "store/lock.py",
            "from gmmcli.tables.source import Batch",
            "store imports gmmcli.tables.source.Batch",
        ),
        ("export/portable.py", "def f():\n    import gmmcli.tables", "export imports gmmcli.tables"),
        ("engine/local.py", "from gmmcli.fitting import run", "engine imports gmmcli.fitting.run"),
        ("engine/local.py", "import gmmcli.tables.source", "engine imports gmmcli.tables.source"),
        ("fitting/run.py", "from gmmcli.jobs import fit", "fitting imports gmmcli.jobs.fit"),
        ("errors.py", "import gmmcli.atomic", "errors imports gmmcli.atomic"),
        ("remedies.py", "from gmmcli import errors", "remedies imports gmmcli.errors"),
        ("jobs/fit.py", "import click", "jobs imports click"),
        ("jobs/fit.py", "from pyarrow import csv", "jobs imports pyarrow.csv"),
        ("core/family.py", "import h5py", "core imports h5py"),
        ("core/family.py", "from .family import expand", "core imports gmmcli.relative"),
        ("utils.py", "import gmmcli.errors", "utils imports gmmcli.errors"),
        ("store/lock.py", "import os\nos.environ['X']", "store uses os.environ"),
    ],
)
def test_the_checker_finds_a_planted_violation(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    """Each kind of forbidden import is reported, and nothing else is."""
    planted = tmp_path / file
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(line + "\n")

    (found,) = find_violations(tmp_path)

    assert found.endswith(complaint)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("cli/fit.py", "import click\nfrom gmmcli.jobs.fit import fit\nfrom gmmcli.errors import Usage"),
        (
            "engine/local.py",
            "from gmmcli.core import em\nimport threadpoolctl\nfrom gmmcli.errors import Usage",
        ),
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


LONGEST = 400


def test_no_file_is_long() -> None:
    """What has more lines than this is two things."""
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")}

    assert {str(path): n for path, n in lengths.items() if n > LONGEST} == {}


def imports_between(source: Path) -> dict[str, set[str]]:
    """Return which modules each module imports, also inside functions, but not for type checkers alone."""
    names = {
        ".".join(path.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in source.rglob("*.py")
    }
    found = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = []
        imported = {module for _, module in iter_imports(tree)}
        found[name] = {
            other
            for other in names
            if other != name
            and (
                other in imported
                or any(one.rpartition(".")[0] == other and one not in names for one in imported)
            )
        }
    return found


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules of which each imports the next, and the last the first; none if there is no circle."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if circle := visit(other, [*path, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(graph) if (circle := visit(name, []))), [])


def test_no_two_files_import_each_other() -> None:
    """Directly or through others: each can be understood without those that use it."""
    graph = imports_between(SOURCE)
    # The package names its public class, and loads it when it is used.
    graph["gmmcli"] = set()

    assert find_circle(graph) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    """Through a third file, and through an import inside a function."""
    source = tmp_path / "house"
    source.mkdir()
    (source / "a.py").write_text("from house import b\n")
    (source / "b.py").write_text("from house.c import thing\n")
    (source / "c.py").write_text("def thing():\n    import house.a\n")

    assert find_circle(imports_between(source)) == ["house.a", "house.b", "house.c", "house.a"]
