"""Rows in, rows out: the only code that knows pyarrow."""
