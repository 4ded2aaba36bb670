"""Evaluates one tile of rows: log densities, responsibilities and sums. numpy only: predict imports it."""
