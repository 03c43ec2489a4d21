"""The command python -m classify finetune."""

from pathlib import Path
from typing import Annotated

import typer

from classify.commands.options import (
    AsJson,
    BundleFolder,
    ClassWeight,
    CorrectionsFile,
    Seed,
    TrainingRows,
    corrections_lines,
)
from classify.scores.intervals import score_text
from data.console import say_warnings, show
from data.source_options import NONE, takes_source_options
from data.sources.labels import source_warnings
from data.sources.options import SourceOptions
from data.sources.source import open_source
from data.text import counted
from extract.commands.options import SourceText


@takes_source_options
def finetune(
    bundle: BundleFolder,
    source: SourceText,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; default: BUNDLE-tuned.")
    ] = None,
    unfreeze: Annotated[
        str, typer.Option(help="all, none, last, or a block from which on to train.")
    ] = "all",
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 1e-5,
    epochs: Annotated[int, typer.Option(help="At most.")] = 10,
    patience: Annotated[int, typer.Option(help="Epochs in a row without a lower loss.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Images of a step.")] = 32,
    rows: TrainingRows = None,
    corrections: CorrectionsFile = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5", help="Take the splits of this feature file, where the source names none."
        ),
    ] = None,
    augment: Annotated[bool, typer.Option(help="Random flips and rotations.")] = True,
    class_weight: ClassWeight = None,
    loop: Annotated[str, typer.Option(help="fit, or custom: the guide's own loop.")] = "fit",
    precision: Annotated[
        str, typer.Option(help="float32, float16 or bfloat16, while it trains.")
    ] = "float32",
    seed: Seed = 0,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's logs.")] = None,
    how: SourceOptions = NONE,
    as_json: AsJson = False,
) -> None:
    """Train the backbone too, from where the head is, and judge it before and after on the test rows.

    Interrupted, the same command goes on from the last finished epoch.

    Example: python -m classify finetune photos-logistic photos/ --unfreeze block14 --epochs 2
    """
    from classify.bundle.bundle import Bundle
    from classify.features.corrections import read_corrections
    from classify.finetuning.finetune import finetune
    from classify.finetuning.images import OWN, splits_of
    from classify.finetuning.options import TrainingOptions
    from data.progress import progress_bar
    from extract.feature_file.reader import FeatureFile

    options = TrainingOptions(
        unfreeze=unfreeze,
        learning_rate=learning_rate,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        rows=rows,
        augment=augment,
        class_weight=class_weight,
        loop=loop,
        precision=precision,
        seed=seed,
    )
    given = None if corrections is None else read_corrections(corrections)
    dealt = OWN if splits is None else splits_of(FeatureFile(splits).contents)
    folder = output or bundle.with_name(f"{bundle.name}-tuned")
    opened, before = open_source(source, **how), Bundle.load(bundle)
    say_warnings([*source_warnings(opened), *(given.notes if given else ())])
    with progress_bar("fine-tuning", "batch") as progress:
        report = finetune(
            before,
            opened,
            folder,
            options,
            corrections=given,
            splits=dealt,
            tensorboard=tensorboard,
            progress=progress,
        )
    show(report, finetune_lines, as_json)


def finetune_lines(report: dict) -> list[str]:
    """Lay out what `classify.finetuning.finetune.finetune` returns for people."""
    numbers = [f"{report['parameters'][name]:,}" for name in ("total", "trainable", "non_trainable")]
    lines = [
        "parameters  {}, of which {} train and {} do not".format(*numbers),
        f"frozen      unchanged, digest {report['frozen_digest'][:16]}",
    ]
    lines += corrections_lines(report)
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
