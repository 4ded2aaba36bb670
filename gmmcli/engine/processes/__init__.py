"""Worker processes. They are forked when a table is in memory, so that they share it without a copy."""
