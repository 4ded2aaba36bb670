"""Fitting: a run is a stream of steps; checkpoints, validation, journal and progress observe it."""
