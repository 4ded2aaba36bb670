"""Pure numbers: no files, no clock, no logging, no environment."""
