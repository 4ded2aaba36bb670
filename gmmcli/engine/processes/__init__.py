"""Worker processes, forked once a table is in memory, so that they see it without a copy."""
