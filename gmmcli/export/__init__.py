"""One file per format. Knows a mixture in the table's units, nothing of where it came from."""
