"""Options and defaults that several commands share."""

from pathlib import Path

import typer

FILES = typer.Argument(metavar="FILE...", help="A feature file; or several, joined by image.")
JOIN = typer.Option(help="Images that are not in every file: strict refuses them, inner leaves them out.")
LAYER = typer.Option(help="Layer of the file; repeatable; default: all.")


def default_folder(files: list[Path], name: str) -> Path:
    """Return the default folder of a bundle: beside the first feature file, named after all."""
    return files[0].with_name("+".join(file.stem for file in files) + f"-{name}")
