"""The command python -m classify evaluate."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import Join, ScoresAsJson, score_number
from classify.scores.intervals import score_text
from data.console import show
from data.names import padded, short_names, width_of
from data.text import counted, some_of

if TYPE_CHECKING:
    import numpy as np

    from classify.bundle.bundle import Bundle
    from classify.features.matrix import FeatureMatrix


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
    unseen_only: Annotated[
        bool, typer.Option("--unseen-only", help="Leave out images that training saw; refused otherwise.")
    ] = False,
    join: Join = "strict",
    as_json: ScoresAsJson = False,
) -> None:
    """Judge a head on one split, with 95 % intervals, or train it anew in a cross-validation.

    Two bundles are judged on the same rows and compared by McNemar's test.

    Example: python -m classify evaluate photos-logistic photos.h5 --split test
    """
    from classify.bundle.bundle import Bundle
    from classify.features.load import load_features
    from classify.scores.figures import check_figures

    folders, files = _divided(paths)
    if unseen_only and (split == "train" or cv is not None):
        raise typer.BadParameter("--unseen-only goes with the validation or the test rows of --split")
    if cv is not None and split is not None:
        raise typer.BadParameter("a cross-validation takes training and validation rows; leave --split out")
    if cv is not None and len(folders) == 2:
        raise typer.BadParameter("two bundles are compared on one split; leave --cv out")
    for drawn in _figure_folders(figures, len(folders)):
        check_figures(drawn)
    bundles = [Bundle.load(folder) for folder in folders]
    features = load_features(files, join=join)
    for bundle in bundles if unseen_only else ():
        features = features.without(split or "test", bundle.seen)
    how = Scoring(split or "test", cv, learning_curve)
    scored = [_scored(bundle, features, how) for bundle in bundles]
    if figures:
        _draw(figures, scored)
    if len(scored) == 1:
        show(scored[0].report, report_lines, as_json)
    else:
        show(_comparison(folders, scored), comparison_lines, as_json)


@dataclass(frozen=True)
class Scoring:
    """What `evaluate` does with each bundle: one split or a cross-validation of so many folds, and more."""

    split: str
    folds: int | None
    learning_curve: bool


@dataclass(frozen=True)
class Scored:
    """The report on one bundle, and the labels and probabilities that it is about."""

    report: dict
    y: "np.ndarray"
    proba: "np.ndarray"


def _divided(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the bundles and the feature files among paths."""
    from classify.bundle.folder import is_bundle

    bundles = 2 if len(paths) > 2 and is_bundle(paths[1]) else 1
    if len(paths) <= bundles or sum(map(is_bundle, paths)) > 2:
        raise typer.BadParameter(
            f"name one or two bundles, then feature files; received {counted(len(paths), 'path')}"
        )
    return paths[:bundles], paths[bundles:]


def _scored(bundle: "Bundle", features: "FeatureMatrix", how: Scoring) -> Scored:
    from classify.scores.cross_validation import cross_validate
    from classify.scores.evaluate import evaluate
    from classify.scores.learning_curve import learning_curve

    if how.folds is None:
        y, proba = bundle.predict_split(features, how.split)
        report = {"split": how.split, **evaluate(y, proba, bundle.class_names)}
    else:
        validated = cross_validate(bundle.head, bundle.select(features), how.folds)
        y, proba = validated.y, validated.proba
        report = {"split": f"{how.folds}-fold cross-validation", **validated.report()}
    if how.learning_curve:
        report["learning_curve"] = learning_curve(bundle.head, bundle.select(features)).to_dict()
    return Scored(report, y, proba)


def _figure_folders(folder: Path | None, reports: int) -> list[Path]:
    """Return the folder for the figures of one report, or its folders first and second for those of two."""
    if folder is None:
        return []
    return [folder] if reports == 1 else [folder / "first", folder / "second"]


def _draw(folder: Path, scored: list[Scored]) -> None:
    from classify.scores.figures import write_figures

    for path, each in zip(_figure_folders(folder, len(scored)), scored, strict=True):
        each.report["figures"] = [str(name) for name in write_figures(path, each.report, each.y, each.proba)]


def _comparison(folders: list[Path], scored: list[Scored]) -> dict:
    from classify.scores.evaluate import mcnemar

    reports = [{"bundle": str(folder), **each.report} for folder, each in zip(folders, scored, strict=True)]
    predicted = [each.proba.argmax(axis=1) for each in scored]
    return {"bundles": reports, "mcnemar": mcnemar(scored[0].y, *predicted)}


_HEAD = 16  # cells of a terminal, at most, of a name above its column


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
        numbers = (score_number(precision, 11), score_number(recall, 9), score_number(row["f1"], 9))
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


def _confusion_lines(report: dict, names: dict[str, str], width: int) -> list[str]:
    heads = short_names(names, _HEAD).values()
    cells = [max(6, width_of([head]) + 2) for head in heads]
    above = (padded(head, cell, right=True) for head, cell in zip(heads, cells, strict=True))
    rows = [
        padded(name, width) + "".join(f"{count:>{cell}}" for count, cell in zip(counts, cells, strict=True))
        for name, counts in zip(names.values(), report["confusion"], strict=True)
    ]
    return [f"{'true':<{width}}" + "".join(above) + "  <- predicted", *rows]
