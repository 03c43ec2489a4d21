"""python -m data: preview."""

from pathlib import Path
from typing import Annotated

import typer

from data.console import (
    command_app,
    json_option,
    say,
    say_warnings,
    show,
)
from data.names import UNKNOWN, shortened, visible
from data.source_options import NONE, takes_source_options
from data.sources.labels import source_warnings
from data.sources.options import SourceOptions
from data.sources.source import grammar, open_source
from data.text import counted

app = command_app("Look at labelled images.")


@app.command()
@takes_source_options
def preview(
    source: Annotated[str, typer.Argument(help=grammar())] = "digits",
    output: Annotated[Path, typer.Option("-o", "--output", help="Image file for the sheet.")] = Path(
        "preview.png"
    ),
    augment: Annotated[
        bool, typer.Option("--augment", help="Show one image under nine augmentations.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the augmentation.")] = 0,
    how: SourceOptions = NONE,
    as_json: Annotated[bool, json_option("what the sheet shows")] = False,
) -> None:
    """Draw the first nine images with their labels, or one image as fine-tuning augments it.

    Example: python -m data preview photos/ -o sheet.png
    """
    from data.contact_sheet import preview

    opened = open_source(source, **how)
    say_warnings(source_warnings(opened))
    sheet = preview(opened, output, augment=augment, seed=seed)
    for image in sheet.skipped[:10]:
        say(f"skipped: {image['id']}: {image['reason']}")
    show(sheet.to_dict(), sheet_lines, as_json)


def sheet_lines(sheet: dict) -> list[str]:
    """Lay out `data.contact_sheet.Sheet` for people.

    Examples
    --------
    >>> image = {"id": "cat/1.jpg", "label": "cat"}
    >>> sheet_lines({"file": "sheet.png", "images": [image], "augmented": False, "skipped": []})
    ['sheet.png: 1 image', 'cat/1.jpg  cat']
    """
    shown = sheet["images"]
    words = "1 image, augmented" if sheet["augmented"] else counted(len(shown), "image")
    skipped = f", {len(sheet['skipped'])} skipped" if sheet["skipped"] else ""
    lines = [f"{visible(image['id'])}  {shortened(image['label'] or UNKNOWN)}" for image in shown]
    return [f"{sheet['file']}: {words}{skipped}", *lines]
