"""python -m classify: train, sweep, evaluate, predict, export, finetune, benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from classify.bundle.export import FORMATS, check_target
from classify.bundle.export import export as export_bundle
from classify.commands.benchmark import benchmark
from classify.commands.evaluate import evaluate
from classify.commands.finetune import finetune
from classify.commands.options import AsJson, BundleFolder
from classify.commands.show import csv_lines, export_lines, prediction_lines
from classify.commands.sweep import sweep
from classify.commands.train import train
from data.console import command_app, say, show
from data.text import counted

app = command_app("Train heads on a feature file, judge them, and classify new images.")


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
    predictions = Bundle.load(bundle).predict(images, abstain)
    values = [prediction.to_dict() for prediction in predictions]
    show(values, csv_lines if as_csv else prediction_lines, as_json)
    unread = [prediction for prediction in predictions if prediction.error]
    if unread:
        say(f"{len(unread)} of {counted(len(predictions), 'image')} could not be read")
        raise typer.Exit(1)


def export(
    bundle: BundleFolder,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="File, or folder of a saved_model; gets a card .json beside."),
    ],
    format: Annotated[str, typer.Option(help=" | ".join(FORMATS))] = "keras",
    fixed_size: Annotated[
        bool,
        typer.Option("--fixed-size", help="Take images of the recipe's size only; default: of any size."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write backbone and head as one model that needs no Headstart, checked against the head.

    Example: python -m classify export photos-logistic -o photos.keras
    """
    from classify.bundle.bundle import Bundle

    check_target(output, format)
    exported = export_bundle(Bundle.load(bundle), output, format, any_size=not fixed_size)
    show(exported.to_dict(), export_lines, as_json)


for command in (train, sweep, evaluate, predict, export, finetune, benchmark):
    app.command()(command)
