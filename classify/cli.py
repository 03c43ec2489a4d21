"""python -m classify: train, sweep, evaluate, predict."""

import ast
import csv
import io
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from classify.heads import HEADS
from data.console import command_app, say, show
from data.errors import HeadstartError

app = command_app("Train heads on a feature file, judge them, and classify new images.")


@app.command()
def train(
    file: Annotated[Path, typer.Argument(help="A feature file.")],
    head: Annotated[str, typer.Option(help=" | ".join(HEADS))] = "logistic",
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Train a head on the training rows and save it as a bundle; test rows are not read.

    Example: python -m classify train photos.h5 --head logistic --param C=0.01 -o photos-logistic
    """
    from classify.bundle import Bundle, check_output
    from classify.features import load_features
    from classify.heads import fit_head, make_head

    params = parse_params(param or [])
    if class_weight:
        params["class_weight"] = class_weight
    estimator = make_head(head, **params)
    folder = output or file.with_name(f"{file.stem}-{head}")
    features = load_features(file, layer)
    check_output(folder)
    fitted = fit_head(estimator, *features.training_rows(), *features.split("validation"))
    bundle = Bundle.of(fitted, features, head).save(folder)
    values = {"bundle": str(folder), "head": head, **bundle.scores}
    show(values, partial(training_lines, file), as_json)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A feature file.")],
    heads: Annotated[str | None, typer.Option(help="Names between commas; default: all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each head that depends on a seed.")] = 1,
    one_standard_error: Annotated[
        bool, typer.Option("--one-standard-error", help="Take the simplest head that is good enough.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Bundle; default: FILE-best.")] = None,
    leaderboard: Annotated[Path | None, typer.Option(help="CSV file for the whole leaderboard.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer of the file; repeatable; default: all.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Train many heads, choose by the validation rows, and judge the winner alone on the test rows.

    Interrupted, the same command goes on from what is finished.

    Example: python -m classify sweep photos.h5 --heads ridge,logistic,keras-linear
    """
    from classify.bundle import check_output
    from classify.features import load_features
    from classify.grids import entries
    from classify.sweep import sweep_and_save, write_leaderboard
    from extract.progress import progress_bar

    folder = output or file.with_name(f"{file.stem}-best")
    check_output(folder)
    chosen = entries(heads.split(",") if heads else None)
    features = load_features(file, layer)
    with progress_bar("training heads", "head") as progress:
        outcome = sweep_and_save(
            features, chosen, folder, seeds=seeds, simplest=one_standard_error, jobs=jobs, progress=progress
        )
    if leaderboard:
        write_leaderboard(leaderboard, outcome.results)
    show(outcome.to_dict(), partial(sweep_lines, file), as_json)


@app.command()
def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE [BUNDLE] FILE",
            help="One folder that train wrote, or two to compare, and a feature file of their recipe.",
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Judge a head on one split, with 95 % intervals, or train it anew in a cross-validation.

    Two bundles are judged on the same rows and compared by McNemar's test.

    Example: python -m classify evaluate photos-logistic photos.h5 --split test
    """
    from classify.bundle import Bundle
    from classify.figures import check_figures

    *folders, file = paths
    if not 1 <= len(folders) <= 2:
        raise typer.BadParameter(
            f"one bundle or two and a feature file are wanted; received {len(paths)} paths"
        )
    if cv is not None and split is not None:
        raise typer.BadParameter("a cross-validation takes training and validation rows; leave --split out")
    if cv is not None and len(folders) == 2:
        raise typer.BadParameter("two bundles are compared on one split; leave --cv out")
    if figures:
        check_figures(figures)
    bundles = [Bundle.load(folder) for folder in folders]
    judged = [_judge(bundle, file, split or "test", cv, learning_curve) for bundle in bundles]
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
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all probabilities.")] = False,
) -> None:
    """Classify images; backbone, size and weights are those of the bundle.

    Exits with 1 if an image cannot be read; the others are classified all the same.

    Example: python -m classify predict photos-logistic new.jpg more/
    """
    from classify.bundle import Bundle

    predictions = Bundle.load(bundle).predict(images)
    values = [prediction.to_dict() for prediction in predictions]
    show(values, csv_lines if as_csv else prediction_lines, as_json)
    unread = [prediction for prediction in predictions if prediction.error]
    if unread:
        say(f"{len(unread)} of {len(predictions)} images could not be read")
        raise typer.Exit(1)


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


def sweep_lines(file: Path, outcome: dict) -> list[str]:
    """Lay out `classify.sweep.Outcome` for people: the best twenty, the winner, its test score."""
    lines = [f"{'rank':>4}  {'head':<13}{'validation accuracy':<27}{'log loss':>8}{'seconds':>9}  parameters"]
    for rank, row in enumerate(outcome["leaderboard"][:20], 1):
        score = score_text({**row["accuracy"], "value": row["mean"]})
        spread = f" ±{row['deviation']:.4f}" if len(row["accuracies"]) > 1 else ""
        params = " ".join(f"{name}={value}" for name, value in row["params"].items())
        lines.append(
            f"{rank:>4}  {row['head']:<13}{score + spread:<27}{row['log_loss']:>8.4f}"
            f"{row['seconds']:>9.2f}  {params}".rstrip()
        )
    winner, count = outcome["winner"], len(outcome["leaderboard"])
    params = "".join(f" --param {name}={value}" for name, value in winner["params"].items())
    lines.append(f"winner: {winner['head']}{params}, of {count}, in {outcome['seconds']:.1f} s")
    if outcome["test"]:
        score = score_text(outcome["test"]["accuracy"])
        lines.append(f"test, read once: {score} accuracy on {outcome['test']['rows']} rows")
    return lines + saved_lines(file, outcome["bundle"])


def saved_lines(file: Path, bundle: str) -> list[str]:
    """Say where a bundle is, and how it is judged."""
    return [f"saved {bundle}", f"next: python -m classify evaluate {quote(bundle)} {quote(str(file))}"]


def score_text(score: dict) -> str:
    """Lay out a score with its interval.

    Examples
    --------
    >>> score_text({"value": 0.97, "low": 0.93, "high": 0.99})
    '0.9700 [0.9300, 0.9900]'
    """
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


def training_lines(file: Path, values: dict) -> list[str]:
    """Lay out the scores of a training on a feature file for people."""
    reports = {split: values[split] for split in ("train", "validation") if split in values}
    return [
        *(
            f"{split:<12}{score_text(report['accuracy'])} accuracy on {report['rows']} rows"
            for split, report in reports.items()
        ),
        *saved_lines(file, values["bundle"]),
    ]


def report_lines(report: dict) -> list[str]:
    """Lay out the scores of `classify.evaluate.evaluate` for people."""
    lines = [f"{report['split']}, {report['rows']} rows; 95 % intervals in brackets"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "roc_auc"):
        if name in report:
            lines.append(f"{name:<18}{score_text(report[name])}")
    lines += [f"{name:<18}undefined: {reason}" for name, reason in report.get("undefined", {}).items()]
    if "fold_accuracies" in report:
        folds = report["fold_accuracies"]
        lines.append(f"{'folds':<18}{min(folds):.4f} lowest, {max(folds):.4f} highest accuracy")
    width = max(5, *(len(row["name"]) for row in report["classes"]))
    lines.append(f"{'class':<{width}}{'rows':>7}{'precision':>11}{'recall':>9}{'f1':>9}")
    for row in report["classes"]:
        precision, recall = ((row[name] or {}).get("value") for name in ("precision", "recall"))
        numbers = (_number(precision, 11), _number(recall, 9), _number(row["f1"], 9))
        lines.append(f"{row['name']:<{width}}{row['rows']:>7}" + "".join(numbers))
    lines += _confusion_lines(report, width)
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
        f"trained on  accuracy  deviation  lowest  highest  <- on {curve['validation_rows']} validation rows"
    ]
    for point in curve["points"]:
        values = (point["mean"], point["standard_deviation"], min(point["values"]), max(point["values"]))
        numbers = map(_number, values, (10, 11, 8, 9))
        lines.append(f"{point['rows']:>10}" + "".join(numbers))
    return [*lines, curve["more_labels"]]


def prediction_lines(predictions: list[dict]) -> list[str]:
    """Lay out predictions for people."""
    width = max(len("file"), *(len(row["file"]) for row in predictions))
    label = max(len("label"), *(len(row["label"] or "") for row in predictions))
    lines = [f"{'file':<{width}}  {'label':<{label}}  probability"]
    for row in predictions:
        said = row["error"] or f"{row['label']:<{label}}  {row['probability']:.4f}"
        lines.append(f"{row['file']:<{width}}  {said}")
    return lines


def csv_lines(predictions: list[dict]) -> list[str]:
    """Lay out predictions as CSV: file, label, probability, error."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["file", "label", "probability", "error"], extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(predictions)
    return text.getvalue().removesuffix("\n").split("\n")


def _judge(bundle, file: Path, split: str, cv: int | None, with_curve: bool) -> tuple:
    """Return the report on a bundle, and the labels and probabilities that it judges."""
    from classify.evaluate import cross_predict, evaluate, fold_report
    from classify.features import load_features
    from classify.learning_curve import learning_curve

    features = load_features(file)
    features = features if bundle.layers == features.layers else load_features(file, bundle.layers)
    if cv is None:
        y, proba = bundle.judge(features, split)
        report = {"split": split, **evaluate(y, proba, bundle.class_names)}
    else:
        bundle.check(features)
        y, proba, accuracies = cross_predict(bundle.head, features, cv)
        scores = fold_report(y, proba, accuracies, bundle.class_names)
        report = {"split": f"{cv}-fold cross-validation", **scores}
    if with_curve:
        report["learning_curve"] = learning_curve(bundle.head, features)
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


def _number(value: float | None, width: int) -> str:
    return f"{'-' if value is None else format(value, '.4f'):>{width}}"


def _confusion_lines(report: dict, width: int) -> list[str]:
    names = [row["name"] for row in report["classes"]]
    cell = max(6, *(len(name) + 2 for name in names))
    head = f"{'true':<{width}}" + "".join(f"{name:>{cell}}" for name in names) + "  <- predicted"
    rows = [
        f"{name:<{width}}" + "".join(f"{count:>{cell}}" for count in counts)
        for name, counts in zip(names, report["confusion"], strict=True)
    ]
    return [head, *rows]
