"""Text in chunks of whole records, parsed ahead by threads and handed on in order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from gmmcli.errors import GmmError, TableUnusable
from gmmcli.tables.batch import Batch
from gmmcli.tables.stream import ByteStream

CHUNK_BYTES, COLUMN_BYTES = 1 << 22, 1 << 8
MAX_RECORD_BYTES = 1 << 26
# Of a table's beginning, from which the types of its columns are told.
INFERENCE_BYTES = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """Whole records, each ended by a newline.

    Parameters
    ----------
    data : bytes
    first_line : int
        1-based, of the file.
    subject : str
        The file.
    is_whole : bool
        False where the last record has no end: a quote is open.
    is_hurried : bool
        No more bytes were there: what they hold is to be handed on before more are waited for.
    """

    data: bytes
    first_line: int
    subject: str
    is_whole: bool = True
    is_hurried: bool = False

    def line_of(self, offset: int) -> str:
        """Return "file:line" of a byte."""
        line = self.first_line + self.data.count(b"\n", 0, offset)
        return f"{self.subject}:{line}"


def iter_chunks(
    stream: ByteStream, find_end: Callable[[bytes], int], subject: str, first_line: int, n_columns: int = 1
) -> Iterator[Chunk]:
    """Cut a stream into chunks of whole records.

    Parameters
    ----------
    stream : ByteStream
        At the start of a record.
    find_end : callable
        Returns how many of the bytes are whole records.
    subject : str
    first_line : int
    n_columns : int
        The more columns, the longer the chunks: each chunk costs some time for every column.

    Raises
    ------
    TableUnusable
        A record is longer than 64 MiB.
    """
    line, rest, wanted = first_line, b"", 0
    n_bytes = max(CHUNK_BYTES, COLUMN_BYTES * n_columns)
    while data := stream.read(n_bytes, wait=False):
        is_hurried = len(data) < n_bytes
        rest += data
        if len(rest) < wanted:
            continue
        end = find_end(rest)
        if end:
            yield (chunk := Chunk(rest[:end], line, subject, is_hurried=is_hurried))
            line += chunk.data.count(b"\n")
            rest, wanted = rest[end:], 0
            continue
        if len(rest) > MAX_RECORD_BYTES:
            raise TableUnusable(f"{subject}:{line}", f"a record of more than {MAX_RECORD_BYTES} bytes")
        # A long one is searched again once it has doubled: a quote that never closes costs no quadratic time.
        wanted = 2 * len(rest) if len(rest) >= n_bytes else 0
    if rest:
        rest += b"" if rest.endswith(b"\n") else b"\n"
        yield Chunk(rest, line, subject, is_whole=find_end(rest) == len(rest), is_hurried=True)


def parse_ahead(parse: Callable[[Chunk], Batch], chunks: Iterator[Chunk], n_threads: int) -> Iterator[Batch]:
    """Parse chunks by threads, some ahead, and yield the parts in order.

    Of several errors the first by position leaves, whichever thread is faster.
    """
    pending: deque[Future[Batch]] = deque()
    problem: GmmError | None = None
    with ThreadPoolExecutor(n_threads, "parse") as pool:
        while True:
            try:
                chunk = next(chunks, None)
            except GmmError as error:
                # What was read before it is told first.
                chunk, problem = None, error
            if chunk is None:
                break
            pending.append(pool.submit(parse, chunk))
            while pending and (chunk.is_hurried or len(pending) > n_threads):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    if problem is not None:
        raise problem
