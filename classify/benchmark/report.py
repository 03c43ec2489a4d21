"""What the arms of a benchmark say together: costs, accuracies, break-even, and where caching loses."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean

import numpy as np

from classify.benchmark.arms import Arm
from classify.scores.evaluate import mcnemar
from classify.scores.intervals import score_text, wilson
from data.text import counted

_BELOW = 0.01  # of accuracy: how far the target lies below what the cached head reaches
NOTES = (
    "seconds in all: from the start of a process of its own to the end of training, with libraries, backbone "
    "and decoding; every arm in the graph decodes the images once and keeps the pixels",
    "the first epoch of an arm in the graph holds the compilation of its graph; seconds per epoch are the "
    "mean of the later ones, where there are any",
    "extraction covers training, validation and test rows; weights, and a backbone converted by an earlier "
    "run, come from the cache of this user",
    "the break-even counts every head, cached or live, with the start of a process of its own",
    "fine-tuning starts from the cached head, whose cold seconds are in its seconds in all",
    "every arm keeps its epoch of the lowest validation loss; accuracy is that on the test rows",
)


def epochs_that_fit(seconds: float, epoch: float, most: int) -> int:
    """Return how many epochs of that many seconds fit into the seconds that are left.

    Examples
    --------
    >>> epochs_that_fit(100, 30, 19), epochs_that_fit(100, 1, 19), epochs_that_fit(-5, 30, 19)
    (3, 19, 0)
    """
    return most if epoch <= 0 else max(0, min(most, int(seconds // epoch)))


def steady(seconds: Sequence[float]) -> float:
    """Return the seconds of an epoch: the mean, without the first, which compiles, where there are more.

    Examples
    --------
    >>> steady([9.0]), steady([9.0, 2.0, 4.0])
    (9.0, 3.0)
    """
    return mean(seconds[1:] or seconds)


def all_epochs(seconds: float, epochs: Sequence[float], planned: int) -> dict:
    """Return the seconds that all planned epochs take, projected where some were not trained.

    Parameters
    ----------
    seconds : float
        Measured, in all.
    epochs : sequence of float
        Measured seconds of each epoch.
    planned : int

    Examples
    --------
    >>> all_epochs(20.0, [9.0, 2.0, 4.0], 5), all_epochs(20.0, [9.0, 2.0, 4.0], 3)
    ({'seconds': 26.0, 'projected': True}, {'seconds': 20.0, 'projected': False})
    """
    missing = planned - len(epochs)
    return {"seconds": seconds + missing * steady(epochs), "projected": missing > 0}


def break_even(once: float, each_cached: float, each_live: float) -> int | None:
    """Return the fewest heads with which extraction has paid for itself; None if it never does.

    The smallest n with ``once + n * each_cached <= n * each_live``.

    Examples
    --------
    >>> break_even(100, 1, 51), break_even(100, 1, 500), break_even(100, 5, 5)
    (2, 1, None)
    """
    gain = each_live - each_cached
    return max(1, math.ceil(once / gain)) if gain > 0 else None


def time_to(curve: Sequence[Sequence[float]], target: float) -> float | None:
    """Return when a curve of (seconds, accuracy) first has the target; None if it never has.

    Examples
    --------
    >>> time_to([(1, 0.5), (2, 0.9), (3, 0.8)], 0.8), time_to([(1, 0.5)], 0.8)
    (2, None)
    """
    return next((seconds for seconds, accuracy in curve if accuracy >= target), None)


def report_of(run: dict, arms: Mapping[str, Arm], results: Mapping[str, dict], notes: Sequence[str]) -> dict:
    """Put together what the arms measured.

    Parameters
    ----------
    run : dict
        What was asked for: ``target`` and more, which the report repeats.
    arms : mapping of str to Arm
    results : mapping of str to dict
        Of each arm's process.
    notes : sequence of str
        What is to be said before the notes of every benchmark.

    Returns
    -------
    dict
        ``arms``, one for each line of the table; ``comparisons``: McNemar's test of each pair;
        ``warm_epoch_speedup``; ``break_even_heads`` and ``break_even_epochs``; ``findings``, in
        words; ``notes``. Whatever is extrapolated is marked ``projected``.
    """
    cached = results["cached"]
    target = run["target"]
    if target is None:
        target = max(accuracy for _, accuracy in cached["curve"]) - _BELOW
    cold = results["extract"]["seconds"]
    rows = [_row("cached-cold", "cached features, cold", 20, cached, target, cold)]
    rows[0]["peak_memory"] = max(cached["peak_memory"], results["extract"]["peak_memory"])
    rows.append(_row("cached-warm", "cached features, warm", 20, cached, target))
    for name, arm in arms.items():
        if arm.options:
            before = rows[0]["seconds"] if arm.transplants else 0.0
            rows.append(_row(name, arm.label, arm.epochs, results[name], target, before))
            rows[-1]["parameters"] = results[name]["parameters"]
    warm, live = rows[1], rows[2]
    report = {
        **run,
        "target": target,
        "engine": results["extract"]["engine"],
        "extraction_seconds": cold,
        "rejected": results["extract"]["rejected"],
        "arms": rows,
        "comparisons": _comparisons(results),
        "warm_epoch_speedup": live["seconds_per_epoch"] / warm["seconds_per_epoch"],
        "break_even_heads": {
            "heads": break_even(cold, warm["total"]["seconds"], live["total"]["seconds"]),
            "projected": live["total"]["projected"],
        },
        "break_even_epochs": _epochs_even(rows[0], live),
    }
    return {**report, "findings": findings(report), "notes": [*notes, *NOTES]}


def _row(name: str, label: str, planned: int, result: dict, target: float, before: float = 0.0) -> dict:
    """Return one line of the table; `before` are the seconds of what the arm builds on."""
    curve = [[before + seconds, accuracy] for seconds, accuracy in result["curve"]]
    right = np.equal(result["labels"], result["predicted"])
    return {
        "name": name,
        "label": label,
        "epochs": len(curve),
        "planned_epochs": planned,
        "seconds_per_epoch": steady(result["epoch_seconds"]),
        "first_epoch_seconds": result["epoch_seconds"][0],
        "seconds": before + result["seconds"],
        "total": all_epochs(before + result["seconds"], result["epoch_seconds"], planned),
        "accuracy": wilson(int(right.sum()), len(right)).to_dict(),
        "target_seconds": time_to(curve, target),
        "best_epoch": result["best_epoch"],
        "peak_memory": result["peak_memory"],
        "curve": curve,
    }


def _comparisons(results: Mapping[str, dict]) -> list[dict]:
    """Compare each pair of arms by McNemar's test, the later against the earlier, on the same test rows."""
    judged = {name: result for name, result in results.items() if "predicted" in result}
    return [
        {"first": later, "second": earlier, **_compared(judged[later], judged[earlier])}
        for earlier, later in combinations(judged, 2)
    ]


def _compared(one: dict, two: dict) -> dict:
    labels = dict(zip(one["ids"], one["labels"], strict=True))
    first, second = (dict(zip(each["ids"], each["predicted"], strict=True)) for each in (one, two))
    ids = [name for name in labels if name in second]
    return mcnemar(*(np.array([values[name] for name in ids]) for values in (labels, first, second)))


def _epochs_even(cold: dict, live: dict) -> dict:
    """Return after how many epochs one live head has taken as long as extraction and the cached head."""
    ends = [seconds for seconds, _ in live["curve"]]
    for number, seconds in enumerate(ends, 1):
        if seconds >= cold["seconds"]:
            return {"epochs": number, "projected": False}
    more = math.ceil((cold["seconds"] - ends[-1]) / live["seconds_per_epoch"])
    return {"epochs": len(ends) + more, "projected": True}


def findings(report: dict) -> list[str]:
    """Say in words what the numbers of a report say: what the cache saves, and where it loses."""
    cold, warm, live = report["arms"][:3]
    heads, epochs = report["break_even_heads"], report["break_even_epochs"]
    paid = f"{heads['heads']}, of {live['planned_epochs']} epochs each"
    if heads["heads"] is None:
        paid = "never, since a live head takes no longer than a cached one"
    first = live["curve"][0][0]
    lines = [
        f"an epoch of the warm head takes {warm['seconds_per_epoch']:.2g} s, of the live one "
        f"{live['seconds_per_epoch']:.2g} s: {report['warm_epoch_speedup']:.3g} times as long",
        "heads until the cache has paid for itself: " + paid + marked(heads["projected"]),
        f"one head and one epoch: live {first:.1f} s, extraction and a cached head {cold['seconds']:.1f} s; "
        + ("caching loses" if first < cold["seconds"] else "caching loses nothing"),
    ]
    if epochs["epochs"] > 1:
        below = f"one head alone: caching loses below {epochs['epochs']} live epochs"
        lines.append(below + marked(epochs["projected"]))
    against = {each["first"]: each for each in report["comparisons"] if each["second"] == "cached"}
    return lines + [gain(row, against[row["name"]]) for row in report["arms"][3:]]


def gain(row: dict, compared: dict) -> str:
    """Say whether an arm is better than the cached head, and at what price; "so far" if it was cut short.

    Examples
    --------
    >>> row = {"label": "live, augmented", "epochs": 2, "planned_epochs": 20, "seconds": 60.0}
    >>> difference = {"value": 0.05, "low": -0.01, "high": 0.1}
    >>> gain(row, {"difference": difference, "p_value": 0.3})  # doctest: +NORMALIZE_WHITESPACE
    'live, augmented, after 2 of 20 epochs and 60.0 s: +0.0500 [-0.0100, +0.1000] of accuracy against the
    cached head, McNemar p 0.3: no measurable difference so far'
    """
    value = compared["difference"]
    verdict = "caching loses" if value["value"] > 0 else "caching wins"
    if compared["p_value"] >= 0.05:
        verdict = "no measurable difference"
    if row["epochs"] < row["planned_epochs"]:
        verdict += " so far"
    done = f"{row['label']}, after {row['epochs']} of {row['planned_epochs']} epochs"
    return (
        f"{done} and {row['seconds']:.1f} s: "
        f"{value['value']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}] of accuracy against the cached "
        f"head, McNemar p {compared['p_value']:.2g}: {verdict}"
    )


def marked(projected: bool) -> str:
    """Return the mark of an extrapolated figure.

    Examples
    --------
    >>> marked(True), marked(False)
    (' (projected)', '')
    """
    return " (projected)" if projected else ""


def benchmark_lines(report: dict) -> list[str]:
    """Lay out what `classify.benchmark.report.report_of` returns for people."""
    rows = ", ".join(f"{number} {split}" for split, number in report["split_rows"].items())
    machine = report["machine"]
    size = "x".join(map(str, report["image_size"]))
    head = f"{'arm':<24}{'epochs':>8}{'s/epoch':>9}{'s in all':>10}{'s, all epochs':>21}"
    lines = [
        f"{report['source']}: {rows} rows; 95 % intervals",
        f"{report['backbone']} {size}, seed {report['seed']}, {counted(machine['cores'], 'core')}"
        + (f" of {machine['processor']}" if machine["processor"] else ""),
        head + f"  {'test accuracy':<25}{'s to ' + format(report['target'], '.4f'):>12}{'peak MB':>9}",
    ]
    for arm in report["arms"]:
        done = f"{arm['epochs']}/{arm['planned_epochs']}"
        total = f"{arm['total']['seconds']:.1f}" + (" projected" if arm["total"]["projected"] else "")
        reached = "-" if arm["target_seconds"] is None else f"{arm['target_seconds']:.1f}"
        lines.append(
            f"{arm['label']:<24}{done:>8}{arm['seconds_per_epoch']:>9.3g}{arm['seconds']:>10.1f}{total:>21}"
            f"  {score_text(arm['accuracy']):<25}{reached:>12}{arm['peak_memory'] / 1e6:>9.0f}"
        )
    lines += ["", "pairs, McNemar's exact test on the test rows"]
    for each in report["comparisons"]:
        pair = f"{each['first']} against {each['second']}"
        lines.append(f"{pair:<38}{score_text(each['difference'])}  p {each['p_value']:.3g}")
    lines += ["", *report["findings"], "", *(f"note: {note}" for note in report["notes"])]
    return [*lines, f"wrote {report['folder']}"]
