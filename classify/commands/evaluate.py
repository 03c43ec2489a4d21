"""The command python -m classify evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import (
    CorrectionsFile,
    Join,
    ScoresAsJson,
    UnseenOnly,
    corrected,
    corrections_lines,
    grouped,
    score_number,
)
from classify.scores.intervals import SCORES, score_text
from data.console import say_warnings, show
from data.names import padded, short_names, shortened, table_lines, width_of
from data.text import counted, some_of
from extract.commands.options import GroupsFile

if TYPE_CHECKING:
    from classify.judge import Judged

_STDOUT = Path("-")


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE [BUNDLE] FILE...",
            help="One folder that train wrote, or two to compare, and feature files of their recipes.",
        ),
    ],
    split: Annotated[str | None, typer.Option(help="train, validation or test (default).")] = None,
    cv: Annotated[
        int | None, typer.Option(help="Folds of a cross-validation on training and validation rows.")
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Say whether more labels would help.")
    ] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures, as PNG.")] = None,
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="List every wrong row as CSV; - prints it.")
    ] = None,
    unseen_only: UnseenOnly = False,
    join: Join = "strict",
    corrections: CorrectionsFile = None,
    groups: GroupsFile = None,
    as_json: ScoresAsJson = False,
) -> None:
    """Judge a head on one split, with 95 % intervals, or train it anew in a cross-validation.

    Two bundles are judged on the same rows and compared by McNemar's test. With --corrections the
    scores are given by the corrected labels, and the accuracy also by those of the files.

    Example: python -m classify evaluate photos-logistic photos.h5 --split test
    """
    from classify.bundle.bundle import Bundle
    from classify.features.applied import others_warning
    from classify.features.load import load_features
    from classify.judge import Judging, judge
    from classify.scores.figures import check_figures
    from classify.scores.mistakes import check_mistakes, mistakes_csv, write_mistakes

    folders, files = _divided(paths)
    if unseen_only and (split == "train" or cv is not None):
        raise typer.BadParameter("--unseen-only goes with the validation or the test rows of --split")
    if cv is not None and split is not None:
        raise typer.BadParameter("a cross-validation takes training and validation rows; leave --split out")
    if len(folders) == 2 and (cv is not None or errors):
        left_out = "--errors" if errors else "--cv"
        raise typer.BadParameter(f"two bundles are compared on one split; leave {left_out} out")
    if groups and cv is None and not learning_curve:
        raise typer.BadParameter("--groups goes with --cv and --learning-curve, which keep groups whole")
    printed = errors == _STDOUT
    if printed and as_json:
        raise typer.BadParameter("choose one of --errors - and --json, which lists wrong rows too")
    if errors and not printed:
        check_mistakes(errors)
    for drawn in _figure_folders(figures, len(folders)):
        check_figures(drawn)
    bundles = [Bundle.load(folder) for folder in folders]
    before = grouped(load_features(files, join=join), groups)
    features = corrected(before, corrections)
    for folder, bundle in zip(folders, bundles, strict=True):
        if bundle.trained_on(features):
            trained = bundle.provenance.get("corrections")
            say_warnings(others_warning(str(folder), trained, features.corrections))
        if unseen_only:
            features, before = (each.without(split or "test", bundle.seen) for each in (features, before))
    how = Judging(split or "test", cv, learning_curve)
    scored = [judge(bundle, features, how, before) for bundle in bundles]
    for bundle in bundles:
        say_warnings(features.arithmetic_warnings(bundle.feature_sets))
    if figures:
        _draw(figures, scored)
    if errors and not printed:
        write_mistakes(errors, scored[0].mistakes)
        scored[0].report["errors_file"] = str(errors)
    if printed:
        show(mistakes_csv(scored[0].mistakes).removesuffix("\n").split("\n"), list, as_json=False)
    elif len(scored) == 1:
        show(scored[0].report, report_lines, as_json)
    else:
        show(_comparison(folders, scored), comparison_lines, as_json)


def _divided(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the bundles and the feature files among paths."""
    from classify.bundle.folder import is_bundle

    bundles = 2 if len(paths) > 2 and is_bundle(paths[1]) else 1
    if len(paths) <= bundles or sum(map(is_bundle, paths)) > 2:
        raise typer.BadParameter(
            f"name one or two bundles, then feature files; received {counted(len(paths), 'path')}"
        )
    return paths[:bundles], paths[bundles:]


def _figure_folders(folder: Path | None, reports: int) -> list[Path]:
    """Return the folder for the figures of one report, or its folders first and second for those of two."""
    if folder is None:
        return []
    return [folder] if reports == 1 else [folder / "first", folder / "second"]


def _draw(folder: Path, scored: list["Judged"]) -> None:
    from classify.scores.figures import write_figures

    for path, each in zip(_figure_folders(folder, len(scored)), scored, strict=True):
        each.report["figures"] = [str(name) for name in write_figures(path, each.report, each.y, each.proba)]


def _comparison(folders: list[Path], scored: list["Judged"]) -> dict:
    from classify.scores.evaluate import mcnemar

    reports = [{"bundle": str(folder), **each.report} for folder, each in zip(folders, scored, strict=True)]
    predicted = [each.proba.argmax(axis=1) for each in scored]
    return {"bundles": reports, "mcnemar": mcnemar(scored[0].y, *predicted)}


_HEAD = 16  # cells of a terminal, at most, of a name above its column
_MATRIX = 20  # classes, at most, whose confusion matrix is shown
_TOO_WIDE = "the confusion matrix is wider than a terminal: --json has it, --figures draws it"
_WORST = 10  # rows, pairs of classes, and, without the matrix, classes
_WIDTH = 80  # cells of a terminal
_FILE, _LABEL = 36, 14  # cells, at most, of the columns of images and of labels


def report_lines(report: dict) -> list[str]:
    """Lay out the scores of `classify.scores.evaluate.evaluate` for people."""
    lines = [f"{report['split']}, {counted(report['rows'], 'row')}; 95 % intervals in brackets"]
    lines += corrections_lines(report)
    lines += [f"{name:<18}{score_text(report[name])}" for name in SCORES if name in report]
    if before := report.get("before_corrections"):
        score = score_text(before["accuracy"])
        lines.append(
            f"{'uncorrected':<18}{score} accuracy by the files' labels, {counted(before['rows'], 'row')}"
        )
    lines += [f"{name:<18}undefined: {reason}" for name, reason in report.get("undefined", {}).items()]
    if "fold_accuracies" in report:
        folds = report["fold_accuracies"]
        lines.append(f"{'folds':<18}{min(folds):.4f} lowest, {max(folds):.4f} highest accuracy")
    classes = report["classes"]
    names = short_names(row["name"] for row in classes)
    if len(classes) <= _MATRIX:
        matrix = _confusion_lines(report, names)
        fits = width_of(matrix) <= _WIDTH
        lines += [*_class_lines(classes, names), *(matrix if fits else [_TOO_WIDE])]
    else:
        lines += [f"the {_WORST} weakest of {len(classes)} classes", *_class_lines(_weakest(classes), names)]
    if len(classes) > 2:
        lines += _pair_lines(report["confused"])
    lines += _mistake_lines(report["errors"])
    absent = [names[row["name"]] for row in report["classes"] if not row["rows"]]
    if absent:
        lines.append(f"no rows of {some_of(absent, 10)}: judged on the others")
    if "learning_curve" in report:
        lines += curve_lines(report["learning_curve"])
    return lines + [f"wrote {path}" for path in (*report.get("figures", ()), *_listed(report))]


def _listed(report: dict) -> list[str]:
    return [report["errors_file"]] if "errors_file" in report else []


def _class_lines(classes: list[dict], names: dict[str, str]) -> list[str]:
    width = width_of((names[row["name"]] for row in classes), "class")
    lines = [f"{'class':<{width}}{'rows':>7}{'precision':>11}{'recall':>9}{'f1':>9}"]
    for row in classes:
        precision, recall = ((row[name] or {}).get("value") for name in ("precision", "recall"))
        numbers = (score_number(precision, 11), score_number(recall, 9), score_number(row["f1"], 9))
        lines.append(f"{padded(names[row['name']], width)}{row['rows']:>7}" + "".join(numbers))
    return lines


def _weakest(classes: list[dict]) -> list[dict]:
    return sorted((row for row in classes if row["rows"]), key=lambda row: row["recall"]["value"])[:_WORST]


def _pair_lines(pairs: list[dict]) -> list[str]:
    if not pairs:
        return []
    names = _labels(pairs)
    rows = [
        (names[pair["label"]], names[pair["predicted"]], str(pair["rows"]), f"{pair['share']:.1%}")
        for pair in pairs[:_WORST]
    ]
    lines = table_lines(("label", "taken for", "rows", "of label"), rows, ("rows", "of label"))
    return [_first(pairs, "confused pair"), *lines]


def _mistake_lines(errors: list[dict]) -> list[str]:
    if not errors:
        return []
    names = _labels(errors)
    rows = [
        (
            shortened(row["id"], _FILE),
            names[row["label"]],
            names[row["predicted"]],
            score_number(row["label_probability"], 6),
        )
        for row in errors[:_WORST]
    ]
    lines = table_lines(("image", "label", "predicted", "P(label)"), rows, ("P(label)",))
    return [f"{_first(errors, 'wrong row')}, the worst first", *lines]


def _labels(rows: list[dict]) -> dict[str, str]:
    return short_names((row[which] for row in rows for which in ("label", "predicted")), _LABEL)


def _first(found: list[dict], noun: str) -> str:
    number = counted(len(found), noun)
    return number if len(found) <= _WORST else f"{_WORST} of {number}"


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
        "trained on  accuracy  deviation  lowest  highest  <- on "
        + counted(curve["validation_rows"], "validation row")
    ]
    for point in curve["points"]:
        values = (point["mean"], point["standard_deviation"], min(point["values"]), max(point["values"]))
        numbers = map(score_number, values, (10, 11, 8, 9))
        lines.append(f"{point['rows']:>10}" + "".join(numbers))
    return [*lines, curve["more_labels"]]


def _confusion_lines(report: dict, names: dict[str, str]) -> list[str]:
    width = width_of(names.values(), "class")
    heads = short_names(names, _HEAD).values()
    cells = [max(6, width_of([head]) + 2) for head in heads]
    above = (padded(head, cell, right=True) for head, cell in zip(heads, cells, strict=True))
    rows = [
        padded(name, width) + "".join(f"{count:>{cell}}" for count, cell in zip(counts, cells, strict=True))
        for name, counts in zip(names.values(), report["confusion"], strict=True)
    ]
    return [f"{'true':<{width}}" + "".join(above) + "  <- predicted", *rows]
