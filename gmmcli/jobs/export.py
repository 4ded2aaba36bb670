"""export: write the model for another program."""

import errno
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gmmcli.atomic import create_new, open_atomic, reporting, sync_directory
from gmmcli.errors import CannotCreate, Usage, from_os_error
from gmmcli.export.portable import FORMATS, PortableModel, encode
from gmmcli.jobs.fitness import fitness_of
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
            raise Usage("-o", "excludes --export-dir", "give one of them")
        if self.export_dir is None:
            for option, given in (
                ("--exports-to-keep", self.exports_to_keep),
                ("--assets-extra", self.assets_extra),
            ):
                if given:
                    raise Usage(option, "goes with --export-dir", "add --export-dir BASE")
        suffix, is_text = FORMATS[self.export_format]
        if self.as_text and not is_text:
            raise Usage("--as-text", f"{self.export_format} has no text form", "--format json")
        if not is_text and self.output is None and self.export_dir is None:
            raise Usage(f"--format {self.export_format}", "is not text", f"add -o model{suffix}")


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
    for destination, _ in request.assets_extra:
        _check_inside(destination)
    content = encode(_portable(request), request.export_format)
    if request.export_dir is not None:
        return ExportReport(directory=_export_directory(request, request.export_dir, content))
    if request.output is None:
        return ExportReport(content=content)
    with open_atomic(request.output) as stream:
        stream.write(content)
    return ExportReport()


def _portable(request: ExportRequest) -> PortableModel:
    """Return the model as other programs get it."""
    checkpoint = ModelDir(request.model_dir).load(request.checkpoint).checkpoint
    fitness = fitness_of(checkpoint)
    return PortableModel(
        checkpoint.mixture,
        checkpoint.features,
        checkpoint.global_step,
        checkpoint.converged,
        fitness.log_likelihood,
        fitness.rows,
        fitness.total_weight,
    )


def _check_inside(destination: str) -> None:
    """Raise `Usage` where a destination would leave assets.extra."""
    path = PurePosixPath(destination)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in destination:
        raise Usage(f"--assets-extra {destination}", f"leaves {EXTRA}/", "DEST is a relative path without ..")


def _export_directory(request: ExportRequest, base: Path, content: bytes) -> Path:
    """Write `BASE/<seconds>/` aside, rename it, remove the oldest exports."""
    with reporting(base):
        base.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".export-", dir=base))
        try:
            aside.chmod(0o777 & ~_umask())
            _write_new(aside / f"model{FORMATS[request.export_format][0]}", content)
            for destination, source in request.assets_extra:
                _write_new(aside / EXTRA / destination, _read(source))
            for folder, _, _ in os.walk(aside):
                sync_directory(Path(folder))
            target = _take_timestamp(base, aside)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync_directory(base)
        if request.exports_to_keep is not None:
            _remove_oldest(base, request.exports_to_keep)
    return target


def _take_timestamp(base: Path, aside: Path) -> Path:
    """Rename to the current second; one that is taken is waited for, up to ten times."""
    for _ in range(1 + CLASH_RETRIES):
        target = base / f"{int(time.time()):010d}"
        try:
            aside.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            time.sleep(1.0)
        else:
            return target
    raise CannotCreate(str(target), f"exists, as did the {CLASH_RETRIES} tried before", "try again")


def _remove_oldest(base: Path, keep: int) -> None:
    """Keep the newest exports; touch nothing that is not named like one."""
    exports = sorted(path for path in base.iterdir() if _TIMESTAMPED.fullmatch(path.name) and path.is_dir())
    for path in exports[: max(len(exports) - keep, 0)]:
        if not path.is_symlink():
            shutil.rmtree(path)


def _write_new(path: Path, content: bytes) -> None:
    """Write and sync one file of the directory that is being made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with create_new(path) as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _read(source: Path) -> bytes:
    """Read an asset."""
    try:
        return source.read_bytes()
    except OSError as error:
        raise from_os_error(str(source), error) from error


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
