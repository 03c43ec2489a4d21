"""Options that several commands share, and what their texts mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import json_option, say, say_warnings
from data.errors import UsageError
from data.sources.source import SOURCES, grammar, source_kind
from data.split_rule import SplitRule, parse_fractions
from extract.engines.engine import engine_help, values_help

if TYPE_CHECKING:
    from data.tables.groups import Groups

SourceText = Annotated[str, typer.Argument(help=grammar())]
FilePath = Annotated[Path, typer.Argument(help="A feature file.")]
GroupsFile = Annotated[
    Path | None,
    typer.Option("--groups", metavar="FILE.csv", help="Groups by digest,group: each in one split, one fold."),
]
SplitName = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="RULE",
        help="Of rows that name none: hash (default of a new file), or stratified.",
    ),
]
Fractions = Annotated[
    str | None,
    typer.Option(metavar="TRAIN,VALIDATION,TEST", help="With --split stratified; default: 0.8,0.1,0.1."),
]
SplitSeed = Annotated[int | None, typer.Option(min=0, help="With --split stratified; default: 0.")]
BackboneName = Annotated[
    str, typer.Option(help="A name of the table, as xception; file:MODEL or hub:PRESET.")
]
ImageSize = Annotated[str, typer.Option(help="Side, or HEIGHTxWIDTH, in pixels; Xception: 150.")]
OutputLayers = Annotated[list[str], typer.Option(help="Output layer, pooled; repeatable.")]
WeightsText = Annotated[str, typer.Option(help="imagenet, none (random) or a file.")]
EngineName = Annotated[str, typer.Option(help=engine_help())]
KerasBackend = Annotated[
    str | None, typer.Option(help="tensorflow, jax or torch; default: KERAS_BACKEND, else what works.")
]
Precision = Annotated[str, typer.Option(help=values_help("precision", "; "))]
Quantization = Annotated[str, typer.Option(help=values_help("quantization", ", or "))]
Resize = Annotated[str | None, typer.Option(help="bilinear or bicubic; default: bilinear.")]
Antialias = Annotated[
    bool | None,
    typer.Option("--antialias/--no-antialias", help="Average pixels of larger images, as Pillow does."),
]
Crop = Annotated[
    float | None,
    typer.Option(help="Share of the shorter side, cut out of the centre; default: squeeze all."),
]
ScalingText = Annotated[
    str | None, typer.Option("--scaling", help="none, a name or MEAN/DEVIATION; default: the backbone's.")
]
Pooling = Annotated[str, typer.Option(help="avg, cls (the first token) or none (vectors).")]
DecodeScale = Annotated[str, typer.Option(help="full, or dct: large JPEGs decoded smaller.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the CPU; default: all.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Images the backbone sees at once.")]
_REJECTIONS = 10  # that are named
AsJson = Annotated[bool, json_option("it")]


def chosen_engine(engine: str, backend: str | None) -> str:
    """Settle Keras' backend, and return the engine: who names a backend means Keras.

    Raises
    ------
    HeadstartError
        If the backend is unknown or not installed, or goes with another engine than Keras.
    """
    from extract.backbones.keras_backend import use_backend

    if backend is not None and engine not in ("auto", "keras"):
        raise UsageError(
            "--keras-backend goes with the engine keras",
            "--engine keras, or no --engine",
            f"--engine {engine} --keras-backend {backend}",
            "leave one of them out",
        )
    use_backend(backend)
    return engine if backend is None else "keras"


def chosen_rule(name: str | None, fractions: str | None, seed: int | None) -> SplitRule | None:
    """Return the rule of splits that options name; None where they name none.

    Raises
    ------
    UsageError
        If there is no such rule, or fractions or a seed are given that it does not take.

    Examples
    --------
    >>> chosen_rule("stratified", "0.7,0.2,0.1", None).words
    'stratified by 0.7,0.2,0.1 with seed 0'
    """
    if name is None and fractions is None and seed is None:
        return None
    given: dict = {} if fractions is None else {"fractions": parse_fractions(fractions)}
    given |= {} if seed is None else {"seed": seed}
    if name != "stratified" and given and name in (None, "hash"):
        raise UsageError(
            "--fractions and --split-seed go with --split stratified",
            "--split stratified beside them; a hash has fixed fractions and no seed",
            f"--split {name}" if name else "no --split",
            "add --split stratified, or leave them out",
        )
    return SplitRule(name or "hash", **given)


def say_rejections(rejections: Sequence[tuple[str, str]]) -> None:
    """Name the first images of those that were rejected, with the reason of each."""
    for name, reason in rejections[:_REJECTIONS]:
        say(f"rejected: {name}: {reason}")


def listed_groups(file: Path | None) -> "Groups | None":
    """Return the groups of a file, where one is named, and say what the user should know of it."""
    from data.tables.groups import read_groups

    if file is None:
        return None
    groups = read_groups(file)
    say_warnings(groups.notes)
    return groups


def parse_size(text: str) -> tuple[int, int] | None:
    """Read ``150`` or ``150x200`` (height x width); empty text is None.

    Examples
    --------
    >>> parse_size("150"), parse_size("150x200"), parse_size("")
    ((150, 150), (150, 200), None)
    """
    if not text:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UsageError("--image-size is not a size", "150, or HEIGHTxWIDTH as 150x200", text, "correct it")
    return int(sides[0]), int(sides[-1])


def default_name(source: str) -> str:
    """Return the feature file for a source where the user names none: its whole name, and ``.h5``.

    So the folder ``photos`` and the table ``photos.csv`` beside it have files of their own.

    Examples
    --------
    >>> default_name("tfds:cats_vs_dogs:train[:40%]"), default_name("digits")
    ('cats_vs_dogs.h5', 'digits.h5')
    """
    return SOURCES[source_kind(source)].default_name(source) + ".h5"
