"""Export formats, one file each. Knows a mixture in the table's units, not where it came from."""
