"""The figure of a benchmark: validation accuracy over wall time, all arms."""

from pathlib import Path
from typing import TYPE_CHECKING

from classify.scores.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#1f77b4", "#17becf", "#2ca02c", "#ff7f0e", "#d62728", "#9467bd")
_GREY = "#888888"


def write_figure(path: Path, report: dict) -> Path:
    """Draw the arms of `classify.benchmark.report.report_of`.

    Measured epochs are dots; where planned epochs were not trained, a dashed line leads to the
    projected end. The time axis is logarithmic.

    Parameters
    ----------
    path : Path
        PNG; replaced.
    report : dict

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> arm = {"label": "live", "curve": [[1.0, 0.5], [2.0, 0.8]]}
    >>> arm["total"] = {"seconds": 9.0, "projected": True}
    >>> report = {"arms": [arm], "target": 0.7, "split_rows": {"train": 40, "validation": 9}}
    >>> with TemporaryDirectory() as folder:
    ...     write_figure(Path(folder) / "benchmark.png", report).name
    'benchmark.png'
    """
    figure, axes = new_figure(7.5, 4.5)
    for colour, arm in zip(_COLOURS, report["arms"], strict=False):
        _draw(axes, arm, colour)
    if any(arm["total"]["projected"] for arm in report["arms"]):
        label = "projected end of all epochs"
        axes.plot([], [], "--o", color=_GREY, markerfacecolor="white", linewidth=1, markersize=5, label=label)
    axes.axhline(report["target"], color=_GREY, linewidth=0.8, linestyle=":", label="target")
    rows = report["split_rows"]
    axes.set_xscale("log")
    axes.set(xlabel="wall time in s", ylabel=f"accuracy on {rows['validation']} validation rows")
    axes.set_title(f"{rows['train']} training rows", fontsize=9)
    figure.legend(loc="outside right upper", fontsize=8)
    return save_figure(figure, path)


def _draw(axes: "Axes", arm: dict, colour: str) -> None:
    seconds, accuracy = zip(*arm["curve"], strict=True)
    axes.plot(seconds, accuracy, "o-", color=colour, markersize=3, linewidth=1, label=arm["label"])
    if arm["total"]["projected"]:
        end = arm["total"]["seconds"]
        axes.plot([seconds[-1], end], [accuracy[-1]] * 2, "--", color=colour, linewidth=1)
        axes.plot([end], [accuracy[-1]], "o", color=colour, markerfacecolor="white", markersize=5)
