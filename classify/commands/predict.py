"""The command python -m classify predict."""

import os
from pathlib import Path
from typing import Annotated

import typer

from classify.commands.options import BundleFolder, score_number
from data.console import say, show
from data.names import UNKNOWN, padded, short_names, shortened, width_of
from data.output.csv_file import csv_text
from data.text import counted

_FILE = 60  # cells of a terminal, at most, of the column of files


def prediction_lines(predictions: list[dict]) -> list[str]:
    """Lay out predictions for people; an abstention is told apart from a class of that name."""
    names = short_names(row["label"] for row in predictions if row["label"] and not row["unknown"])
    labels = [UNKNOWN if row["unknown"] else names.get(row["label"], "") for row in predictions]
    files = [shortened(name, _FILE) for name in below_common([row["file"] for row in predictions])]
    width, cells = width_of(files, "file"), width_of(labels, "label")
    lines = [f"{'file':<{width}}  {'label':<{cells}}  probability"]
    for row, file, label in zip(predictions, files, labels, strict=True):
        said = row["error"] or f"{padded(label, cells)}  {score_number(row['probability'], 6)}"
        lines.append(f"{padded(file, width)}  {said}")
    return lines


def below_common(files: list[str]) -> list[str]:
    """Return the paths below the folder that all have in common; of one file its name.

    Examples
    --------
    >>> below_common(["/a/b/c/1.jpg", "/a/b/2.jpg"]), below_common(["x/1.jpg"])
    (['c/1.jpg', '2.jpg'], ['1.jpg'])
    """
    paths = [Path(file) for file in files]
    if len({path.is_absolute() for path in paths}) != 1:
        return files
    common = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(common)) for path in paths]


def csv_lines(predictions: list[dict]) -> list[str]:
    """Lay out predictions as CSV: file, label, probability, error and, where it was asked for, unknown."""
    columns = ["file", "label", "probability", "error"]
    if any(row["unknown"] is not None for row in predictions):
        columns.append("unknown")
    text = csv_text(columns, ([row[name] for name in columns] for row in predictions))
    return text.removesuffix("\n").split("\n")


def predict(
    bundle: BundleFolder,
    images: Annotated[list[Path], typer.Argument(readable=False, help="Image files or folders.")],
    abstain: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Say (unknown) of images unlike the training images, and of this share of others.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all probabilities.")] = False,
) -> None:
    """Classify images; backbone, size and weights are those of the bundle.

    Exits with 1 if an image cannot be read; the others are classified all the same.

    Example: python -m classify predict photos-logistic new.jpg more/
    """
    from classify.bundle.bundle import Bundle

    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    predictions = Bundle.load_predictor(bundle)(images, abstain)
    values = [prediction.to_dict() for prediction in predictions]
    show(values, csv_lines if as_csv else prediction_lines, as_json)
    unread = [prediction for prediction in predictions if prediction.error]
    if unread:
        say(f"{len(unread)} of {counted(len(predictions), 'image')} could not be read")
        raise typer.Exit(1)
