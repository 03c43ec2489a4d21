"""python -m classify: train, sweep, evaluate, predict, export, finetune, benchmark."""

import ast
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from classify.benchmark_cli import benchmark
from classify.export import FORMATS, check_target
from classify.export import export as export_bundle
from classify.heads import HEADS
from classify.show import (
    comparison_lines,
    csv_lines,
    export_lines,
    finetune_lines,
    prediction_lines,
    report_lines,
    sweep_lines,
    training_lines,
)
from data.console import command_app, say, show
from data.errors import HeadstartError, counted
from data.source import GRAMMAR, open_source

FILES = typer.Argument(metavar="FILE...", help="A feature file; or several, joined by image.")
JOIN = typer.Option(help="Images that are not in every file: strict refuses them, inner leaves them out.")
app = command_app("Train heads on a feature file, judge them, and classify new images.")
app.command()(benchmark)


@app.command()
def train(
    files: Annotated[list[Path], FILES],
    head: Annotated[str | None, typer.Option(help=f"{' | '.join(HEADS)}; default: logistic.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="Parameter of the head, as C=0.1; repeatable.")
    ] = None,
    class_weight: Annotated[
        str | None, typer.Option(help="balanced: rare classes count as much as frequent ones.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; default: FILE-HEAD.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer of the file; repeatable; default: all.")
    ] = None,
    join: Annotated[str, JOIN] = "strict",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit a temperature to the validation rows.")
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(help="Most memory for training, as 500MB or 2GB; default: 1GB where rows take more."),
    ] = None,
    live: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Train keras-linear on these images, the backbone in the graph."),
    ] = None,
    augment: Annotated[bool, typer.Option("--augment", help="With --live: random flips, rotations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Train a head on the training rows and save it as a bundle; test rows are not read.

    With --live every image goes through the frozen backbone in every epoch: far slower, and the
    only way to augment. Interrupted, the same command goes on from the last finished epoch.

    Example: python -m classify train photos.h5 --head logistic --param C=0.01 -o photos-logistic
    """
    from classify.bundle import Bundle
    from classify.features import load_features
    from classify.heads import make_head
    from classify.memory import parse_memory
    from classify.saved import check_output
    from classify.streaming import train_head

    params = parse_params(param or [])
    if class_weight:
        params["class_weight"] = class_weight
    _check_live(live, augment, several=len(files) > 1, head=head, memory=memory, calibrate=calibrate)
    if live is not None:
        folder = output or _beside(files, "live")
        options = params | ({"augment": True} if augment else {})
        bundle = _train_live(load_features(files, layer), live, folder, options)
        show(_training_values(bundle, folder), partial(training_lines, files), as_json)
        return
    head = head or "logistic"
    estimator = make_head(head, **params)
    most = None if memory is None else parse_memory(memory)
    folder = output or _beside(files, head)
    features = load_features(files, layer, join, in_memory=False)
    check_output(folder)
    fitted, features = train_head(head, estimator, features, most)
    bundle = Bundle.of(fitted, features, head, calibrate=calibrate).save(folder)
    show(_training_values(bundle, folder), partial(training_lines, files), as_json)


@app.command()
def sweep(
    files: Annotated[list[Path], FILES],
    heads: Annotated[str | None, typer.Option(help="Names between commas; default: all.")] = None,
    search: Annotated[
        str | None, typer.Option(help="optuna: let it propose configurations; default: small grids.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Configurations that --search tries; default: 50.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each head that depends on a seed.")] = 1,
    one_standard_error: Annotated[
        bool, typer.Option("--one-standard-error", help="Take the simplest head that is good enough.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Bundle; default: FILE-best.")] = None,
    leaderboard: Annotated[Path | None, typer.Option(help="CSV file for the whole leaderboard.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer of the file; repeatable; default: all.")
    ] = None,
    join: Annotated[str, JOIN] = "strict",
    jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Train many heads, choose by the validation rows, and judge the winner alone on the test rows.

    Interrupted, the same command goes on from what is finished.

    Example: python -m classify sweep photos.h5 --heads ridge,logistic,keras-linear
    """
    from classify.features import load_features
    from classify.saved import check_output
    from classify.sweep import check_leaderboard, sweep_and_save, write_leaderboard
    from extract.progress import progress_bar

    if trials and not search:
        raise typer.BadParameter("--trials goes with --search optuna")
    if search and one_standard_error:
        raise typer.BadParameter("proposals have no order of simplicity; leave --one-standard-error out")
    folder = output or _beside(files, "best")
    check_output(folder)
    if leaderboard:
        check_leaderboard(leaderboard)
    how = _search_of(search, heads, trials or 50) if search else _grids_of(heads, jobs)
    features = load_features(files, layer, join)
    with progress_bar("training heads", "head") as progress:
        outcome = sweep_and_save(
            features, folder=folder, seeds=seeds, simplest=one_standard_error, progress=progress, **how
        )
    if leaderboard:
        write_leaderboard(leaderboard, outcome.results)
    show(outcome.to_dict(), partial(sweep_lines, files), as_json)


@app.command()
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
    join: Annotated[str, JOIN] = "strict",
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Judge a head on one split, with 95 % intervals, or train it anew in a cross-validation.

    Two bundles are judged on the same rows and compared by McNemar's test.

    Example: python -m classify evaluate photos-logistic photos.h5 --split test
    """
    from classify.bundle import Bundle
    from classify.features import load_features
    from classify.figures import check_figures

    folders, files = _divided(paths)
    if unseen_only and (split == "train" or cv is not None):
        raise typer.BadParameter("--unseen-only goes with the validation or the test rows of --split")
    if cv is not None and split is not None:
        raise typer.BadParameter("a cross-validation takes training and validation rows; leave --split out")
    if cv is not None and len(folders) == 2:
        raise typer.BadParameter("two bundles are compared on one split; leave --cv out")
    if figures:
        check_figures(figures)
    bundles = [Bundle.load(folder) for folder in folders]
    features = load_features(files, join=join)
    for bundle in bundles if unseen_only else ():
        features = features.without(split or "test", bundle.seen)
    how = Judging(split or "test", cv, learning_curve)
    judged = [_judge(bundle, features, how) for bundle in bundles]
    if figures:
        _draw(figures, judged)
    if len(judged) == 1:
        show(judged[0][0], report_lines, as_json)
    else:
        show(_comparison(folders, judged), comparison_lines, as_json)


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or folders.")],
    abstain: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Say 'unknown' of images unlike the training images, and of this share of others.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all probabilities.")] = False,
) -> None:
    """Classify images; backbone, size and weights are those of the bundle.

    Exits with 1 if an image cannot be read; the others are classified all the same.

    Example: python -m classify predict photos-logistic new.jpg more/
    """
    from classify.bundle import Bundle

    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    predictions = Bundle.load(bundle).predict(images, abstain)
    values = [prediction.to_dict() for prediction in predictions]
    show(values, csv_lines if as_csv else prediction_lines, as_json)
    unread = [prediction for prediction in predictions if prediction.error]
    if unread:
        say(f"{len(unread)} of {len(predictions)} images could not be read")
        raise typer.Exit(1)


@app.command()
def export(
    bundle: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="File, or folder of a saved_model; gets a card .json beside."),
    ],
    format: Annotated[str, typer.Option(help=" | ".join(FORMATS))] = "keras",
    fixed_size: Annotated[
        bool,
        typer.Option("--fixed-size", help="Take images of the recipe's size only; default: of any size."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Write backbone and head as one model that needs no Headstart, checked against the head.

    Example: python -m classify export photos-logistic -o photos.keras
    """
    from classify.bundle import Bundle

    check_target(output, format)
    values = export_bundle(Bundle.load(bundle), output, format, any_size=not fixed_size)
    show(values, export_lines, as_json)


@app.command()
def finetune(
    bundle: Annotated[Path, typer.Argument(help="A folder that train wrote.")],
    source: Annotated[str, typer.Argument(help=GRAMMAR)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; default: BUNDLE-tuned.")
    ] = None,
    unfreeze: Annotated[
        str, typer.Option(help="all, none, last, or a block from which on to train.")
    ] = "all",
    learning_rate: Annotated[float, typer.Option(min=0, help="Of Adam.")] = 1e-5,
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 10,
    patience: Annotated[int, typer.Option(min=1, help="Epochs in a row without a lower loss.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 32,
    rows: Annotated[int | None, typer.Option(min=1, help="So many training images; default: all.")] = None,
    augment: Annotated[bool, typer.Option(help="Random flips and rotations.")] = True,
    class_weight: Annotated[
        str | None, typer.Option(help="balanced: rare classes count as much as frequent ones.")
    ] = None,
    loop: Annotated[str, typer.Option(help="fit, or custom: the guide's own loop.")] = "fit",
    precision: Annotated[
        str, typer.Option(help="float32, float16 or bfloat16, while it trains.")
    ] = "float32",
    seed: Annotated[int, typer.Option(min=0, help="Of order, augmentation and dropout.")] = 0,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's logs.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of prepared TFDS data sets.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Train the backbone too, from where the head is, and judge it before and after on the test rows.

    Interrupted, the same command goes on from the last finished epoch.

    Example: python -m classify finetune photos-logistic photos/ --unfreeze block14 --epochs 2
    """
    from classify.bundle import Bundle
    from classify.finetune import finetune
    from extract.progress import progress_bar

    options = {"unfreeze": unfreeze, "learning_rate": learning_rate, "epochs": epochs, "patience": patience}
    options |= {"batch_size": batch_size, "rows": rows, "augment": augment, "class_weight": class_weight}
    options |= {"loop": loop, "precision": precision, "seed": seed, "tensorboard": tensorboard}
    folder = output or bundle.with_name(f"{bundle.name}-tuned")
    opened, before = open_source(source, data_dir), Bundle.load(bundle)
    for warning in opened.warnings:
        say(f"warning: {warning}")
    with progress_bar("fine-tuning", "batch") as progress:
        report = finetune(before, opened, folder, progress=progress, **options)
    show(report, finetune_lines, as_json)


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
            raise HeadstartError(
                "--param is not a parameter", "name=value, as C=0.1", word, "correct it, and repeat --param"
            )
        try:
            params[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            params[name.strip()] = text.strip()
    return params


def _check_live(live: str | None, augment: bool, *, several: bool, head, memory, calibrate) -> None:
    """Raise if options are given that do not go with a head trained live, or without one."""
    if live is None:
        if augment:
            raise typer.BadParameter("cached features cannot be augmented; --augment goes with --live")
        return
    refused = {
        "several feature files": several,
        f"--head {head}": head not in (None, "keras-linear"),
        "--memory": memory is not None,
        "--calibrate": calibrate,
    }
    for words, given in refused.items():
        if given:
            raise typer.BadParameter(
                f"--live trains keras-linear on the images of one file; not with {words}"
            )


def _train_live(features, source: str, folder: Path, options: dict):
    """Train with the backbone in the graph, and return the bundle."""
    from classify.live import live_options, train_live
    from extract.progress import progress_bar

    live_options(options)
    opened = open_source(source)
    for warning in opened.warnings:
        say(f"warning: {warning}")
    with progress_bar("training with the backbone", "batch") as progress:
        return train_live(features, opened, folder, progress=progress, **options)


def _training_values(bundle, folder: Path) -> dict:
    return {
        "bundle": str(folder),
        "head": bundle.name,
        "temperature": bundle.temperature,
        **bundle.scores,
    }


def _grids_of(heads: str | None, jobs: int) -> dict:
    """Return what makes a sweep go through the grids."""
    from classify.grids import entries

    return {"chosen": entries(None if heads is None else heads.split(",")), "jobs": jobs}


def _search_of(search: str, heads: str | None, trials: int) -> dict:
    """Return what makes a sweep try proposals."""
    from classify import search as searching

    if search != "optuna":
        raise typer.BadParameter(f"--search is optuna or left out; received {search}")
    return {
        "chosen": searching.checked_heads(None if heads is None else heads.split(",")),
        "find": searching.search,
        "trials": trials,
    }


@dataclass(frozen=True)
class Judging:
    """What `evaluate` does with each bundle: one split or a cross-validation of so many folds, and more."""

    split: str
    folds: int | None
    learning_curve: bool


def _beside(files: list[Path], name: str) -> Path:
    """Return the default folder of a bundle: beside the first feature file, named after all."""
    return files[0].with_name("+".join(file.stem for file in files) + f"-{name}")


def _divided(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the bundles and the feature files among paths."""
    from classify.saved import is_bundle

    bundles = 2 if len(paths) > 2 and is_bundle(paths[1]) else 1
    if len(paths) <= bundles or sum(map(is_bundle, paths)) > 2:
        raise typer.BadParameter(
            f"one bundle or two and feature files are wanted; received {counted(len(paths), 'path')}"
        )
    return paths[:bundles], paths[bundles:]


def _judge(bundle, features, how: Judging) -> tuple:
    """Return the report on a bundle, and the labels and probabilities that it judges."""
    from classify.evaluate import cross_predict, evaluate, fold_report
    from classify.learning_curve import learning_curve

    if how.folds is None:
        y, proba = bundle.judge(features, how.split)
        report = {"split": how.split, **evaluate(y, proba, bundle.class_names)}
    else:
        y, proba, accuracies = cross_predict(bundle.head, bundle.select(features), how.folds)
        scores = fold_report(y, proba, accuracies, bundle.class_names)
        report = {"split": f"{how.folds}-fold cross-validation", **scores}
    if how.learning_curve:
        report["learning_curve"] = learning_curve(bundle.head, bundle.select(features))
    return report, y, proba


def _draw(folder: Path, judged: list[tuple]) -> None:
    """Write the figures of one report to the folder, those of two to its folders first and second."""
    from classify.figures import write_figures

    folders = [folder] if len(judged) == 1 else [folder / "first", folder / "second"]
    for path, (report, y, proba) in zip(folders, judged, strict=True):
        report["figures"] = [str(figure) for figure in write_figures(path, report, y, proba)]


def _comparison(folders: list[Path], judged: list[tuple]) -> dict:
    from classify.evaluate import mcnemar

    reports = [
        {"bundle": str(folder), **report} for folder, (report, _, _) in zip(folders, judged, strict=True)
    ]
    predicted = [proba.argmax(axis=1) for _, _, proba in judged]
    return {"bundles": reports, "mcnemar": mcnemar(judged[0][1], *predicted)}
