"""The command python -m classify train."""

import ast
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import (
    ClassWeight,
    CorrectionsFile,
    Files,
    Join,
    Layers,
    ScoresAsJson,
    checked_labels,
    corrected,
    corrections_lines,
    default_folder,
    grouped,
)
from classify.heads.table import HEADS
from classify.scores.intervals import score_text
from classify.scores.temperature import calibration_text
from data.console import say_warnings, show
from data.errors import UsageError, unknown_name
from data.source_options import NONE, takes_source_options
from data.sources.options import SourceOptions, option_of
from data.sources.source import Source, open_source
from data.text import counted
from extract.commands.options import GroupsFile

if TYPE_CHECKING:
    from classify.bundle.bundle import Bundle
    from classify.features.matrix import FeatureMatrix
    from classify.finetuning.options import TrainingOptions


@takes_source_options
def train(
    files: Files,
    head: Annotated[str | None, typer.Option(help=f"{' | '.join(HEADS)}; default: logistic.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="Parameter of the head, as C=0.1; repeatable.")
    ] = None,
    class_weight: ClassWeight = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; default: FILE-HEAD.")] = None,
    layer: Layers = None,
    join: Join = "strict",
    corrections: CorrectionsFile = None,
    groups: GroupsFile = None,
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Fit a temperature to rows that the head did not see; default: where there are some.",
            show_default=False,
        ),
    ] = None,
    cross_conformal: Annotated[
        int | None,
        typer.Option(
            metavar="FOLDS", help="Base predict --coverage on so many folds, not on the validation rows."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Most memory for training, as 500MB or 2GB; default: 1GB where rows take more."),
    ] = None,
    live: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Train keras-linear on these images, the backbone in the graph."),
    ] = None,
    augment: Annotated[bool, typer.Option("--augment", help="With --live: random flips, rotations.")] = False,
    how: SourceOptions = NONE,
    as_json: ScoresAsJson = False,
) -> None:
    """Train a head on the training rows and save it as a bundle; test rows are not read.

    With --live every image goes through the frozen backbone in every epoch: far slower, and the
    only way to augment. Interrupted, the same command goes on from the last finished epoch.

    Example: python -m classify train photos.h5 --head logistic --param C=0.01 -o photos-logistic
    """
    from classify.bundle.bundle import Bundle
    from classify.bundle.folder import check_output
    from classify.features.load import load_features
    from classify.heads.memory import parse_memory
    from classify.heads.streaming import train_head
    from classify.heads.table import make_head
    from classify.scores.judging import advice, judging_rows

    params = parse_params(param or [])
    if class_weight:
        if class_weight != "balanced":
            raise unknown_name("class weight", class_weight, ["balanced"])
        params["class_weight"] = class_weight
    if how and live is None:
        raise typer.BadParameter(f"{', '.join(map(option_of, how))}: of a source, and so with --live")
    if cross_conformal is not None and (live is not None or memory is not None):
        left_out = "--live" if live is not None else "--memory"
        raise typer.BadParameter(f"--cross-conformal trains heads in memory; not with {left_out}")
    _check_live(live, augment, several=len(files) > 1, head=head, memory=memory)
    if live is not None:
        from classify.finetuning.options import live_options

        folder = output or default_folder(files, "live")
        options = live_options(params | ({"augment": True} if augment else {}))
        features = grouped(corrected(load_features(files, layer), corrections), groups)
        warnings = checked_labels(features)
        source = open_source(live, **how)
        bundle = _train_live(features, source, folder, options, calibrate)
        told = advice(judging_rows(features), str(folder), files, corrections=corrections, groups=groups)
        show(_training_values(bundle, folder, warnings), partial(training_lines, told), as_json)
        return
    head = head or "logistic"
    estimator = make_head(head, **params)
    most = None if memory is None else parse_memory(memory)
    folder = output or default_folder(files, head)
    loaded = load_features(files, layer, join, in_memory=cross_conformal is not None)
    features = grouped(corrected(loaded, corrections), groups)
    check_output(folder)
    warnings = checked_labels(features)
    fitted, features = train_head(head, estimator, features, most)
    bundle = Bundle.of(fitted, features, head, calibrate=calibrate)
    if cross_conformal is not None:
        bundle = bundle.cross_conformal(features, cross_conformal)
    bundle.save(folder)
    told = advice(judging_rows(features), str(folder), files, join, corrections, groups)
    show(_training_values(bundle, folder, warnings), partial(training_lines, told), as_json)


def parse_params(words: list[str]) -> dict:
    """Read ``name=value`` words; a value is a Python literal, or text where it is none.

    Examples
    --------
    >>> parse_params(["C=0.1", "hidden=(64,)", "metric=cosine"])
    {'C': 0.1, 'hidden': (64,), 'metric': 'cosine'}
    """
    params = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UsageError(
                "--param takes a name and a value",
                "name=value, as C=0.1",
                word,
                "correct it, and repeat --param",
            )
        try:
            params[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # as ast documents
            params[name.strip()] = text.strip()
    return params


def _check_live(
    live: str | None, augment: bool, *, several: bool, head: str | None, memory: str | None
) -> None:
    """Raise if options are given that do not go with a head trained live, or without one."""
    if live is None:
        if augment:
            raise typer.BadParameter("cached features cannot be augmented; --augment goes with --live")
        return
    refused = {
        "several feature files": several,
        f"--head {head}": head not in (None, "keras-linear"),
        "--memory": memory is not None,
    }
    for words, given in refused.items():
        if given:
            raise typer.BadParameter(
                f"--live trains keras-linear on the images of one file; not with {words}"
            )


def _train_live(
    features: "FeatureMatrix",
    source: Source,
    folder: Path,
    options: "TrainingOptions",
    calibrate: bool | None,
) -> "Bundle":
    """Train with the backbone in the graph, and return the bundle."""
    from data.progress import progress_bar
    from extract.backbones.keras_backend import need_tensorflow

    need_tensorflow("training behind the live backbone")
    from classify.finetuning.live import train_live  # seconds of it

    say_warnings(source.warnings)
    with progress_bar("training with the backbone", "batch") as progress:
        return train_live(features, source, folder, options, calibrate=calibrate, progress=progress)


def _training_values(bundle: "Bundle", folder: Path, warnings: list[str]) -> dict:
    from classify.scores.judging import lone_answer

    found = lone_answer(bundle.scores)
    say_warnings(found)
    return {
        "bundle": str(folder),
        "head": bundle.name,
        "chosen": bundle.provenance.get("chosen", {}),
        "temperature": bundle.temperature,
        "calibration": bundle.provenance.get("calibration"),
        **bundle.scores,
        **{name: value for name, value in bundle.provenance.items() if name == "corrections"},
        "warnings": [*warnings, *found],
    }


def training_lines(advice: list[str], values: dict) -> list[str]:
    """Lay out the scores of a training on a feature file for people, and `classify.scores.judging.advice`."""
    reports = {split: values[split] for split in ("train", "validation") if split in values}
    found = values["calibration"]
    return [
        *(
            f"{split:<12}{score_text(report['accuracy'])} accuracy on {counted(report['rows'], 'row')}"
            for split, report in reports.items()
        ),
        *corrections_lines(values),
        *chosen_lines(values["chosen"]),
        *([f"calibrated  temperature {calibration_text(found)}"] if found else []),
        f"saved {values['bundle']}",
        *advice,
    ]


def chosen_lines(chosen: dict) -> list[str]:
    """Say what a head chose by itself, and by which rows, where it tells.

    Examples
    --------
    >>> chosen_lines({"C": 0.01, "by": "validation rows"}), chosen_lines({})
    (['chosen      C=0.01 by validation rows'], [])
    """
    by = f" by {chosen['by']}" if "by" in chosen else ""
    return [f"chosen      {name}={value:.4g}{by}" for name, value in chosen.items() if name != "by"]
