"""The front as a picture: log loss and accuracy over images a second."""

from pathlib import Path
from typing import TYPE_CHECKING

from classify.frontier.grid import Pass, name_of
from classify.scores.figures import new_figure, save_figure
from data.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#17becf", "#8c564b", "#e377c2")
_GREY = "#888888"
_JOINED, _MARGIN = "joined", 1.25
_MARKERS = {"int8": "o", "bfloat16": "s", "float32": "^", _JOINED: "D"}


def write_figure(path: Path, found: dict) -> Path:
    """Draw the recipes of a frontier.

    Parameters
    ----------
    path : Path
        PNG; replaced.
    found : dict
        As `classify.frontier.frontier.frontier` returns it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> score = {"value": 0.5, "low": 0.25, "high": 0.75}
    >>> one = {"backbone": "xception", "image_size": 150, "arithmetic": "int8", "layers": ["avg_pool"]}
    >>> recipe = {"passes": [one], "log_loss": score, "accuracy": score, "images_per_second": 50.0,
    ...           "on_front": True}
    >>> with TemporaryDirectory() as folder:
    ...     write_figure(Path(folder) / "f.png", {"recipes": [recipe], "rows": 600, "classes": 2}).name
    'f.png'
    """
    figure, both = new_figure(10, 4.5, ncols=2)
    colours = dict(zip(dict.fromkeys(map(_what, found["recipes"])), _COLOURS * 20, strict=False))
    for axes, score in zip(both, ("log_loss", "accuracy"), strict=True):
        for each in found["recipes"]:
            _draw(axes, each, score, colours[_what(each)])
        front = [each for each in found["recipes"] if each["on_front"]]
        places = sorted((each["images_per_second"], each[score]["value"]) for each in front)
        axes.plot(*zip(*places, strict=True), color=_GREY, linewidth=1, zorder=1)
        axes.set_xscale("log")
        speeds = [each["images_per_second"] for each in found["recipes"]]
        ticks = _ticks(speeds)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlim(_limits(speeds, ticks))
        axes.set(xlabel="images/s on this machine", ylabel=score.replace("_", " "))
    for what, colour in colours.items():
        both[1].plot([], [], "-", color=colour, label=what)
    for kind in dict.fromkeys(map(_kind, found["recipes"])):
        both[1].plot([], [], _MARKERS[kind], color=_GREY, label=kind)
    rows = f"{counted(found['rows'], 'row')} in {counted(found['classes'], 'class')}"
    figure.suptitle(f"cross-validated on {rows}, 95 % intervals; the line is the front", fontsize=9)
    figure.legend(loc="outside right upper", fontsize=8)
    return save_figure(figure, path)


def _draw(axes: "Axes", each: dict, name: str, colour: str) -> None:
    score, speed = each[name], each["images_per_second"]
    ends = [[score["value"] - score["low"]], [score["high"] - score["value"]]]
    marker, filled = _MARKERS[_kind(each)], colour if each["on_front"] else "white"
    axes.errorbar(
        [speed], [score["value"]], ends, fmt=marker, color=colour, markerfacecolor=filled, capsize=2
    )


def _what(each: dict) -> str:
    """Return what has a colour of its own: backbone, size and layers of each pass."""
    words = name_of(
        [Pass(one["backbone"], one["image_size"], "", tuple(one["layers"])) for one in each["passes"]]
    )
    return " ".join(words.split())


def _kind(each: dict) -> str:
    return each["passes"][0]["arithmetic"] if len(each["passes"]) == 1 else _JOINED


def _limits(speeds: list[float], ticks: list[float]) -> tuple[float, float]:
    """Return the ends of the axis: close to the speeds, or at the ticks where fewer than two were in sight.

    Examples
    --------
    >>> _limits([8.0, 75.0], [5.0, 10.0, 20.0, 50.0, 100.0]), _limits([30.0], [20.0, 50.0])
    ((6.4, 93.75), (20.0, 50.0))
    """
    low, high = min(speeds) / _MARGIN, max(speeds) * _MARGIN
    if sum(low <= tick <= high for tick in ticks) > 1:
        return low, high
    return min(low, ticks[0]), max(high, ticks[-1])


def _ticks(speeds: list[float]) -> list[float]:
    """Return numbers for a logarithmic axis.

    Examples
    --------
    >>> _ticks([8.0, 75.0])
    [5.0, 10.0, 20.0, 50.0, 100.0]
    """
    steps = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    first = max((step for step in steps if step <= min(speeds)), default=steps[0])
    last = min((step for step in steps if step >= max(speeds)), default=steps[-1])
    return [step for step in steps if first <= step <= last]
