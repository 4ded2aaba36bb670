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
from gmmcli.jobs.target import refuse_input, refuse_inside
from gmmcli.store.model_dir import ModelDir

EXTRA = "assets.extra"
CLASH_RETRIES = 10
_TIMESTAMPED = re.compile(r"[0-9]{10}")


@dataclass(frozen=True)
class ExportRequest:
    """What was asked for.

    Parameters
    ----------
    output : Path or None
        One file; None with no export_dir is stdout.
    export_dir : Path or None
        Base of a new timestamped directory.
    exports_to_keep : int or None
    assets_extra : tuple of (str, Path)
        Destination below assets.extra/, source.
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
        """Raise `Usage` where options do not go together."""
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
            raise Usage("--as-text", f"{self.export_format} has no text form", "--format json")
        if not row.is_text and self.output is None and self.export_dir is None:
            raise Usage(f"--format {self.export_format}", "is not text", f"add -o model{row.suffix}")


@dataclass(frozen=True)
class ExportReport:
    """What came of it: the content where it is for stdout, the directory where one was made."""

    content: bytes | None = None
    directory: Path | None = None


def export(request: ExportRequest) -> ExportReport:
    """Write the model in the format asked for.

    Raises
    ------
    GmmError
        A failed command leaves no partial target.
    """
    request.check()
    if request.export_dir is not None:
        refuse_inside(f"--export-dir {request.export_dir}", request.export_dir, request.model_dir)
    _check_assets(request.assets_extra)
    content = encode(_portable(request), request.export_format)
    if request.export_dir is not None:
        return ExportReport(directory=_export_directory(request, request.export_dir, content))
    if request.output is None:
        return ExportReport(content=content)
    refuse_input(request.output, request.model_dir)
    with open_atomic(request.output) as stream:
        stream.write(content)
    return ExportReport()


def _portable(request: ExportRequest) -> PortableModel:
    """Return the model as other programs get it."""
    checkpoint = ModelDir(request.model_dir).load(request.checkpoint).checkpoint
    fitness = checkpoint.fitness
    return PortableModel(
        checkpoint.mixture,
        checkpoint.features,
        checkpoint.global_step,
        checkpoint.converged,
        fitness.log_likelihood,
        fitness.rows,
        fitness.total_weight,
    )


def _check_assets(assets: Sequence[tuple[str, Path]]) -> None:
    """Raise where a destination would leave assets.extra or be in another's way, or a source is no file."""
    taken: list[PurePosixPath] = []
    for destination, source in assets:
        path = PurePosixPath(destination)
        option = f"--assets-extra {destination}={source}"
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in destination:
            raise Usage(option, f"leaves {EXTRA}/", "DEST is a relative path without ..")
        if any(path.is_relative_to(other) or other.is_relative_to(path) for other in taken):
            raise Usage(option, "in the way of another DEST", "give each file a DEST of its own")
        with reporting(source):
            is_file = stat.S_ISREG(source.stat().st_mode)
        if not is_file:
            raise Usage(option, f"{source} is not a file", "copy files one by one")
        taken.append(path)


def _export_directory(request: ExportRequest, base: Path, content: bytes) -> Path:
    """Write `BASE/<seconds>/` aside, rename it, remove the oldest exports."""
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
                _write_new(folder / EXTRA / destination, _read(source))
            for inner, _, _ in os.walk(folder):
                sync_folder(Path(inner))
            target = _take_timestamp(base, folder)
        sync_name(target)
        if request.exports_to_keep is not None:
            _remove_oldest(base, request.exports_to_keep, target)
    return target


def _take_timestamp(base: Path, aside: Path) -> Path:
    """Rename to the current second; one that is taken is waited for, up to ten times."""
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
    raise CannotCreate(str(target), f"exists, as did the {CLASH_RETRIES} tried before", "try again")


def _remove_oldest(base: Path, keep: int, newest: Path) -> None:
    """Keep the newest exports, the one just made among them; touch nothing that is not named like one."""
    exports = sorted(
        path
        for path in base.iterdir()
        if _TIMESTAMPED.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and path != newest
    )
    for path in exports[: max(len(exports) + 1 - keep, 0)]:
        shutil.rmtree(path)


def _write_new(path: Path, content: bytes) -> None:
    """Write and sync one file of the directory that is being made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(create_new(path), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _read(source: Path) -> bytes:
    """Read an asset."""
    with reporting(source):
        return source.read_bytes()
