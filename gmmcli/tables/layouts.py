"""Tables in text that is neither CSV nor TSV: what their first lines show, and which filters mend them.

Knows lines of bytes only. A filter is a command that reads stdin and writes stdout.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gmmcli.tables import wording
from gmmcli.tables.delimited import Grammar
from gmmcli.tables.numbers import has_digits

# How many lines may stand above a header, and how many are compared.
MOST_SKIPPED, COMPARED = 50, 20
_KNOWN = (b",", b"\t")
_BLANK = b" "  # as a separator: any number of blanks and tabs
_CALLED = {
    b",": "commas",
    b"\t": "tabs",
    b";": "semicolons",
    b":": "colons",
    b"\f": "form feeds",
    b" ": "blanks",
}
# Names of columns do not have these: they separate even where there are no rows to compare with.
_ONLY_SEPARATE = (b";", b"|", b"\f", b"\x01", b"\x1e", b"\x1f")
_MAY_SEPARATE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f!$&*/:;<=>?@\\^`{|}~]")
_SPECIAL_IN_SED = re.compile(r"[$&*/\\^]")
_COMMENT = re.compile(rb"#")
_RULE, _RULE_IN_GREP = re.compile(rb"[-+|: ]*--[-+|: ]*$"), "^[-+|: ]*--[-+|: ]*$"
_DECIMAL_COMMA = re.compile(rb"\s*[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*),\d+(?:[eE][+-]?\d+)?\s*")
_EXCEL = re.compile(rb'"?sep=(.)"?\s*')


class Layout(NamedTuple):
    """What a text is instead of CSV or TSV.

    Parameters
    ----------
    fact : str
        For a message about the first line.
    filters : tuple of str
        Commands that turn the text into a table, one after the other; none where it is one, but of the other
        format.
    kind : str
        "csv" or "tsv": the format that it is, or becomes.
    """

    fact: str
    filters: tuple[str, ...]
    kind: str


class _Columns(NamedTuple):
    """Lines that a separator divides into columns, the header first."""

    separator: bytes
    lines: Sequence[bytes] = ()
    rows: Sequence[list[bytes]] = ()
    has_row_names: bool = False
    """Whether each row has one cell more than the header."""
    below: Sequence[bytes] = ()
    """All lines at hand; `lines` are the first ones that are not blank."""

    @property
    def is_headed(self) -> bool:
        """Whether the first line has names, and the second one a number."""
        have_numbers = [
            any(has_digits(cell.strip(b'"')) or _DECIMAL_COMMA.fullmatch(cell) for cell in row)
            for row in self.rows[:2]
        ]
        return have_numbers == [False, True]


def find_layout(
    lines: Sequence[bytes], first_line: int, delimiter: bytes, *, is_divided: bool
) -> Layout | None:
    """Return how a text is laid out that has not one header and then rows like it; None if not known.

    Parameters
    ----------
    lines : sequence of bytes
        The first ones, whole, without their newlines; the first is not blank.
    first_line : int
        The number of the first of them.
    delimiter : bytes
        A comma or a tab.
    is_divided : bool
        Whether the delimiter divides the first line into several columns, and the second into as many.
    """
    found = _below_a_separator(lines, first_line) or _below_comments(lines, first_line, delimiter)
    if found is not None or is_divided:
        return found
    return (
        _in_columns(lines, first_line, delimiter)
        or _with_decimal_commas(lines, delimiter)
        or _without_rows(lines, delimiter)
    )


def number_columns(n_columns: int, kind: str) -> str:
    """Return the filter that puts a header of x1, x2 and so on above a text."""
    if n_columns <= 12:
        between = "," if kind == "csv" else r"\t"
        return f"sed '1i {between.join(f'x{i + 1}' for i in range(n_columns))}'"
    as_tabs = "" if kind == "csv" else r" | tr , '\t'"
    return f"{{ seq -f x%.0f -s , {n_columns}{as_tabs}; cat; }}"


def _below_comments(lines: Sequence[bytes], first_line: int, delimiter: bytes) -> Layout | None:
    """Return the layout of lines with comments; the last comment above the rows may be the header.

    None where there is no comment, or where the first line is a header that begins like one.
    """
    kept = [line for line in lines if not _COMMENT.match(line)]
    n_above = next((i for i, line in enumerate(lines) if not _COMMENT.match(line)), len(lines))
    if len(kept) == len(lines):
        return None
    where = "the first line is a comment, not a header" if n_above else "there are comments below the header"
    fact = f"{where}: {wording.shown(lines[0])}"
    skip, columns = _search(kept, delimiter) or (0, _one_column(kept, delimiter))
    if columns.is_headed:
        return _layout(fact, ["grep -v '^#'", *_tail(first_line + skip)], columns)
    if not n_above:
        return None
    header = lines[n_above - 1].lstrip(b"# ")
    found = _search([header, *lines[n_above:]], delimiter, most_skipped=0)
    if found is None or (n_above == 1 and found[1].separator == delimiter):
        return None
    return _layout(fact, [*_tail(first_line + n_above - 1), "sed '1s/^#* *//'"], found[1])


def _below_a_separator(lines: Sequence[bytes], first_line: int) -> Layout | None:
    """Return the layout of lines that begin with one for Excel, which names the separator."""
    excel = _EXCEL.fullmatch(lines[0])
    if excel is None:
        return None
    columns = _divide(_filled(lines[1:]), excel[1]) or _Columns(excel[1])
    return _layout(f"not a header: {wording.shown(lines[0])}", _tail(first_line + 1), columns)


def _in_columns(lines: Sequence[bytes], first_line: int, delimiter: bytes) -> Layout | None:
    """Return the layout of lines that something divides into columns, from the first line or a later one."""
    kept = [line for line in lines if not _RULE.match(line)]
    found = _search(kept, delimiter)
    if found is None:
        return None
    skip, columns = found
    if columns.separator == delimiter and not (skip or columns.has_row_names or len(kept) < len(lines)):
        return None  # a table with blanks in place of a row
    filters = [f"grep -v '{_RULE_IN_GREP}'"] if len(kept) < len(lines) else []
    if skip:
        fact = f"not a header: {wording.shown(lines[0])}; the header is below it: {wording.shown(kept[skip])}"
    elif columns.separator == delimiter and columns.has_row_names:
        fact = f"the header has one cell fewer than each row: {wording.shown(lines[0])}"
    elif columns.separator == delimiter:
        rule = next(line for line in lines if _RULE.match(line))
        fact = f"a rule, not a row: {wording.shown(rule)}"
    else:
        fact = _separated(columns.separator, kept[0])
    return _layout(fact, [*filters, *_tail(first_line + skip)], columns)


def _with_decimal_commas(lines: Sequence[bytes], delimiter: bytes) -> Layout | None:
    """Return the layout of one column of numbers whose decimal commas separate."""
    header, *rows = _filled(lines)
    if delimiter not in header and rows and all(map(_DECIMAL_COMMA.fullmatch, rows)):
        return Layout(
            f"one column of numbers with decimal commas: {wording.shown(rows[0])}", ("tr , .",), "csv"
        )
    return None


def _without_rows(lines: Sequence[bytes], delimiter: bytes) -> Layout | None:
    """Return the layout of a header in which something separates, unless there are numbers below it."""
    header, *rows = _filled(lines)
    separator = next((byte for byte in _ONLY_SEPARATE if byte in header), None)
    if separator is None or delimiter in header or any(map(has_digits, rows)):
        return None
    return _layout(_separated(separator, header), [], _Columns(separator))


def _separated(separator: bytes, header: bytes) -> str:
    """Return the fact that something separates the columns."""
    called = _CALLED.get(separator, f'"{wording.shown(separator)}"')
    instead = {b",": "tabs", b"\t": "commas"}.get(separator, "commas or tabs")
    return f"columns are separated by {called}, not by {instead}: {wording.shown(header)}"


def _search(
    lines: Sequence[bytes], delimiter: bytes, most_skipped: int = MOST_SKIPPED
) -> tuple[int, _Columns] | None:
    """Return the first line from which something separates all lines alike, and the columns.

    A line below the first is a header only with a number below it.
    """
    for skip, line in enumerate(lines[: most_skipped + 1]):
        likely = (delimiter, *_KNOWN, *_ONLY_SEPARATE, *_MAY_SEPARATE.findall(line), _BLANK)
        for separator in dict.fromkeys(byte for byte in likely if byte in line.strip()):
            columns = _divide(_filled(lines[skip:])[:COMPARED], separator)
            if columns is not None and (not skip or columns.is_headed):
                return skip, columns._replace(below=lines[skip:])
    return None


def _divide(lines: Sequence[bytes], separator: bytes) -> _Columns | None:
    """Return lines in columns; None if there are less than two of either, or cells are left over.

    Several rows may all have one cell more than the header.
    """
    rows = [_split(line, separator) for line in lines]
    n_cells = [len(row) for row in rows]
    if len(rows) < 2 or n_cells[0] < 2 or len(set(n_cells[1:])) > 1:
        return None
    n_more = n_cells[1] - n_cells[0]
    is_even = n_more == 0 or (n_more == 1 and len(rows) > 2)
    return _Columns(separator, lines, rows, has_row_names=n_more == 1) if is_even else None


def _one_column(lines: Sequence[bytes], delimiter: bytes) -> _Columns:
    """Return lines as one column."""
    filled = _filled(lines)
    return _Columns(delimiter, filled, [[line] for line in filled])


def _split(line: bytes, separator: bytes) -> list[bytes]:
    """Return the cells of a line."""
    if separator == _BLANK:
        return line.split()
    return next((record.fields for record in Grammar(separator).iter_records(line + b"\n")), [line])


def _layout(fact: str, filters: Sequence[str], columns: _Columns) -> Layout:
    """Return a layout whose filters end with those that make CSV or TSV of columns."""
    separator, lines = columns.separator, columns.lines
    mended = [*filters]
    if edits := list(_iter_edits(columns)):
        mended += ["tr -d '\\r'"] if lines[0].endswith(b"\r") else []
        mended.append(f"sed '{'; '.join(edits)}'")
    has_commas, has_thousands = _find_commas(columns)
    if has_thousands:
        mended.append("tr -d .")
    if separator == _BLANK:
        blanks = "'[:blank:]'" if any(b"\t" in line for line in lines) else "' '"
        mended.append(rf"tr -s {blanks} '\t'")
    replaced = "" if separator in (*_KNOWN, _BLANK) else _in_tr(separator)
    if replaced or has_commas:
        tab = r"\t" if replaced else ""
        mended.append(f"tr '{replaced}{',' * has_commas}' '{tab}{'.' * has_commas}'")
    return Layout(fact, tuple(mended), "csv" if separator == b"," else "tsv")


def _iter_edits(columns: _Columns) -> Iterator[str]:
    """Yield what sed has to do, lest there are columns without a name."""
    separator, lines, rows = columns.separator, columns.lines, columns.rows
    if separator == _BLANK:
        yield from ["s/^ *//"] * any(line.startswith(b" ") for line in lines)
        yield from ["s/ *$//"] * any(line.endswith(b" ") for line in lines)
        yield from ["1s/^/row /"] * columns.has_row_names
        return
    text = separator.decode("latin-1")
    if not rows or not (text.isprintable() or separator in _KNOWN):
        return
    s = r"\t" if separator == b"\t" else _SPECIAL_IN_SED.sub(r"\\\g<0>", text)
    if separator not in _KNOWN and any(cell != cell.strip(b" ") for cell in rows[0]):
        yield from (f"s/ *{s} */{s}/g", "s/^ *//", "s/ *$//")
    if not any(row[0].strip() for row in rows):
        yield f"s/^{s}//"
    if not any(row[-1].strip() for row in rows[columns.has_row_names :]):
        yield f"s/{s}$//"
    elif columns.has_row_names:
        yield f"1s/^/row{s}/"


def _find_commas(columns: _Columns) -> tuple[bool, bool]:
    """Return whether numbers have decimal commas and no text has any, and points between thousands."""
    if columns.separator == b",":
        return False, False
    rows = columns.rows[1:]
    if any(b"," in cell for row in rows for cell in row):
        rows = [_split(line, columns.separator) for line in _filled(columns.below)[1:]] or rows
    cells = [cell for row in rows for cell in row]
    commas = [cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)]
    has_points = any(b"." in cell and has_digits(cell) for cell in cells)
    are_decimal = bool(commas) and len(commas) == sum(b"," in cell for cell in cells) and not has_points
    return are_decimal, are_decimal and any(b"." in cell for cell in commas)


def _in_tr(separator: bytes) -> str:
    """Return a byte as tr takes it between quotes."""
    if separator == b"\\":
        return r"\\"
    return separator.decode() if separator.decode("latin-1").isprintable() else f"\\{separator[0]:03o}"


def _tail(line: int) -> list[str]:
    """Return the filter that keeps the lines from one on."""
    return [f"tail -n +{line}"] if line > 1 else []


def _filled(lines: Sequence[bytes]) -> list[bytes]:
    """Return the lines that are not blank."""
    return [line for line in lines if line.strip()]
