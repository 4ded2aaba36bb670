"""Open the tables of a request, in the same way for every verb."""

import contextlib
from collections.abc import Iterator

from gmmcli.engine.blas import one_blas_thread
from gmmcli.engine.room import check_addresses
from gmmcli.tables.operands import TableRequest
from gmmcli.tables.source import Tables, open_tables


@contextlib.contextmanager
def reading(request: TableRequest) -> Iterator[Tables]:
    """Yield the tables of a request; meanwhile BLAS uses one thread.

    Raises
    ------
    GmmError
        A table cannot be opened, or too few addresses are left to read it.
    """
    names = [operand for operand in request.operands if isinstance(operand, str)]
    check_addresses(names[0] if names else "-")
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
