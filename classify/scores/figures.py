"""Figures: confusion, reliability, ROC, learning curve and benchmark, as PNG."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.scores.intervals import wilson
from data.names import short_names
from data.output.atomic import written_aside
from data.output.checks import check_file
from data.output.disk import writing
from data.output.ours import SIGNATURE
from data.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES_NAMED = 30  # on a confusion matrix: beyond them names and counts cannot be read
NAME = 24  # signs of a name
_NAMES = ("confusion.png", "reliability.png", "roc.png", "learning_curve.png")
_BLUE, _GREY = "#1f77b4", "#888888"


def check_figures(folder: str | Path) -> None:
    """Raise if figures cannot be written into this folder; nothing is written.

    Raises
    ------
    HeadstartError
        If the folder is a file or lies where none can be made, or pictures
        in it that we did not draw have the names of figures.
    """
    for name in _NAMES:
        check_file(Path(folder) / name, "figure", "folder for the figures")


def write_figures(
    folder: str | Path, report: dict, y: np.ndarray | None = None, proba: np.ndarray | None = None
) -> list[Path]:
    """Draw what a report holds into a folder; figures of ours with the same names are replaced.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist; other files in it stay.
    report : dict
        Of `classify.scores.evaluate.evaluate`; with ``learning_curve``, of `learning_curve`, that too.
    y : ndarray of int, shape (N,), optional
        True labels and, in `proba`, the probabilities that were judged: for the ROC curve,
        which is drawn of two classes where both have rows.
    proba : ndarray of shape (N, K), optional

    Returns
    -------
    list of Path
        ``confusion.png``, ``reliability.png`` and, where there is what they show, ``roc.png``
        and ``learning_curve.png``.

    Raises
    ------
    HeadstartError
        If the folder cannot be written.

    Examples
    --------
    >>> from classify.scores.evaluate import evaluate
    >>> report = evaluate(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]), ["cat", "dog"])
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     [path.name for path in write_figures(folder, report)]
    ['confusion.png', 'reliability.png']
    """
    folder = Path(folder)
    check_figures(folder)
    drawn = {"confusion.png": _confusion(report), "reliability.png": _reliability(report)}
    if y is not None and proba is not None and "roc_auc" in report:
        drawn["roc.png"] = _roc(report, y, proba)
    if "learning_curve" in report:
        drawn["learning_curve.png"] = _learning_curve(report["learning_curve"])
    with writing(folder, "or choose another folder for the figures"):
        return [save_figure(figure, folder / name) for name, figure in drawn.items()]


def new_figure(width: float = 5, height: float = 4.5, **values: Any) -> "tuple[Figure, Any]":
    """Return a figure and its axes, or several; without pyplot, there is no window and no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**values)


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure aside and rename it, so that the name never holds half of one."""
    with warnings.catch_warnings(), written_aside(path) as aside, open(aside, "wb") as file:
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # names in any script
        figure.savefig(file, format="png", dpi=150, metadata={"Software": SIGNATURE})
    return path


def _confusion(report: dict) -> "Figure":
    """Draw the share of each true class that goes to each predicted one, with the rows in numbers."""
    names = list(short_names((row["name"] for row in report["classes"]), NAME).values())
    counts = np.array(report["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(5 + 0.35 * max(0, len(names) - 5), 16)
    figure, axes = new_figure(side + 0.5, side)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(_title(report, "accuracy"), fontsize=10)  # long names leave little room
    if len(names) > MOST_CLASSES_NAMED:
        return figure
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    return figure


def _reliability(report: dict) -> "Figure":
    """Draw accuracy over confidence with Wilson intervals, and how many rows each bin has."""
    bins = [row for row in report["reliability"] if row["rows"]]
    confidence, value = (np.array([row[name] for row in bins]) for name in ("confidence", "accuracy"))
    scores = [wilson(round(row["accuracy"] * row["rows"]), row["rows"]) for row in bins]
    ends = np.abs([[getattr(score, name) for score in scores] - value for name in ("low", "high")])
    figure, (axes, below) = new_figure(5, 5.5, nrows=2, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="perfectly calibrated")
    axes.errorbar(confidence, value, ends, fmt="o", color=_BLUE, capsize=2, label="bin, 95 % interval")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy", title=_title(report, "ece"))
    axes.legend(loc="upper left")
    left, width = [row["low"] for row in bins], [row["high"] - row["low"] for row in bins]
    below.bar(left, [row["rows"] for row in bins], width, align="edge", color=_BLUE, edgecolor="white")
    below.set(xlabel="confidence", ylabel="rows")
    return figure


def _roc(report: dict, y: np.ndarray, proba: np.ndarray) -> "Figure":
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(y, proba[:, 1])
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="chance")
    axes.plot(false, true, color=_BLUE)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), title=_title(report, "roc_auc"))
    others, name = short_names((row["name"] for row in report["classes"]), NAME).values()
    axes.set_xlabel(f"share of {others} taken for {name}", parse_math=False)
    axes.set_ylabel(f"share of {name} found", parse_math=False)
    axes.legend(loc="lower right")
    return figure


def _learning_curve(curve: dict) -> "Figure":
    points = curve["points"]
    rows, mean = ([point[name] for point in points] for name in ("rows", "mean"))
    figure, axes = new_figure()
    for point in points:
        axes.plot([point["rows"]] * len(point["values"]), point["values"], ".", color=_GREY, alpha=0.6)
    deviations = [point["standard_deviation"] or 0 for point in points]
    axes.errorbar(rows, mean, deviations, fmt="o-", color=_BLUE, capsize=2, label="mean, standard deviation")
    axes.set_xscale("log")
    axes.set_xticks(rows, [str(number) for number in rows])
    axes.minorticks_off()
    said, _, numbers = curve["more_labels"].partition(": ")
    axes.set_title(f"{said}:\n{numbers}", fontsize=8)
    axes.set(
        xlabel="training rows", ylabel=f"accuracy on {counted(curve['validation_rows'], 'validation row')}"
    )
    axes.legend(loc="lower right")
    return figure


def _title(report: dict, name: str) -> str:
    score, split = report[name], f"{report['split']}, " if "split" in report else ""
    value, low, high = (f"{score[key]:.4f}" for key in ("value", "low", "high"))
    return f"{split}{counted(report['rows'], 'row')}: {name.replace('_', ' ')} {value} [{low}, {high}]"


_COLOURS = ("#1f77b4", "#17becf", "#2ca02c", "#ff7f0e", "#d62728", "#9467bd")


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
    axes.set(xlabel="wall time in s", ylabel=f"accuracy on {counted(rows['validation'], 'validation row')}")
    axes.set_title(counted(rows["train"], "training row"), fontsize=9)
    figure.legend(loc="outside right upper", fontsize=8)
    return save_figure(figure, path)


def _draw(axes: "Axes", arm: dict, colour: str) -> None:
    seconds, accuracy = zip(*arm["curve"], strict=True)
    axes.plot(seconds, accuracy, "o-", color=colour, markersize=3, linewidth=1, label=arm["label"])
    if arm["total"]["projected"]:
        end = arm["total"]["seconds"]
        axes.plot([seconds[-1], end], [accuracy[-1]] * 2, "--", color=colour, linewidth=1)
        axes.plot([end], [accuracy[-1]], "o", color=colour, markerfacecolor="white", markersize=5)
