"""Slow, obvious formulas that the fast ones are held to."""
