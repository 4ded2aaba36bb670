"""The grammar of delimited text is that of the csv module, on random texts of whatever makes it hard.

Records, their fields and ends are those that the module finds when it is not strict. A record in which a cell
goes on behind its closing quote is refused: it is one that the module refuses when it is strict.
"""

import csv
import io
import os
import random

import pytest

from gmmcli.tables.delimited import Grammar, OpenQuote, find_after_quote, has_bare_return

# `make fuzz` asks for 100,000 and more.
N_TEXTS = int(os.environ.get("GMMCLI_FUZZ_TEXTS", "4000"))
PIECES = [
    b"a",
    b"1",
    b" ",
    b"\t",
    b",",
    b",,",
    b";",
    b"\n",
    b"\r\n",
    b"\xc3\xa9",
    *(b'"', b'""', b'"a"', b'"\n"'),
]


def random_text(rng: random.Random) -> bytes:
    """Return a text of up to forty pieces; the fewer kinds of them, the deeper they nest."""
    kinds = rng.sample(PIECES, rng.randint(2, len(PIECES)))
    return b"".join(rng.choices(kinds, k=rng.randint(0, 40)))


class Lines:
    """Lines of a text for the csv module, and how many bytes of them it has taken."""

    def __init__(self, text: bytes) -> None:
        self._lines = iter(io.StringIO(text.decode("latin-1"), newline="\n"))
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        line = next(self._lines)
        self.taken += len(line)
        return line


def by_csv_module(text: bytes, delimiter: bytes) -> list[tuple[int, list[bytes]]]:
    """Return the end and the fields of every whole record, as Python's csv module reads them.

    A last line that no text can hold tells whether the record before it was whole.
    """
    probe = "\x1e"
    lines = Lines(text + probe.encode() + b"\n")
    records = []
    for fields in csv.reader(lines, delimiter=delimiter.decode(), quotechar='"', doublequote=True):
        if lines.taken > len(text):
            assert probe in fields[-1]
            break
        records.append((lines.taken, [field.encode("latin-1") for field in fields] or [b""]))
    return records


def assert_agrees(text: bytes, delimiter: bytes) -> None:
    """Compare records, their ends, and where whole records end."""
    grammar = Grammar(delimiter)
    text = text[: text.rfind(b"\n") + 1]
    expected = by_csv_module(text, delimiter)

    found = [(record.end, record.fields) for record in grammar.iter_records(text)]

    assert found == expected, text
    end = expected[-1][0] if expected else 0
    assert grammar.find_end(text) == end, text
    assert grammar.find_end(text + b'1,"x') == end if end == len(text) else True, text
    if end < len(text):  # what is left begins with a record in which a quote opens
        offset = grammar.find_open_quote(text)
        assert text[offset : offset + 1] == b'"', text
        assert isinstance(grammar._read_record(text, end), OpenQuote), text


@pytest.mark.parametrize("delimiter", [b",", b"\t"])
def test_records_of_random_texts_are_those_of_the_csv_module(delimiter: bytes) -> None:
    """Quotes that open, close, double, and stand where they mean nothing; nothing is lost at any of them."""
    for seed in range(N_TEXTS // 2):
        assert_agrees(random_text(random.Random(seed)), delimiter)


def is_strict(record: bytes, delimiter: bytes) -> bool:
    """Tell whether the csv module takes a record when it is strict."""
    lines = io.StringIO(record.decode("latin-1"), newline="\n")
    try:
        list(csv.reader(lines, delimiter=delimiter.decode(), strict=True))
    except csv.Error:
        return False
    return True


@pytest.mark.parametrize("delimiter", [b",", b"\t"])
def test_cells_that_go_on_behind_their_closing_quote_are_those_that_a_strict_csv_module_refuses(
    delimiter: bytes,
) -> None:
    """But for blanks: between the quote and the delimiter they mean nothing."""
    grammar, n_refused = Grammar(delimiter), 0
    for seed in range(N_TEXTS // 2):
        text = random_text(random.Random(seed)).replace(b" ", b"")
        records = [text[record.start : record.end] for record in grammar.iter_records(text)]
        expected = [is_strict(record, delimiter) for record in records]
        assert [find_after_quote(record, delimiter) < 0 for record in records] == expected, text
        assert grammar.closes_quotes(b"".join(records)) is all(expected), text
        n_refused += expected.count(False)
    assert n_refused > 50


@pytest.mark.parametrize(
    ("record", "offset"),
    [(b'"1"2,3\n', 3), (b'1,"2" x\r\n', 6), (b'"1" ,"2"  \r\n', -1), (b'1"2"3,4\n', -1), (b'"1"\r', 3)],
)
def test_blanks_behind_a_quote_mean_nothing(record: bytes, offset: int) -> None:
    """The place is that of the first byte that means something."""
    assert find_after_quote(record, b",") == offset


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"a,b\r\n", False),
        (b'"a\rb",c\r\n', False),
        (b'a\rb,"c"\r\n', True),
        (b'"a"\rb,c\n', True),
        (b'"a""\r",c\n', False),
        (b'x"\r",c\n', True),
    ],
)
def test_a_carriage_return_counts_outside_quotes(record: bytes, expected: bool) -> None:
    """Unless a newline follows it."""
    assert has_bare_return(record, b",") is expected
