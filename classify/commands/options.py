"""Options and defaults that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import json_option, say_warnings
from extract.commands.options import listed_groups

if TYPE_CHECKING:
    from classify.features.matrix import FeatureMatrix

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="A feature file; or several, joined by image.")
]
BundleFolder = Annotated[Path, typer.Argument(help="A folder that train wrote.")]
Join = Annotated[
    str, typer.Option(help="Images that are not in every file: strict refuses them, inner leaves them out.")
]
Layers = Annotated[
    list[str] | None, typer.Option("--layer", help="Layer of the file; repeatable; default: all.")
]
CorrectionsFile = Annotated[
    Path | None,
    typer.Option(
        "--corrections", metavar="FILE.csv", help="Labels to correct by digest,id,label; empty: left out."
    ),
]
ClassWeight = Annotated[
    str | None, typer.Option(help="balanced: rare classes count as much as frequent ones.")
]
TrainingRows = Annotated[int | None, typer.Option(help="So many training images; default: all.")]
Seed = Annotated[int, typer.Option(help="Of order, augmentation and dropout.")]
AsJson = Annotated[bool, json_option("everything")]
ScoresAsJson = Annotated[bool, json_option("the scores")]


def default_folder(files: list[Path], name: str) -> Path:
    """Return the default folder of a bundle: beside the first feature file, named after all."""
    return files[0].with_name("+".join(file.stem for file in files) + f"-{name}")


def names_between_commas(text: str | None) -> list[str] | None:
    """Read ``logistic, knn``; None stays None.

    Raises
    ------
    typer.BadParameter
        If there is no name.

    Examples
    --------
    >>> names_between_commas("logistic, knn")
    ['logistic', 'knn']
    """
    names = None if text is None else [name.strip() for name in text.split(",") if name.strip()]
    if names == []:
        raise typer.BadParameter(f"expected names between commas; received {text!r}")
    return names


UnseenOnly = Annotated[
    bool, typer.Option("--unseen-only", help="Leave out images that training saw; refused otherwise.")
]


def corrected(features: "FeatureMatrix", file: Path | None) -> "FeatureMatrix":
    """Return features with the labels that ``--corrections`` gives, and say what the user should know."""
    from classify.features.corrections import read_corrections

    if file is None:
        return features
    corrections = read_corrections(file)
    features, applied = corrections.apply(features)
    say_warnings([*corrections.notes, *applied.warnings()])
    return features


def grouped(features: "FeatureMatrix", file: Path | None) -> "FeatureMatrix":
    """Return features with the groups that ``--groups`` gives, and say what the user should know."""
    groups = listed_groups(file)
    if groups is None:
        return features
    groups.check(image.tobytes() for image in features.digests)
    return features.with_groups(groups.of)


def corrections_lines(values: dict) -> list[str]:
    """Lay out the ``corrections`` of a result for people; it has none where none were given."""
    from classify.features.applied import applied_lines

    return applied_lines(values["corrections"]) if values.get("corrections") else []


def checked_labels(features: "FeatureMatrix") -> list[str]:
    """Say what is odd about the labels that a head is to learn, and return it; raise where it cannot."""
    features.check_training()
    warnings = features.warnings()
    say_warnings(warnings)
    return warnings


def score_number(value: float | None, width: int) -> str:
    """Lay out a score in a column; a dash where there is none."""
    return f"{'-' if value is None else format(value, '.4f'):>{width}}"
