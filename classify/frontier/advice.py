"""What is printed: the table, what follows from it, and the commands that go on."""

from collections.abc import Iterable
from dataclasses import dataclass
from shlex import join

from classify.frontier.grid import Request
from classify.frontier.race import Entrant
from classify.scores.intervals import score_text
from data.names import table_lines
from data.progress import duration
from data.text import counted
from extract.run.assemble import allowed_rejections
from extract.run.options import Options

_HEADS = ("recipe", "log loss", "accuracy", "images/s", "time", "size")
_FOR_CPUS = ("efficientnetlite0", "efficientnetlite2")  # by benchmarks/backbones.py
_RIGHT = ("images/s", "time", "size")


@dataclass(frozen=True)
class Place:
    """What a user calls the source, for the commands that go on with it.

    Attributes
    ----------
    text : str
        As ``extract run`` takes it.
    options : tuple of str
        Of ``extract run`` that open it.
    output : str
        How feature files of it begin.
    request : Request, optional
        What was asked of the frontier.
    """

    text: str
    options: tuple[str, ...] = ()
    output: str = "features"
    request: Request | None = None


def commands(place: Place, entrants: Iterable[Entrant]) -> list[str]:
    """Return the lines that extract all of the source, without the sample's images, and train a head."""
    lines, files = [], []
    for each in entrants:
        file = f"{place.output}-{each.of.stem}.h5"
        seen = place.request.seen_by(each.of.backbone).options() if place.request else []
        words = ["extract", "run", place.text, "-o", file, *each.of.options(), *seen, *place.options]
        lines.append(f"python -m {join([*words, '--reuse', str(each.path)])}")
        files.append(file)
    return [*lines, f"python -m {join(['classify', 'train', *files])}"]


def frontier_lines(found: dict) -> list[str]:
    """Lay out a frontier for people.

    Examples
    --------
    >>> score = {"value": 0.5, "low": 0.25, "high": 0.75}
    >>> recipe = {"name": "xception 150 px int8", "log_loss": score, "accuracy": score, "on_front": True,
    ...           "images_per_second": 50.0, "speed_is_uncertain": False, "against_best": None,
    ...           "projected": {"seconds": 40.0, "bytes": 16_400_000}}
    >>> found = {"rows": 600, "unreadable": 0, "classes": 2, "images": 2002, "recipes": [recipe],
    ...          "stopped": [], "left_out": [], "best": recipe["name"], "alike": [recipe["name"]],
    ...          "named": recipe["name"], "comparisons": 1, "commands": ["python -m extract run photos"],
    ...          "figure": "f/frontier.png"}
    >>> lines = frontier_lines(found)
    >>> lines[0]
    'cross-validated on 600 rows in 2 classes; time and size of all 2,002 images are projected'
    >>> " ".join(lines[2].split()[:8])
    '* xception 150 px int8 0.5000 [0.2500, 0.7500]'
    >>> lines[-2]
    'next: python -m extract run photos'
    """
    rows, of = [_row(each) for each in found["recipes"]], counted(found["classes"], "class")
    return [
        f"cross-validated on {counted(found['rows'], 'row')} in {of}; time and size of all "
        f"{found['images']:,} images are projected",
        *_told_unreadable(found),
        *table_lines(_HEADS, rows, _RIGHT),
        "* on the front: none is both faster and better",
        *_told_uncertain(found),
        *_compared(found),
        *_told_alike(found),
        *_told_stopped(found),
        *_told_left_out(found),
        *_told_faster(found),
        f"named: {found['named'] or 'none'}",
        *(f"{'next' if not number else 'then'}: {line}" for number, line in enumerate(found["commands"])),
        f"drawn in {found['figure']}",
    ]


def _row(each: dict) -> tuple[str, ...]:
    projected = each["projected"]
    return (
        f"{'*' if each['on_front'] else ' '} {each['name']}",
        score_text(each["log_loss"]),
        score_text(each["accuracy"]),
        f"{'~' if each['speed_is_uncertain'] else ''}{each['images_per_second']:.1f}",
        duration(projected["seconds"]),
        f"{projected['bytes'] / 1e6:.1f} MB",
    )


def _told_unreadable(found: dict) -> list[str]:
    bad, drawn = found["unreadable"], found["rows"] + found["unreadable"]
    if not bad:
        return []
    many = bad > allowed_rejections(Options.max_bad, drawn)
    todo = ": mend or remove them, or give extract run --max-bad" if many else ""
    return [f"cannot be read: {bad} of the {counted(drawn, 'image')} of the sample{todo}"]


def _told_uncertain(found: dict) -> list[str]:
    if not any(each["speed_is_uncertain"] for each in found["recipes"]):
        return []
    return ["~ uncertain: measured on fewer than 64 images, or in less than a second; take more --rows"]


def _compared(found: dict) -> list[str]:
    """Lay out what each recipe has above the best on the same rows and folds."""
    others = [each for each in found["recipes"] if each["against_best"]]
    if not others:
        return []
    several = found["comparisons"]
    told = "95 % intervals" if several == 1 else f"{several} intervals that hold together in 95 %"
    rows = [_compared_row(each) for each in sorted(others, key=lambda each: each["log_loss"]["value"])]
    heads = ("against the best", "log loss", "accuracy", "rows to tell")
    return [f"compared with {found['best']}, on the same rows and folds; {told}", *table_lines(heads, rows)]


def _compared_row(each: dict) -> tuple[str, ...]:
    against = each["against_best"]
    needed = against["rows_to_tell"]
    about = "no difference" if needed is None else f"about {needed:,}"
    gaps = (
        f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"
        for gap in (against["log_loss"], against["accuracy"])
    )
    return (f"  {each['name']}", *gaps, about if against["alike"] else "told apart")


def _told_alike(found: dict) -> list[str]:
    judged = {each["name"] for each in found["recipes"]}
    others = [name for name in found["alike"] if name != found["best"]]
    if len(judged) + len(found["stopped"]) == 1:
        return [f"best: {found['best']}, the only one that was tried"]
    if not others:
        return [f"best: {found['best']}; these rows tell it from all others"]
    shown = [name for name in others if name in judged]
    more = len(others) - len(shown)
    words = [*shown, *([f"{more} of those that were stopped"] if more else [])]
    return [
        f"best: {found['best']}; these rows cannot tell it from {', '.join(words)}",
        *([f"the fastest of these: {_fastest(found, [found['best'], *shown])}"] if shown else []),
    ]


def _fastest(found: dict, names: list[str]) -> str:
    return max(
        (each for each in found["recipes"] if each["name"] in names),
        key=lambda each: each["images_per_second"],
    )["name"]


def _told_stopped(found: dict) -> list[str]:
    """Say what was stopped, in one line for each round and each recipe that stopped it."""
    by_cause: dict[tuple[int, str], list[str]] = {}
    for each in found["stopped"]:
        by_cause.setdefault((each["rows"], each["behind"]), []).append(each["name"])
    return [
        f"stopped at {rows} rows, adding nothing to {faster}: {', '.join(names)}"
        for (rows, faster), names in by_cause.items()
    ]


def _told_faster(found: dict) -> list[str]:
    """Name the backbones that were measured to be better on CPUs, where none of them was tried."""
    passes = [one for each in [*found["recipes"], *found["stopped"]] for one in each.get("passes", ())]
    tried = list(dict.fromkeys(one["backbone"] for one in passes))
    if not tried or set(tried) & set(_FOR_CPUS):
        return []
    return [
        f"not tried: {' and '.join(_FOR_CPUS)}, made for CPUs: --backbones {','.join([*tried, *_FOR_CPUS])}"
    ]


def _told_left_out(found: dict) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for each in found["left_out"]:
        by_reason.setdefault(each["reason"], []).append(each["name"])
    return [f"left out: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
