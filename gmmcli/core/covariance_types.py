"""The names of the covariance families, ours and those of mclust. Imports nothing: `--help` reads it."""

# Our name, and the name of Celeux and Govaert (1995) and of mclust: volume, shape and orientation of the
# components are equal (E), vary (V), or are those of the axes or of a sphere (I).
MCLUST_NAMES = {
    "full": "VVV",
    "tied": "EEE",
    "diag": "VVI",
    "tied-diag": "EEI",
    "spherical": "VII",
    "tied-spherical": "EII",
}
# Our name for each name of mclust.
ALIASES = {theirs: ours for ours, theirs in MCLUST_NAMES.items()}
DEFAULT = "full"
# The family that needs few rows and no correlations: the advice of messages.
SIMPLER = "diag"
