"""What the commands of classify print for people."""

import csv
import io

from data.names import UNKNOWN, padded, short_names, visible, width_of
from data.text import counted, some_of

_FILE, _HEAD = 60, 16  # cells of a terminal, at most: of the column of files, of a name above its column


def sweep_lines(advice: list[str], outcome: dict) -> list[str]:
    """Lay out `classify.selection.sweep.Outcome` for people: the best twenty, the winner, its test score, advice."""
    lines = [f"{'rank':>4}  {'head':<13}{'validation accuracy':<27}{'log loss':>8}{'seconds':>9}  parameters"]
    for rank, row in enumerate(outcome["leaderboard"][:20], 1):
        score = score_text({**row["accuracy"], "value": row["mean"]})
        deviation = f" ±{row['deviation']:.4f}" if len(row["accuracies"]) > 1 else ""
        params = " ".join(f"{name}={value}" for name, value in row["params"].items())
        lines.append(
            f"{rank:>4}  {row['head']:<13}{score + deviation:<27}{row['log_loss']:>8.4f}"
            f"{row['seconds']:>9.2f}  {params}".rstrip()
        )
    winner, count = outcome["winner"], len(outcome["leaderboard"])
    params = "".join(f" --param {name}={value}" for name, value in winner["params"].items())
    lines.append(f"winner: {winner['head']}{params}, of {count}, in {outcome['seconds']:.1f} s")
    if outcome["test"]:
        score = score_text(outcome["test"]["accuracy"])
        lines.append(f"test, read once: {score} accuracy on {counted(outcome['test']['rows'], 'row')}")
    return [*lines, f"saved {outcome['bundle']}", *advice]


def score_text(score: dict) -> str:
    """Lay out a score with its interval.

    Examples
    --------
    >>> score_text({"value": 0.97, "low": 0.93, "high": 0.99})
    '0.9700 [0.9300, 0.9900]'
    """
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


def training_lines(advice: list[str], values: dict) -> list[str]:
    """Lay out the scores of a training on a feature file for people, and `classify.scores.judging.advice`."""
    reports = {split: values[split] for split in ("train", "validation") if split in values}
    return [
        *(
            f"{split:<12}{score_text(report['accuracy'])} accuracy on {counted(report['rows'], 'row')}"
            for split, report in reports.items()
        ),
        *([f"temperature {values['temperature']:.4f}"] if values["temperature"] != 1 else []),
        f"saved {values['bundle']}",
        *advice,
    ]


def report_lines(report: dict) -> list[str]:
    """Lay out the scores of `classify.scores.evaluate.evaluate` for people."""
    lines = [f"{report['split']}, {counted(report['rows'], 'row')}; 95 % intervals in brackets"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "roc_auc"):
        if name in report:
            lines.append(f"{name:<18}{score_text(report[name])}")
    lines += [f"{name:<18}undefined: {reason}" for name, reason in report.get("undefined", {}).items()]
    if "fold_accuracies" in report:
        folds = report["fold_accuracies"]
        lines.append(f"{'folds':<18}{min(folds):.4f} lowest, {max(folds):.4f} highest accuracy")
    names = short_names(row["name"] for row in report["classes"])
    width = width_of(names.values(), "class")
    lines.append(f"{'class':<{width}}{'rows':>7}{'precision':>11}{'recall':>9}{'f1':>9}")
    for row in report["classes"]:
        precision, recall = ((row[name] or {}).get("value") for name in ("precision", "recall"))
        numbers = (_number(precision, 11), _number(recall, 9), _number(row["f1"], 9))
        lines.append(f"{padded(names[row['name']], width)}{row['rows']:>7}" + "".join(numbers))
    lines += _confusion_lines(report, names, width)
    absent = [names[row["name"]] for row in report["classes"] if not row["rows"]]
    if absent:
        lines.append(f"no rows of {some_of(absent, 10)}: judged on the others")
    if "learning_curve" in report:
        lines += curve_lines(report["learning_curve"])
    return lines + [f"wrote {path}" for path in report.get("figures", ())]


def comparison_lines(values: dict) -> list[str]:
    """Lay out the scores of two bundles on the same rows, and McNemar's comparison, for people."""
    lines = []
    for report in values["bundles"]:
        lines += [report["bundle"], *report_lines(report), ""]
    compared = values["mcnemar"]
    return [
        *lines,
        "the first against the second, McNemar's exact test",
        f"{'both right':<18}{compared['both_right']}",
        f"{'only the first':<18}{compared['only_first']}",
        f"{'only the second':<18}{compared['only_second']}",
        f"{'both wrong':<18}{compared['both_wrong']}",
        f"{'difference':<18}{score_text(compared['difference'])} of accuracy",
        f"{'p_value':<18}{compared['p_value']:.4g}",
    ]


def finetune_lines(report: dict) -> list[str]:
    """Lay out what `classify.finetuning.finetune.finetune` returns for people."""
    numbers = [f"{report['parameters'][name]:,}" for name in ("total", "trainable", "non_trainable")]
    lines = [
        "parameters  {}, of which {} train and {} do not".format(*numbers),
        f"frozen      unchanged, digest {report['frozen_digest'][:16]}",
    ]
    if report["start_loss"] is not None:
        lines.append(f"start       validation loss {report['start_loss']:.4f}")
    for number, epoch in enumerate(report["history"], 1):
        held = f", validation loss {epoch['val_loss']:.4f}" if "val_loss" in epoch else ""
        best = "  <- kept" if number == report["best_epoch"] else ""
        lines.append(f"epoch {number:<6}loss {epoch['loss']:.4f}{held}, {epoch['seconds']:.1f} s{best}")
    for name in ("before", "after"):
        if name in report:
            score = score_text(report[name]["accuracy"])
            lines.append(f"{name:<12}{score} accuracy on {counted(report[name]['rows'], 'test row')}")
    saved = f"saved {report['bundle']}, {report['seconds']:.1f} s"
    return [*lines, report["verdict"], saved]


def curve_lines(curve: dict) -> list[str]:
    """Lay out a learning curve for people.

    Examples
    --------
    >>> point = {"rows": 9, "mean": 0.5, "standard_deviation": None, "values": [0.5]}
    >>> curve = {"points": [point], "validation_rows": 4, "more_labels": "more labels would help"}
    >>> print("\\n".join(curve_lines(curve)))
    trained on  accuracy  deviation  lowest  highest  <- on 4 validation rows
             9    0.5000          -  0.5000   0.5000
    more labels would help
    """
    lines = [
        f"trained on  accuracy  deviation  lowest  highest  <- on {curve['validation_rows']} validation rows"
    ]
    for point in curve["points"]:
        values = (point["mean"], point["standard_deviation"], min(point["values"]), max(point["values"]))
        numbers = map(_number, values, (10, 11, 8, 9))
        lines.append(f"{point['rows']:>10}" + "".join(numbers))
    return [*lines, curve["more_labels"]]


def prediction_lines(predictions: list[dict]) -> list[str]:
    """Lay out predictions for people; an abstention is told apart from a class of that name."""
    names = short_names(row["label"] for row in predictions if row["label"] and not row["unknown"])
    labels = [UNKNOWN if row["unknown"] else names.get(row["label"], "") for row in predictions]
    files = [visible(row["file"]) for row in predictions]
    width, cells = min(_FILE, width_of(files, "file")), width_of(labels, "label")
    lines = [f"{'file':<{width}}  {'label':<{cells}}  probability"]
    for row, file, label in zip(predictions, files, labels, strict=True):
        said = row["error"] or f"{padded(label, cells)}  {_number(row['probability'], 6)}"
        lines.append(f"{padded(file, width)}  {said}")
    return lines


def csv_lines(predictions: list[dict]) -> list[str]:
    """Lay out predictions as CSV: file, label, probability, error and, where it was asked for, unknown."""
    text = io.StringIO()
    columns = ["file", "label", "probability", "error"]
    if any(row["unknown"] is not None for row in predictions):
        columns.append("unknown")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(predictions)
    return text.getvalue().removesuffix("\n").split("\n")


def _number(value: float | None, width: int) -> str:
    return f"{'-' if value is None else format(value, '.4f'):>{width}}"


def _confusion_lines(report: dict, names: dict[str, str], width: int) -> list[str]:
    heads = short_names(names, _HEAD).values()
    cells = [max(6, width_of([head]) + 2) for head in heads]
    above = (padded(head, cell, right=True) for head, cell in zip(heads, cells, strict=True))
    rows = [
        padded(name, width) + "".join(f"{count:>{cell}}" for count, cell in zip(counts, cells, strict=True))
        for name, counts in zip(names.values(), report["confusion"], strict=True)
    ]
    return [f"{'true':<{width}}" + "".join(above) + "  <- predicted", *rows]


def export_lines(values: dict) -> list[str]:
    """Lay out what `classify.bundle.export.export` returned for people.

    Examples
    --------
    >>> values = {"file": "m.keras", "card": "m.keras.json", "class_names": ["cat", "dog"]}
    >>> values |= {"input_shape": [None, None, None, 3], "output_shape": [None, 2]}
    >>> values |= {"checked_images": 16, "largest_difference": 3e-7}
    >>> print("\\n".join(export_lines(values)))
    wrote m.keras, class names in m.keras.json
    input   any x any x any x 3, RGB in 0..255
    output  any x 2, probabilities of cat, dog
    within 3e-07 of the head on 16 images
    """
    taken, given = (
        " x ".join(str(side or "any") for side in values[f"{end}put_shape"]) for end in ("in", "out")
    )
    default = values.get("largest_difference_by_default")
    return [
        f"wrote {values['file']}, class names in {values['card']}",
        f"input   {taken}, RGB in 0..255",
        f"output  {given}, probabilities of {some_of(list(short_names(values['class_names']).values()), 10)}",
        f"within {values['largest_difference']:.2g} of the head on {values['checked_images']} images"
        + (f" (by OpenVINO's default options {default:.2g})" if default else ""),
    ]


def benchmark_lines(report: dict) -> list[str]:
    """Lay out what `classify.benchmark.report.report_of` returns for people."""
    rows = ", ".join(f"{number} {split}" for split, number in report["split_rows"].items())
    size = "x".join(map(str, report["image_size"]))
    head = f"{'arm':<24}{'epochs':>8}{'s/epoch':>9}{'s in all':>10}{'s, all epochs':>21}"
    lines = [
        f"{report['source']}: {rows} rows; 95 % intervals",
        f"{report['backbone']} {size}, seed {report['seed']}, {counted(report['cores'], 'core')}",
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
