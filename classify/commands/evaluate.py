"""The command python -m classify evaluate."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import Join, ScoresAsJson
from classify.commands.show import comparison_lines, report_lines
from data.console import show
from data.text import counted

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
