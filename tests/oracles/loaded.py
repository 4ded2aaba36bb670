"""Tables in memory, as tests look at them."""


def pieces_of(loaded):
    """Return the arrays of a loaded table, shape (n_features, n_rows), operand by operand."""
    return [[rows.X for rows in operand.pieces] for operand in loaded.operands]
