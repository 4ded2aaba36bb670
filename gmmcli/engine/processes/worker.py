"""A worker process: takes numbers and does their work, until the parent is gone."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from gmmcli.core.arrays import Array
from gmmcli.core.families import CovarianceType
from gmmcli.core.mixture import Mixture
from gmmcli.engine.one_pass import Pass
from gmmcli.engine.processes import exchange, preparation, process
from gmmcli.engine.processes.counter import Counter
from gmmcli.engine.processes.memory import SharedArrays
from gmmcli.errors import CovarianceNotPositive, OutOfMemory

# A worker holds at most this many sums that the parent has not added yet.
SLOTS = 4


@dataclass(frozen=True, eq=False)
class Shared:
    """The memory and the counter that parent and workers share, and the pass, which each process copies.

    Parameters
    ----------
    sums : Pass
    samples : SharedArrays
    counter : Counter
    mixture : ndarray of shape (room,), float64
        Memory for the weights, means and covariances of a mixture.
    constants : ndarray of shape (room,), float64
        Memory for the constants of its components.
    """

    sums: Pass
    samples: SharedArrays
    counter: Counter
    mixture: Array
    constants: Array


class Worker:
    """The worker's side of a crew.

    Parameters
    ----------
    shared : Shared
    connection : socket
        The worker's end.
    slots : ndarray of shape (SLOTS, n), float64
        Shared memory for the sums of blocks.
    """

    def __init__(self, shared: Shared, connection: socket.socket, slots: Array) -> None:
        self._shared, self._connection, self._slots = shared, connection, slots
        self._n_ready = self._n_added = 0

    def live(self, mask: set[int]) -> NoReturn:
        """Serve requests until the parent is gone or a request fails; then end this process.

        Parameters
        ----------
        mask : set of int
            Signals to block once the signals that end a run are ignored.
        """
        status = 1
        try:
            process.keep_only(self._connection.fileno(), self._shared.counter.descriptor)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    self._serve(**json.loads(exchange.receive(self._connection)))
            status = 0
        except MemoryError:
            status = OutOfMemory.status
        finally:
            os._exit(status)

    def _serve(self, task: str, **details: Any) -> None:
        """Do the task of a request."""
        match task:
            case "constants":
                self._find_constants(**details)
            case "sums":
                self._sum_blocks(**details)

    def _find_constants(self, of_pass: int, shapes: Sequence[Sequence[int]], n_processes: int) -> None:
        """Take parts of the constants and compute them, until all are taken.

        The arrays are not copied: the parent waits for each part that was taken, and changes nothing
        meanwhile. A late worker can take no part, and so reads nothing.
        """
        arrays = list(exchange.split(self._shared.mixture, shapes))
        parts = preparation.parts_of(len(arrays[0]), n_processes)
        while (i := self._shared.counter.take(of_pass, len(parts))) is not None:
            is_found = preparation.find_part(parts[i], arrays, self._shared.constants)
            exchange.send(self._connection, exchange.READY.pack(i, is_found))

    def _sum_blocks(
        self,
        of_pass: int,
        shapes: Sequence[Sequence[int]],
        covariance_type: CovarianceType,
        are_found: bool,
        hard: bool,
        sample: int,
    ) -> None:
        """Take blocks of a pass and sum them, until all are taken and the parent has added the sums."""
        shared = self._shared
        # Copied, since the parent changes this memory as soon as the pass is over.
        weights, means, covariances = (array.copy() for array in exchange.split(shared.mixture, shapes))
        found = preparation.read(shared.constants, *means.shape) if are_found else None
        if not shared.counter.is_at(of_pass):
            return  # the pass is over, and the copies may be of another mixture
        covariances.setflags(write=False)  # the mixture keeps them without another copy
        mixture = Mixture(weights, means, covariances, covariance_type)
        with contextlib.suppress(CovarianceNotPositive):  # the parent finds and reports it too
            shared.sums.prepare(mixture, shared.samples.at(sample), hard=hard, constants=found)
            while (i := shared.counter.take(of_pass, shared.sums.n_blocks)) is not None:
                self._hand_in(i)
            while self._n_added < self._n_ready:
                self._hear_of_added()

    def _hand_in(self, i: int) -> None:
        """Sum a block, write its sums to a slot, and report the slot."""
        sums = self._shared.sums.sum_block(i)
        if self._n_ready - self._n_added == SLOTS:
            self._hear_of_added()
        slot = self._n_ready % SLOTS
        exchange.write_sums(self._slots[slot], sums)
        exchange.send(self._connection, exchange.READY.pack(i, slot))
        self._n_ready += 1

    def _hear_of_added(self) -> None:
        """Wait until the parent has added the sums of the oldest ready slot."""
        exchange.receive(self._connection)
        self._n_added += 1
