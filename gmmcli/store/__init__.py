"""The model directory: the only code that knows h5py."""
