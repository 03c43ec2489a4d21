"""Options and defaults that several commands share."""

from pathlib import Path

import typer

from classify.matrix import FeatureMatrix
from data.console import say_warnings

FILES = typer.Argument(metavar="FILE...", help="A feature file; or several, joined by image.")
JOIN = typer.Option(help="Images that are not in every file: strict refuses them, inner leaves them out.")
LAYER = typer.Option(help="Layer of the file; repeatable; default: all.")


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
        raise typer.BadParameter(f"names between commas are wanted; received {text!r}")
    return names


def checked_labels(features: FeatureMatrix) -> list[str]:
    """Say what is odd about the labels that a head is to learn, and return it; raise where it cannot."""
    features.check_training()
    warnings = features.warnings()
    say_warnings(warnings)
    return warnings
