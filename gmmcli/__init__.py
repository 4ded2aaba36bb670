"""Gaussian mixtures from the command line: fit, predict, score, export, inspect."""

__version__ = "0.1.0"
