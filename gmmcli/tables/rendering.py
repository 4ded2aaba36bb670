"""Columns as text: CSV, TSV and JSON lines. Numbers are written so that they read back exactly."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from gmmcli.errors import TableUnusable
from gmmcli.tables import json_text, wording
from gmmcli.tables.arrow import fits_parquet, is_numeric, is_text
from gmmcli.tables.json_text import JsonText

_EMPTY_LINE = re.compile(rb"^\n", re.MULTILINE)
_NOT_FINITE = frozenset(("", "nan", "-nan", "inf", "-inf"))
# Rows that Arrow formats at a time.
_BATCH_ROWS = 16_384


def delimited_rows(columns: Mapping[str, Any], delimiter: str, *, has_header: bool) -> bytes:
    """Return rows of a CSV or TSV table, quoted where they must be; null is an empty cell.

    Parameters
    ----------
    columns : mapping of str to pyarrow.Array
    delimiter : str
    has_header : bool
        Whether the names of the columns come first.

    Raises
    ------
    TableUnusable
        A column has a type without a text form.
    """
    names = f"{header(tuple(columns), delimiter)}\n".encode() if has_header else b""
    try:
        data = _written(list(columns.values()), delimiter)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # A text needs quotes, which Arrow would put around all of them.
        cells = [_cells(name, values, delimiter) for name, values in columns.items()]
        return names + _join_cells(cells, delimiter)
    return names + (_EMPTY_LINE.sub(b'""\n', data) if len(columns) == 1 else data)


def header(names: Sequence[str], delimiter: str) -> str:
    """Return the header of a CSV or TSV table, without its end."""
    return _join_cells([[name] for name in _quote(names, delimiter)], delimiter).decode().removesuffix("\n")


def json_rows(columns: Mapping[str, Any]) -> bytes:
    """Return rows as JSON objects, one on a line; null and what is not finite is null.

    Parameters
    ----------
    columns : mapping of str to pyarrow.Array

    Raises
    ------
    TableUnusable
        A column has a type without a text form.
    """
    keys = (json.dumps(name, ensure_ascii=False).replace("%", "%%") for name in columns)
    template = "{" + ", ".join(f"{key}: %s" for key in keys) + "}\n"
    values = [_json_values(name, values) for name, values in columns.items()]
    return "".join([template % row for row in zip(*values, strict=True)]).encode()


def _written(columns: Sequence[Any], delimiter: str) -> bytes:
    """Return rows as Arrow writes them without quotes, which it refuses where it needs them."""
    table = pa.table([_plain(values) for values in columns], names=[str(i) for i in range(len(columns))])
    options = csv.WriteOptions(
        include_header=False, batch_size=_BATCH_ROWS, delimiter=delimiter, quoting_style="none"
    )
    stream = io.BytesIO()
    csv.write_csv(table, stream, options)
    return stream.getvalue()


def _plain(values: Any) -> Any:
    """Return a column in types that Arrow can write: no dictionary, half float or JSON text."""
    if isinstance(values.type, JsonText):
        return json_text.as_texts(values)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_float16(values.type):
        mask = np.asarray(values.is_null())
        values = pa.array(values.to_numpy(zero_copy_only=False).astype(np.float64), mask=mask)
    return values


def _cells(name: str, values: Any, delimiter: str) -> list[str]:
    """Return the cells of a column, quoted where they must be."""
    stored = values.type
    values = _plain(values)
    if is_text(values.type):
        return _quote(values.to_pylist(), delimiter)
    try:
        return _written([values], delimiter).decode().split("\n")[:-1]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        fact = f"{wording.column(name)}: {stored} has no text form"
        kind = "parquet" if fits_parquet(stored) else "arrow"
        raise TableUnusable("--pass", fact, f"--output-format {kind}") from error


def _quote(texts: Sequence[str | None], delimiter: str) -> list[str]:
    """Return texts as cells."""
    special = re.compile(f'["\r\n{delimiter}]')
    cells = ["" if text is None else text for text in texts]
    return ['"' + cell.replace('"', '""') + '"' if special.search(cell) else cell for cell in cells]


def _join_cells(columns: Sequence[Sequence[str]], delimiter: str) -> bytes:
    """Return rows of cells; a single empty one is written as quotes, lest it be a blank line."""
    if len(columns) == 1:
        columns = [[cell or '""' for cell in columns[0]]]
    return "".join([f"{delimiter.join(row)}\n" for row in zip(*columns, strict=True)]).encode()


def _json_values(name: str, values: Any) -> list[str]:
    """Return the values of a column as JSON text."""
    if isinstance(values.type, JsonText):
        return json_text.as_json(values)
    values = _plain(values)
    if is_text(values.type) or pa.types.is_nested(values.type):
        plain = (json_text.finite(value) for value in values.to_pylist())
        return [json.dumps(value, ensure_ascii=False, default=str) for value in plain]
    cells = _cells(name, values, ",")
    if not is_numeric(values.type):
        return [json.dumps(cell) if cell else "null" for cell in cells]
    return ["null" if cell in _NOT_FINITE else cell for cell in cells]
