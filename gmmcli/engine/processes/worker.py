"""A worker: a process that takes numbers with its parent and the other workers, until the parent is gone."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from gmmcli.core.mixture import Array, CovarianceType, Mixture
from gmmcli.engine.one_pass import Pass
from gmmcli.engine.processes import exchange, preparation, process
from gmmcli.engine.processes.counter import Counter
from gmmcli.engine.processes.memory import SharedArrays
from gmmcli.errors import CovarianceNotPositive, OutOfMemory

# Sums that a worker may have ready before the parent has added the first of them.
SLOTS = 4


@dataclass(frozen=True, eq=False)
class Shared:
    """What parent and workers share, and the pass, of which each has a copy.

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
        """Work in a process of one's own until the parent is gone, or something goes wrong.

        Parameters
        ----------
        mask : set of int
            Signals to be blocked from when it is known what they do here.
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
        """Do what the parent asks for."""
        match task:
            case "constants":
                self._find_constants(**details)
            case "sums":
                self._sum_blocks(**details)

    def _find_constants(self, of_pass: int, shapes: Sequence[Sequence[int]], n_processes: int) -> None:
        """Find constants as long as there are some to be found.

        Nothing is copied: the parent waits for each part that is taken, and nothing changes meanwhile. Who is
        late takes none, and looks at nothing.
        """
        arrays = list(exchange.split(self._shared.mixture, shapes))
        parts = preparation.parts_of(len(arrays[0]), n_processes)
        while (i := self._shared.counter.take(of_pass, len(parts))) is not None:
            self._say(i, preparation.find_part(parts[i], arrays, self._shared.constants))

    def _sum_blocks(
        self,
        of_pass: int,
        shapes: Sequence[Sequence[int]],
        covariance_type: CovarianceType,
        are_found: bool,
        hard: bool,
        sample: int,
    ) -> None:
        """Sum blocks as long as there are some in a pass, and wait until the parent has added them all."""
        shared = self._shared
        # Copied, as what lies there may change once its pass has been looked at.
        weights, means, covariances = (array.copy() for array in exchange.split(shared.mixture, shapes))
        found = preparation.read(shared.constants, *means.shape) if are_found else None
        if not shared.counter.is_at(of_pass):
            return  # the others have made that pass, and the mixture may be another
        covariances.setflags(write=False)  # the mixture keeps them without another copy
        mixture = Mixture(weights, means, covariances, covariance_type)
        with contextlib.suppress(CovarianceNotPositive):  # the parent finds it as well, and tells
            shared.sums.prepare(mixture, shared.samples.at(sample), hard=hard, constants=found)
            while (i := shared.counter.take(of_pass, shared.sums.n_blocks)) is not None:
                self._hand_in(i)
            while self._n_added < self._n_ready:
                self._hear_of_added()

    def _hand_in(self, i: int) -> None:
        """Sum a block, and say where the sums are."""
        sums = self._shared.sums.sum_block(i)
        if self._n_ready - self._n_added == SLOTS:
            self._hear_of_added()
        slot = self._n_ready % SLOTS
        exchange.write_sums(self._slots[slot], sums)
        self._say(i, slot)
        self._n_ready += 1

    def _hear_of_added(self) -> None:
        """Wait until the parent has added the sums of the slot that has been ready for longest."""
        exchange.receive(self._connection)
        self._n_added += 1

    def _say(self, number: int, answer: int) -> None:
        """Say that something is done."""
        exchange.send(self._connection, exchange.READY.pack(number, answer))
