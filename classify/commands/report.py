"""The command python -m classify report."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import CorrectionsFile, Join, corrected
from data.console import say_warnings, show
from data.names import shortened
from data.source_options import NONE, takes_source_options
from data.sources.options import SourceOptions, option_of
from data.text import counted, with_article

if TYPE_CHECKING:
    from classify.features.images import Images
    from classify.features.matrix import FeatureMatrix


@takes_source_options
def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE... FILE...",
            help="Folders that train wrote, the first one shown and the others compared, and feature files.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html", help="The page.")] = Path(
        "report.html"
    ),
    source: Annotated[
        str | None, typer.Option(help="Where the images lie; default: where they lay at extraction.")
    ] = None,
    how: SourceOptions = NONE,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Show no picture, for data that must not leave its place.")
    ] = False,
    large: Annotated[
        bool, typer.Option("--large", help="Keep the picture of every row that is shown, beyond 50 MB too.")
    ] = False,
    frontier: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="What frontier wrote: show the recipes."),
    ] = None,
    corrections: CorrectionsFile = None,
    join: Join = "strict",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write one page on what a head gets right and wrong, in which labels can be corrected.

    The page opens from disk and loads nothing. Ticked images are downloaded from it as a CSV of
    corrections. Several bundles are compared on the same rows.

    Example: python -m classify report photos-logistic photos.h5 -o report.html
    """
    from classify.bundle.bundle import Bundle
    from classify.features.load import load_features
    from classify.frontier.record import read_frontier
    from classify.report.found import find
    from classify.report.gather import Asked, gather
    from classify.report.render import check_report, size_warnings, write_report
    from extract.feature_file.reader import FeatureFile

    if source is not None and no_images:
        raise typer.BadParameter("--source says where the images lie; leave it or --no-images out")
    if how and source is None:
        raise typer.BadParameter(f"without --source there is no meaning in {', '.join(map(option_of, how))}")
    folders, files = _divided(paths)
    check_report(output)
    tried = read_frontier(frontier) if frontier else None
    bundles = tuple(Bundle.load(folder) for folder in folders)
    before = load_features(files, join=join)
    features = corrected(before, corrections)
    images, without, warnings = _images(features, source, how, no_images)
    for bundle in bundles:
        warnings += features.arithmetic_warnings(bundle.feature_sets)
    page = gather(
        Asked(
            tuple(map(str, folders)),
            bundles,
            features,
            tuple(map(FeatureFile, files)),
            find(bundles[0], features, images),
            read=images.each if images else None,
            without_pictures=without,
            before=None if corrections is None else before,
            corrected=_entries(corrections),
            frontier=tried,
            large=large,
        )
    )
    size = write_report(output, page, large=large)
    warnings += size_warnings(size)
    say_warnings(warnings)
    show(
        {
            "report": str(output),
            "bytes": size,
            "accuracy": page.scores["accuracy"],
            "notices": [notice.what for notice in page.notices],
            "pictures": len({*page.pictures.large, *page.pictures.small}),
            "warnings": warnings,
        },
        report_lines,
        as_json,
    )


def report_lines(values: dict) -> list[str]:
    """Lay out what was written for people.

    Examples
    --------
    >>> values = {"report": "r.html", "bytes": 2_500_000, "pictures": 1, "notices": ["3 labels look wrong."]}
    >>> print("\\n".join(report_lines(values)))
    3 labels look wrong.
    wrote r.html: 2.5 MB, 1 picture
    """
    pictures = counted(values["pictures"], "picture")
    return [*values["notices"], f"wrote {values['report']}: {values['bytes'] / 1e6:.1f} MB, {pictures}"]


def _divided(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the bundles and the feature files among paths: bundles stand first."""
    from classify.bundle.folder import is_bundle

    bundles = next((place for place, path in enumerate(paths) if not is_bundle(path)), len(paths))
    if not bundles or bundles == len(paths):
        others = (
            ", ".join(f"{shortened(str(path))!r}, {_what(path)}" for path in paths[bundles:]) or "no file"
        )
        raise typer.BadParameter(
            "name one or more bundles, then feature files; "
            f"received {counted(bundles, 'bundle')} and {others}"
        )
    return list(paths[:bundles]), list(paths[bundles:])


def _what(path: Path) -> str:
    from data.output.ours import kind_of_output

    if not os.path.exists(path):
        return "which does not exist"
    return with_article(
        kind_of_output(path) or ("folder without a bundle" if path.is_dir() else "other file")
    )


def _entries(corrections: Path | None) -> tuple[tuple[str, str, str], ...]:
    """Return what a file of corrections holds, so that the page hands it on with what is ticked there."""
    from classify.features.corrections import read_corrections

    if corrections is None:
        return ()
    return tuple(
        (each.digest, each.id, each.label) for each in read_corrections(corrections).entries.values()
    )


def _images(
    features: "FeatureMatrix", source: str | None, how: SourceOptions, no_images: bool
) -> "tuple[Images | None, str, list[str]]":
    """Return the images, why there are none, and warnings."""
    from classify.features.images import Images

    if no_images:
        return None, "pictures were left out by --no-images", []
    images = Images.of(features, source, **how)
    if images.source is None:
        return None, images.warning(), [images.warning()]
    return images, "", []
