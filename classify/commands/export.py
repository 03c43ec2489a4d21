"""The command python -m classify export."""

from pathlib import Path
from typing import Annotated

import typer

from classify.bundle.formats import FORMATS
from classify.commands.options import AsJson, BundleFolder
from data.console import show
from data.names import short_names
from data.text import some_of


def export_lines(values: dict) -> list[str]:
    """Lay out what `classify.bundle.export.export` returned for people.

    Examples
    --------
    >>> values = {"file": "m.keras", "card": "m.keras.json", "class_names": ["cat", "dog"]}
    >>> values |= {"input_shape": [None, None, None, 3], "output_shape": [None, 2]}
    >>> values |= {"checked_images": 16, "largest_difference": 3e-7}
    >>> print("\\n".join(export_lines(values)))
    wrote m.keras, class names in m.keras.json
    input   any x any x any x 3, RGB in 0..255
    output  any x 2, probabilities of cat, dog
    within 3e-07 of the head on 16 images
    """
    taken, given = (
        " x ".join(str(side or "any") for side in values[f"{end}put_shape"]) for end in ("in", "out")
    )
    default = values.get("largest_difference_by_default")
    return [
        f"wrote {values['file']}, class names in {values['card']}",
        f"input   {taken}, RGB in 0..255",
        f"output  {given}, probabilities of {some_of(list(short_names(values['class_names']).values()), 10)}",
        f"within {values['largest_difference']:.2g} of the head on {values['checked_images']} images"
        + (f" (by OpenVINO's default options {default:.2g})" if default else ""),
    ]


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
    from classify.bundle.export import check_target
    from classify.bundle.export import export as export_bundle

    check_target(output, format)
    exported = export_bundle(Bundle.load(bundle), output, format, any_size=not fixed_size)
    show(exported.to_dict(), export_lines, as_json)
