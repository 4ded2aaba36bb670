"""export: write the model for another program."""

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gmmcli.atomic import aside, create_new, make_folder, not_created, open_atomic, sync_folder, sync_name
from gmmcli.errors import CannotCreate, Usage, from_os_error, reporting
from gmmcli.export.formats import FORMATS, encode
from gmmcli.export.portable import PortableModel
from gmmcli.jobs.target import refuse_inside
from gmmcli.store.model_dir import ModelDir

EXTRA = "assets.extra"
CLASH_RETRIES = 10
_TIMESTAMPED = re.compile(r"[0-9]{10}")


@dataclass(frozen=True)
class ExportRequest:
    """A request to export a model; None means that an option was not given.

    Parameters
    ----------
    output : Path or None
        The file to write; without it and `export_dir`, the report holds the content.
    export_dir : Path or None
        The folder in which a new directory, named by the time, is created.
    assets_extra : tuple of (str, Path)
        For each file to copy its destination below assets.extra/ and its source.
    """

    model_dir: Path
    export_format: str
    output: Path | None = None
    export_dir: Path | None = None
    exports_to_keep: int | None = None
    assets_extra: tuple[tuple[str, Path], ...] = ()
    as_text: bool = False
    checkpoint: int | None = None

    def check(self) -> None:
        """Raise `Usage` if an option is given without one that it needs, or with one that it excludes."""
        if self.output is not None and self.export_dir is not None:
            raise Usage("-o", "cannot be used with --export-dir", "give one of them")
        if self.export_dir is None:
            for option, given in (
                ("--exports-to-keep", self.exports_to_keep),
                ("--assets-extra", self.assets_extra),
            ):
                if given:
                    raise Usage(option, "needs --export-dir", "add --export-dir BASE")
        row = FORMATS[self.export_format]
        if self.as_text and not row.is_text:
            raise Usage("--as-text", f"{self.export_format} is a binary format", "--format json")
        if not row.is_text and self.output is None and self.export_dir is None:
            raise Usage(
                f"--format {self.export_format}",
                "is a binary format, which is not written to stdout",
                f"add -o model{row.suffix}",
            )


@dataclass(frozen=True)
class ExportReport:
    """The content of an export to stdout, or the directory that was created."""

    content: bytes | None = None
    directory: Path | None = None


def export(request: ExportRequest) -> ExportReport:
    """Export a model.

    Raises
    ------
    GmmError
        No part of the output is left behind.
    """
    request.check()
    if request.export_dir is not None:
        refuse_inside(f"--export-dir {request.export_dir}", request.export_dir, request.model_dir)
    _check_assets(request.assets_extra)
    checkpoint = ModelDir(request.model_dir).load(request.checkpoint).checkpoint
    model = PortableModel(
        checkpoint.mixture,
        checkpoint.features,
        checkpoint.global_step,
        checkpoint.converged,
        checkpoint.fitness.log_likelihood,
        checkpoint.statistics.rows,
        checkpoint.statistics.total_weight,
    )
    content = encode(model, request.export_format)
    if request.export_dir is not None:
        return ExportReport(directory=_export_directory(request, request.export_dir, content))
    if request.output is None:
        return ExportReport(content=content)
    refuse_inside(f"-o {request.output}", request.output, request.model_dir)
    with open_atomic(request.output) as stream:
        stream.write(content)
    return ExportReport()


def _check_assets(assets: Sequence[tuple[str, Path]]) -> None:
    """Raise `Usage` if a destination leaves assets.extra/ or is taken, or if a source is not a file."""
    taken: list[PurePosixPath] = []
    for destination, source in assets:
        path = PurePosixPath(destination)
        option = f"--assets-extra {destination}={source}"
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in destination:
            raise Usage(option, f"DEST must be inside {EXTRA}/", "use a relative path without .. for DEST")
        if any(path.is_relative_to(other) or other.is_relative_to(path) for other in taken):
            raise Usage(option, "conflicts with another DEST", "give each file a DEST of its own")
        with reporting(source):
            is_file = stat.S_ISREG(source.stat().st_mode)
        if not is_file:
            raise Usage(option, f"{source} is not a file", "copy files one by one")
        taken.append(path)


def _export_directory(request: ExportRequest, base: Path, content: bytes) -> Path:
    """Write a directory under a temporary name, rename it to `BASE/<seconds>/`, remove the oldest exports."""
    if os.path.lexists(base) and not base.is_dir():
        raise CannotCreate(str(base), "not a directory")
    try:
        base.mkdir(parents=True, exist_ok=True)
    except NotADirectoryError as error:
        raise CannotCreate(str(base), "not a directory") from error
    except PermissionError as error:
        raise from_os_error(str(base), error) from error
    except OSError as error:
        raise not_created(base, error) from error
    with reporting(base):
        with aside(base, base, "export", make_folder) as (folder, _):
            _write_new(folder / f"model{FORMATS[request.export_format].suffix}", content)
            for destination, source in request.assets_extra:
                with reporting(source):
                    asset = source.read_bytes()
                _write_new(folder / EXTRA / destination, asset)
            for inner, _, _ in os.walk(folder):
                sync_folder(Path(inner))
            target = _take_timestamp(base, folder)
        sync_name(target)
        if request.exports_to_keep is not None:
            _remove_oldest(base, request.exports_to_keep, target)
    return target


def _take_timestamp(base: Path, aside: Path) -> Path:
    """Rename to the current second; if that exists, try the next second, up to ten times."""
    for _ in range(1 + CLASH_RETRIES):
        target = base / f"{int(time.time()):010d}"
        if not os.path.lexists(target):
            try:
                aside.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            else:
                return target
        time.sleep(1.0)
    raise CannotCreate(str(target), f"exists; so did the {CLASH_RETRIES} names before it", "try again")


def _remove_oldest(base: Path, keep: int, newest: Path) -> None:
    """Remove all but the `keep` newest exports; leave everything that is not named like an export."""
    exports = sorted(
        path
        for path in base.iterdir()
        if _TIMESTAMPED.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and path != newest
    )
    for path in exports[: max(len(exports) + 1 - keep, 0)]:
        shutil.rmtree(path)


def _write_new(path: Path, content: bytes) -> None:
    """Write and sync one file of the new directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(create_new(path), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
