"""events/: the likelihoods of log.jsonl as curves for TensorBoard. For the extra gmmcli[tensorboard].

A file per run, made when there is something to say in it; single precision. Nothing here is ever read back.
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
# The curve over global_step that the mean_log_likelihood of an event of the log belongs to.
_CURVES = {
    "step": "training/mean_log_likelihood",
    "checkpoint": "training/mean_log_likelihood",
    "validation": "validation/mean_log_likelihood",
}


def is_available() -> bool:
    """Tell whether the library of the extra is installed. Does not load it."""
    try:
        return importlib.util.find_spec(_LIBRARY) is not None
    except ValueError:  # something stands in its place that was not imported
        return False


class EventFile:
    """The event file of one run.

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

    def add(self, event: Mapping[str, Any], seconds: float) -> None:
        """Add the point that an event of the log is on a curve, unless that has come as far already.

        Parameters
        ----------
        event : mapping
            As the log has it.
        seconds : float
            When it was, since 1970.

        Raises
        ------
        Exception
            events/ is a link, or no folder; the library cannot be loaded; the system refuses.
        """
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
        """Write out what waits."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _open(self) -> Any:
        """Return the library's writer of a new file. It has no thread: a fit forks."""
        from tensorboardX.event_file_writer import EventsWriter

        with contextlib.suppress(FileExistsError):
            os.mkdir(EVENTS, dir_fd=self._root.descriptor)
        path = self._root.path.absolute() / EVENTS
        if not stat.S_ISDIR(self._root.stat(EVENTS).st_mode):
            raise CannotCreate(str(path), "is a link or another kind of file than it should be")
        # An absolute path, since the library takes what stands before a colon for a protocol.
        return EventsWriter(str(path / "events"), f".{os.urandom(4).hex()}")
