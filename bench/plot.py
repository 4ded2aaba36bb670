"""The plot of growth: an SVG that is the same bytes for the same figures."""

from pathlib import Path
from typing import TYPE_CHECKING

from growth import curves, fixed
from part import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The power of the axis that the work per row goes with, where it goes with one.
POWERS = {"components": (1, "in proportion"), "columns": (2, "with the square")}
STYLES = (
    {"color": "#7fb0d8", "marker": "o"},
    {"color": "#12518c", "marker": "s"},
    {"color": "#d9722e", "marker": "^"},
)
INK, QUIET, FAINT = "#333333", "#666666", "#999999"
SETTINGS = {
    "svg.hashsalt": "gmmcli",  # instead of a random one for every file
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def write_plot(result: Result, path: Path) -> None:
    """Draw a panel for every axis."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(11, 4.2), layout="constrained", facecolor="white")
        panels = figure.subplots(1, len(result["axes"]), sharey=True)
        for panel, axis in zip(panels, result["axes"], strict=True):
            by_name = curves(result, axis)
            for style, (name, points) in zip(STYLES, by_name.items(), strict=False):
                panel.loglog(*zip(*points, strict=True), label=name, linewidth=1.8, markersize=5, **style)
            _draw_guide(panel, axis, min(by_name.values(), key=lambda points: points[-1][1]))
            panel.set_xlabel(f"number of {axis}")
            panel.set_title(f"with {fixed(result, axis)}", fontsize=9, color=QUIET)
            panel.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.7)
            panel.set_axisbelow(True)
            _set_ticks(panel, axis, [one["shape"][axis] for one in result["axes"][axis]])
        panels[0].set_ylabel("seconds per row and iteration")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw_guide(panel: "Axes", axis: str, points: list[tuple[int, float]]) -> None:
    """Draw the slope of the work, below the lowest curve."""
    if axis not in POWERS:
        return
    power, words = POWERS[axis]
    (x, y), first = points[-1], points[len(points) // 2][0]
    ends = [(first, 0.5 * y * (first / x) ** power), (x, 0.5 * y)]
    panel.loglog(*zip(*ends, strict=True), color=FAINT, linewidth=1, linestyle=":")
    panel.annotate(words, ends[0], textcoords="offset points", xytext=(6, -10), color=QUIET, fontsize=8)


def _set_ticks(panel: "Axes", axis: str, values: list[int]) -> None:
    """Label the sizes that were measured, where they are doublings."""
    if axis != "rows":
        panel.set_xticks(values, [str(value) for value in values])
        panel.set_xticks([], minor=True)
