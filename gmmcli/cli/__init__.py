"""The command line: the only code that imports click, writes to stdout or stderr, and exits."""
