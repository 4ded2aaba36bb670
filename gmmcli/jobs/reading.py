"""The table of a request, opened: the same for every verb that reads one."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gmmcli.engine.local import available_cpus, one_blas_thread
from gmmcli.tables.held import InMemory
from gmmcli.tables.source import Tables, open_tables


@dataclass(frozen=True)
class TableRequest:
    """The tables of a command line, and how many threads may work on them.

    Parameters
    ----------
    operands : tuple of str or InMemory
        None, or "-", is stdin.
    stdin : binary stream or None
        None where it is closed, or not asked for.
    input_format : str or None
        None to recognise it.
    n_threads : int or None
        None for the CPUs that the process may use.
    """

    operands: tuple[str | InMemory, ...] = ()
    stdin: BinaryIO | None = None
    input_format: str | None = None
    n_threads: int | None = None

    @property
    def n_workers(self) -> int:
        """Threads to use."""
        return self.n_threads or available_cpus()


@contextlib.contextmanager
def reading(request: TableRequest) -> Iterator[Tables]:
    """Yield the tables of a request; BLAS keeps to one thread meanwhile.

    Raises
    ------
    GmmError
        What `open_tables` finds.
    """
    with (
        one_blas_thread(),
        open_tables(
            request.operands,
            input_format=request.input_format,
            stdin=request.stdin,
            n_threads=request.n_workers,
        ) as tables,
    ):
        yield tables
