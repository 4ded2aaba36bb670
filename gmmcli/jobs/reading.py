"""The table of a request, opened: the same for every verb that reads one."""

import contextlib
from collections.abc import Iterator

from gmmcli.engine.blas import one_blas_thread
from gmmcli.tables.operands import TableRequest
from gmmcli.tables.source import Tables, open_tables


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
            n_threads=request.n_threads,
        ) as tables,
    ):
        yield tables
