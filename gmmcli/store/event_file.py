"""events/: the likelihoods of log.jsonl as curves for TensorBoard, with the extra gmmcli[tensorboard].

Each run has its own file, made with its first point. Values are in single precision. gmmcli never reads them.
"""

import contextlib
import importlib.util
import os
import stat
import time
from collections.abc import Mapping
from typing import Any

from gmmcli.errors import CannotCreate
from gmmcli.store.directory import EVENTS, Folder

_LIBRARY = "tensorboardX"
_FLUSH_SECONDS = 1.0
# Event of the log: the curve over global_step to which its mean_log_likelihood belongs.
_CURVES = {
    "step": "training/mean_log_likelihood",
    "checkpoint": "training/mean_log_likelihood",
    "validation": "validation/mean_log_likelihood",
}


def is_available() -> bool:
    """Return whether the library of the extra is installed, without loading it."""
    try:
        return importlib.util.find_spec(_LIBRARY) is not None
    except ValueError:  # sys.modules holds an object of this name without a spec
        return False


class EventFile:
    """The event file of one run. No error here affects the model.

    Parameters
    ----------
    root : Folder
        The model directory.
    """

    def __init__(self, root: Folder) -> None:
        self._root = root
        self._writer: Any = None
        self._flushed = 0.0
        self._last_step = dict.fromkeys(_CURVES.values(), -1)

    def add(self, event: Mapping[str, Any], seconds: float) -> str | None:
        """Add the point of an event to its curve, unless the curve has a point of this step or a later one.

        Parameters
        ----------
        event : mapping
            The event of the log.
        seconds : float
            Time of the event, since 1970.

        Returns
        -------
        str or None
            Why the point could not be added: events/ is not a folder, the library cannot be loaded, or the
            system refuses. The file is closed then, and must not be used again.
        """
        try:
            self._add(event, seconds)
        # From the library, which may even exit, or from the system.
        except (Exception, SystemExit) as error:
            self.close()
            return [*str(error).splitlines(), type(error).__name__][0]
        return None

    def _add(self, event: Mapping[str, Any], seconds: float) -> None:
        """Add the point of an event to its curve, if the event has a new one."""
        tag, step = _CURVES.get(str(event["event"]), ""), event.get("global_step")
        if not tag or step is None or step <= self._last_step[tag]:
            return
        from tensorboardX.proto import event_pb2, summary_pb2

        if self._writer is None:
            self._writer = self._open()
        value = summary_pb2.Summary.Value(tag=tag, simple_value=event["mean_log_likelihood"])
        summary = summary_pb2.Summary(value=[value])
        self._writer.write_event(event_pb2.Event(wall_time=seconds, step=step, summary=summary))
        self._last_step[tag] = step
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the file, if it was opened. Errors are ignored."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(Exception):
                writer.close()

    def _open(self) -> Any:
        """Return a writer of the library for a new file. This class has no thread, because a fit forks."""
        from tensorboardX.event_file_writer import EventsWriter

        with contextlib.suppress(FileExistsError):
            os.mkdir(EVENTS, dir_fd=self._root.descriptor)
        path = self._root.path.absolute() / EVENTS
        if not stat.S_ISDIR(self._root.stat(EVENTS).st_mode):
            raise CannotCreate(str(path), "is a link, or has the wrong file type")
        # An absolute path: in a relative one, the library takes the part before a colon for a protocol.
        return EventsWriter(str(path / "events"), f".{os.urandom(4).hex()}")
