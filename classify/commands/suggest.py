"""The command python -m classify suggest."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import BundleFolder, CorrectionsFile, Files, Join
from data.console import json_option, say_warnings, show
from data.names import short_names, shortened, table_lines
from data.text import plural

if TYPE_CHECKING:
    from classify.features.corrections import Corrections
    from classify.features.matrix import FeatureMatrix

_FILE, _NAME = 26, 12  # cells of a terminal, at most, of an image and of a class


def suggest(
    bundle: BundleFolder,
    files: Files,
    number: Annotated[int, typer.Option("-n", "--number", help="Of images, at most 1,000.")] = 50,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.csv", help="Corrections to fill in: write them there."),
    ] = None,
    corrections: CorrectionsFile = None,
    join: Join = "strict",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the corrections to fill in.")] = False,
    as_json: Annotated[bool, json_option("everything")] = False,
) -> None:
    """Say which images without a label to label next: those that the head is unsure of, and that differ.

    Only training rows are suggested. What --corrections names is not suggested again, and its lines
    come first in what is written.

    Example: python -m classify suggest photos-logistic photos.h5 -n 50 -o labels.csv
    """
    from classify.audit.suggest import (
        METHOD,
        Unlabelled,
        check_suggestions,
        suggestions_csv,
        write_suggestions,
    )
    from classify.audit.suggest import suggest as choose
    from classify.bundle.bundle import Bundle
    from classify.features.load import load_features

    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    if output:
        check_suggestions(output, corrections)
    loaded = Bundle.load(bundle)
    features, given = _corrected(load_features(files, join=join, in_memory=False), corrections)
    say_warnings(features.unknown_warnings(loaded.class_names))
    kept = given.entries if given else {}
    say_warnings(features.arithmetic_warnings(loaded.feature_sets))
    unlabelled = Unlabelled.of(features, kept)
    found = choose(loaded, features, number, unlabelled)
    text = suggestions_csv(found, kept.values())
    if output:
        write_suggestions(output, text)
    values = {
        "suggestions": [each.to_dict() for each in found],
        "unlabelled": len(unlabelled.rows),
        "left_out": unlabelled.left_out,
        "method": METHOD,
        "file": str(output) if output else None,
    }
    joined = [] if join == "strict" else ["--join", join]
    words = [*map(str, files), *joined, "--corrections", str(output)] if output else []
    lay_out: Callable[[dict], list[str]] = partial(suggestion_lines, words)
    show(values, (lambda _: text.removesuffix("\n").split("\n")) if as_csv else lay_out, as_json)


def _corrected(features: "FeatureMatrix", file: Path | None) -> "tuple[FeatureMatrix, Corrections | None]":
    """Return features with corrected labels, and the corrections; say what the user should know."""
    from classify.features.corrections import read_corrections

    if file is None:
        return features, None
    corrections = read_corrections(file)
    features, applied = corrections.apply(features)
    say_warnings([*corrections.notes, *applied.warnings()])
    return features, corrections


def suggestion_lines(training: list[str], values: dict) -> list[str]:
    """Lay out suggestions for people, and how to go on.

    Parameters
    ----------
    training : list of str
        What ``train`` takes once the labels are filled in; empty where no file was written.
    values : dict
        As ``--json`` prints them.

    Examples
    --------
    >>> row = {"id": "1.jpg", "predicted": "cat", "probability": 0.5, "runner_up": "dog", "margin": 0.25}
    >>> left_out = {"validation": 0, "test": 2, "copies": 0, "named": 0}
    >>> values = {"suggestions": [row], "unlabelled": 9, "left_out": left_out, "file": "labels.csv"}
    >>> print("\\n".join(suggestion_lines(["a.h5", "--corrections", "labels.csv"], values)))
    image  first       P  second       P
    1.jpg  cat    0.5000  dog     0.2500
    1 of 9 unlabelled training images
    not suggested: 2 test
    wrote labels.csv
    next: fill in its column label, then python -m classify train a.h5 --corrections labels.csv
    """
    found = values["suggestions"]
    names = short_names((row[which] for row in found for which in ("predicted", "runner_up")), _NAME)
    rows = [
        (
            shortened(row["id"], _FILE),
            names[row["predicted"]],
            f"{row['probability']:.4f}",
            names[row["runner_up"]],
            f"{row['probability'] - row['margin']:.4f}",
        )
        for row in found
    ]
    table = table_lines(("image", "first", "P", "second", "P"), rows, ("P",))
    all_of_them = f"{len(found)} of {values['unlabelled']:,} unlabelled training {plural('image')}"
    left_out = [f"{count:,} {why}" for why, count in values["left_out"].items() if count]
    notes = [f"not suggested: {', '.join(left_out)}"] if left_out else []
    command = f"python -m classify train {' '.join(map(quote, training))}"
    told = [f"wrote {values['file']}", f"next: fill in its column label, then {command}"]
    return [*table, all_of_them, *notes, *(told if values["file"] else [])]
