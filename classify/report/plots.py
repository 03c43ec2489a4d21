"""Curves as lines, dots, bars and bands in pixels, which the template draws as SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10

import numpy as np

from classify.scores.intervals import wilson
from data.names import visible

WIDTH, HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 30, 44
_TICKS = (0.002, 0.004, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # steps between shares
_APART = 44  # pixels between ticks, at the least


@dataclass(frozen=True)
class Mark:
    """A line, a dot, a bar or a band.

    Attributes
    ----------
    kind : str
        ``line``, ``guide`` (dashed), ``dot``, ``whisker``, ``bar`` or ``band``: how it is drawn.
    points : tuple of (float, float)
        In pixels; of a bar its upper left and its lower right corner.
    """

    kind: str
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True)
class Plot:
    """A figure in pixels, its axes, and the same in words and in numbers.

    Attributes
    ----------
    title, said : str
        Its name, and what it shows, for those who do not see it.
    x_label, y_label : str
    x_ticks, y_ticks : tuple of (float, str)
        Pixels and text.
    marks : tuple of Mark
        The last ones on top.
    columns : tuple of str
    numbers : tuple of tuple of str
        A table of what is drawn.
    width, height : int
    frame : tuple of float
        Left, top, right and bottom of the area between the axes.
    """

    title: str
    said: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...] = field(repr=False)
    columns: tuple[str, ...]
    numbers: tuple[tuple[str, ...], ...] = field(repr=False)
    width: int = WIDTH
    height: int = HEIGHT
    frame: tuple[float, float, float, float] = (_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM)


@dataclass(frozen=True)
class Axes:
    """Values to pixels.

    Attributes
    ----------
    x, y : (float, float)
        The least and the largest value.
    logarithmic : bool
        Of x.

    Examples
    --------
    >>> Axes((0, 1), (0, 1)).at(0, 0)
    (62.0, 256.0)
    """

    x: tuple[float, float]
    y: tuple[float, float]
    logarithmic: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return a point in pixels, to a tenth."""
        low, high, value = (log10(each) if self.logarithmic else each for each in (*self.x, x))
        across = (value - low) / ((high - low) or 1)
        up = (min(max(y, self.y[0]), self.y[1]) - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return (
            round(_LEFT + across * (WIDTH - _LEFT - _RIGHT), 1),
            round(HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM), 1),
        )

    def mark(self, kind: str, *points: tuple[float, float]) -> Mark:
        """Return a mark through points in values."""
        return Mark(kind, tuple(self.at(*point) for point in points))

    def x_ticks(self, values: Sequence[float], texts: Sequence[str]) -> tuple[tuple[float, str], ...]:
        """Return where ticks of x are, and what stands there, but for those too near to the last one."""
        found: list[tuple[float, str]] = []
        for value, text in zip(values, texts, strict=True):
            place = self.at(value, self.y[0])[0]
            if not found or place - found[-1][0] >= _APART:
                found.append((place, text))
        return tuple(found)

    def y_ticks(self, values: Sequence[float], texts: Sequence[str]) -> tuple[tuple[float, str], ...]:
        """Return where ticks of y are, and what stands there."""
        return tuple((self.at(self.x[0], value)[1], text) for value, text in zip(values, texts, strict=True))


Ticks = Callable[[Sequence[float], Sequence[str]], tuple[tuple[float, str], ...]]


def percent(value: float, digits: int = 1) -> str:
    """Return a share in per cent, its parts not to be torn; below 1 it is not 100, above 0 not 0.

    Examples
    --------
    >>> percent(0.5), percent(0.99999), percent(1.0), percent(1e-6)
    ('50.0\\xa0%', '99.9\\xa0%', '100\\xa0%', '0.1\\xa0%')
    """
    if value in (0, 1):
        return f"{100 * value:.0f}\xa0%"
    least = 10.0 ** -(digits + 2)
    return f"{100 * min(max(value, least), 1 - least):.{digits}f}\xa0%"


def coverage_plot(thresholds: Sequence[tuple[float, ...]]) -> Plot:
    """Draw accuracy over the share of images that are answered, thresholds rising to the left."""
    lowest = min(row[3] for row in thresholds)
    axes = Axes((_floor(thresholds[-1][1]), 1), (_floor(lowest), 1))
    line = [(row[1], row[2]) for row in thresholds]
    band = [(row[1], row[4]) for row in thresholds] + [(row[1], row[3]) for row in reversed(thresholds)]
    return Plot(
        "Accuracy of the answers over coverage",
        "Where only confident answers count, fewer images are answered, and more of them rightly.",
        "images that are answered",
        "right answers",
        _percent_ticks(axes.x_ticks, *axes.x),
        _percent_ticks(axes.y_ticks, *axes.y),
        (axes.mark("band", *band), axes.mark("line", *line)),
        ("threshold", "answered", "right of these", "95 % interval"),
        tuple(
            (f"{t:.2f}", percent(share), percent(right), f"{percent(low)} to {percent(high)}")
            for t, share, right, low, high in thresholds[::10]
        ),
    )


def reliability_plot(report: dict) -> Plot:
    """Draw how often the head is right over how sure it is."""
    axes = Axes((0, 1), (0, 1))
    bins = [row for row in report["reliability"] if row["rows"]]
    scores = [wilson(round(row["accuracy"] * row["rows"]), row["rows"]) for row in bins]
    most = max(row["rows"] for row in bins)
    bars = [axes.mark("bar", (row["low"], 0.18 * row["rows"] / most), (row["high"], 0)) for row in bins]
    whiskers = [
        axes.mark("whisker", (row["confidence"], score.low), (row["confidence"], score.high))
        for row, score in zip(bins, scores, strict=True)
    ]
    dots = [axes.mark("dot", (row["confidence"], row["accuracy"])) for row in bins]
    return Plot(
        "Reliability",
        "Dots on the dashed line: of images with a confidence of 80 %, 80 % are right. Dots below it: the "
        "head is too sure. Bars show how many images each dot stands for.",
        "confidence of the head",
        "share that is right",
        _percent_ticks(axes.x_ticks, 0, 1),
        _percent_ticks(axes.y_ticks, 0, 1),
        (*bars, axes.mark("guide", (0, 0), (1, 1)), *whiskers, *dots),
        ("confidence", "images", "right", "95 % interval"),
        tuple(
            (percent(row["confidence"]), str(row["rows"]), percent(score.value),
             f"{percent(score.low)} to {percent(score.high)}")
            for row, score in zip(bins, scores, strict=True)
        ),
    )  # fmt: skip


def roc_plot(y: np.ndarray, proba: np.ndarray, names: Sequence[str]) -> Plot:
    """Draw how many of a class are found over how many others are taken for it.

    It is the second of two classes; of more, the one that is told apart worst, with all others.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    present = [label for label in range(len(names)) if 0 < (y == label).sum() < len(y)]
    areas = {label: roc_auc_score(y == label, proba[:, label]) for label in present}
    label = 1 if len(names) == 2 else min(present, key=lambda each: areas[each])
    names = list(map(visible, names))
    name, others = names[label], names[0] if len(names) == 2 else "others"
    false, true, _ = roc_curve(y == label, proba[:, label])
    axes = Axes((0, 1), (0, 1))
    line = axes.mark("line", *zip(false.tolist(), true.tolist(), strict=True))
    some = np.unique(np.linspace(0, len(false) - 1, 11).round().astype(int))
    worst = "" if len(names) == 2 else ", the class that is told apart worst"
    return Plot(
        f"ROC of {name}{worst}",
        f"The further the line is above the dashed one, the better {name} and {others} are parted; the area "
        f"below it is {areas[label]:.3f}.",
        f"{others} taken for {name}",
        f"{name} found",
        _percent_ticks(axes.x_ticks, 0, 1),
        _percent_ticks(axes.y_ticks, 0, 1),
        (axes.mark("guide", (0, 0), (1, 1)), line),
        (f"{others} taken for {name}", f"{name} found"),
        tuple((percent(false[place]), percent(true[place])) for place in some),
    )


def growth_plot(curve: dict, expected: Sequence[tuple[float, float, float, float]]) -> Plot:
    """Draw accuracy over training images, and beyond them what a fitted curve expects.

    Parameters
    ----------
    curve : dict
        Of `LearningCurve.to_dict`.
    expected : sequence of (float, float, float, float)
        Rows, accuracy, low and high end; beyond the last point all of it is extrapolated.
    """
    points = curve["points"]
    rows = [point["rows"] for point in points]
    ahead = [row for row in expected if row[0] >= rows[-1]]
    lowest = min([value for point in points for value in point["values"]] + [row[2] for row in ahead])
    last = max([rows[-1], *(row[0] for row in ahead)])
    axes = Axes((rows[0] * 0.9, last * 1.05), (_floor(lowest), 1), logarithmic=True)
    band = [(row[0], row[3]) for row in ahead] + [(row[0], row[2]) for row in reversed(ahead)]
    means = [(point["rows"], point["mean"]) for point in points]
    marks = (
        axes.mark("band", *band),
        axes.mark("guide", *((row[0], row[1]) for row in expected)),
        *(axes.mark("small", (point["rows"], value)) for point in points for value in point["values"]),
        axes.mark("line", *means),
        *(axes.mark("dot", point) for point in means),
    )
    ticks = sorted({*rows, last})
    return Plot(
        "Learning curve",
        "Dots are measured, grey ones single trainings; the dashed line, and the band behind them, are "
        "extrapolated.",
        "training images (logarithmic)",
        "validation images that are right",
        axes.x_ticks(ticks, [f"{number:,.0f}" for number in ticks]),
        _percent_ticks(axes.y_ticks, *axes.y),
        marks,
        ("training images", "right, mean", "lowest", "highest"),
        tuple(
            (f"{point['rows']:,}", *map(percent, (point["mean"], min(point["values"]), max(point["values"]))))
            for point in points
        ),
    )


def _floor(lowest: float) -> float:
    """Return a round value below, so that the axis is not empty for the most part."""
    return max(0.0, np.floor(lowest * 10 - 1e-9) / 10 if lowest < 0.9 else np.floor(lowest * 50 - 1e-9) / 50)


def _percent_ticks(ticks: Ticks, low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return round values, five or six at the most."""
    step = next(step for step in _TICKS if (high - low) / step <= 5 + 1e-9)
    values = [number * step for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]
    digits = 0 if round(100 * step, 6) % 1 == 0 else 1
    return ticks(values, [f"{100 * value:.{digits}f}\xa0%" for value in values])
