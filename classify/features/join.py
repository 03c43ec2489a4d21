"""Rows of several feature files, image by image."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from classify.features.matrix import FeatureMatrix
from classify.features.rows import renumbered
from data.errors import HeadstartError, unknown_name
from data.text import counted, some_of

JOINS = ("strict", "inner")


def joined(parts: Sequence[FeatureMatrix], how: str = "strict") -> FeatureMatrix:
    """Put the features of several files side by side, each row those of one image.

    Images are matched by the sha256 of their bytes, so that files of differently named sources
    can be joined.

    Parameters
    ----------
    parts : sequence of FeatureMatrix
        Of other recipes or layers each; labels and splits must be the same.
    how : str
        ``strict`` refuses images that are not in every file, ``inner`` leaves them out.

    Returns
    -------
    FeatureMatrix
        In the order of the first file, with its ids.

    Raises
    ------
    HeadstartError
        If images are missing, or labels, splits or classes differ, or two files hold the same
        features.
    """
    if how not in JOINS:
        raise unknown_name("join", how, JOINS)
    if len(parts) == 1:
        return parts[0]
    _refuse_same_features(parts)
    first, others = parts[0], parts[1:]
    places = [np.arange(len(first.y)), *(_places(first, other) for other in others)]
    if how == "strict":
        for other, rows in zip(others, places[1:], strict=True):
            _refuse_missing(first, other, rows < 0)
            _refuse_missing(other, first, _places(other, first) < 0)
    kept = np.all([rows >= 0 for rows in places], axis=0)
    places = [rows[kept] for rows in places]
    for other, rows in zip(others, places[1:], strict=True):
        _refuse_disagreement(first, places[0], other, rows)
    path = " + ".join(part.path for part in parts)
    if not kept.any():
        raise HeadstartError(
            f"{path!r} have no image in common",
            "files of one source",
            ", ".join(counted(len(part.y), "image") for part in parts),
            "extract one source by several recipes: python -m extract run SOURCE ... -o OTHER.h5",
        )
    return replace(
        first,
        X=np.concatenate([part.X[rows] for part, rows in zip(parts, places, strict=True)], axis=1),
        **{name: getattr(first, name)[kept] for name in ("y", "digests", "splits")},
        ids=tuple(first.ids[row] for row in places[0]),
        groups=tuple(first.groups[row] for row in places[0]) if first.groups else (),
        feature_sets=tuple(each for part in parts for each in part.feature_sets),
        path=path,
    )


def _places(first: FeatureMatrix, other: FeatureMatrix) -> np.ndarray:
    """Return the row of `other` that holds the image of each row of `first`; -1 where none does.

    Of several rows with one image, that of the same id is taken where there is one.
    """
    images = [digest.tobytes() for digest in other.digests]
    by_image = dict(zip(reversed(images), reversed(range(len(images))), strict=True))
    exact = dict(zip(zip(images, other.ids, strict=True), range(len(images)), strict=True))
    wanted = zip((digest.tobytes() for digest in first.digests), first.ids, strict=True)
    found = (exact.get((image, name), by_image.get(image, -1)) for image, name in wanted)
    return np.fromiter(found, int, len(first.ids))


def _refuse_same_features(parts: Sequence[FeatureMatrix]) -> None:
    known: dict[tuple[str, str], str] = {}
    for part in parts:
        for each in part.feature_sets:
            for layer in each.layers:
                place = (each.recipe.key, layer)
                if place in known:
                    raise HeadstartError(
                        f"{known[place]!r} and {part.path!r} are of one recipe",
                        "files of other recipes: another backbone, image size or layer",
                        f"the layer {layer} of one recipe twice",
                        "name one of them; for more images, extract them into one file",
                    )
                known[place] = part.path


def _refuse_missing(one: FeatureMatrix, other: FeatureMatrix, missing: np.ndarray) -> None:
    if missing.any():
        rows = np.flatnonzero(missing)
        raise HeadstartError(
            f"{other.path!r} lacks {counted(len(rows), 'image')} of {one.path!r}",
            "the same images in every file, known by their bytes",
            some_of([one.ids[row] for row in rows]),
            "extract the same source into each file, or --join inner to leave such images out",
        )


def _refuse_disagreement(
    first: FeatureMatrix, rows: np.ndarray, other: FeatureMatrix, others: np.ndarray
) -> None:
    """Raise if one image has two labels or two splits."""
    labels = renumbered(other.y, other.class_names, first.class_names)
    for own, theirs, said in ((first.y, labels, "label"), (first.splits, other.splits, "split")):
        differs = own[rows] != theirs[others]
        if differs.any():
            row = rows[np.flatnonzero(differs)[0]]
            raise HeadstartError(
                f"{first.path!r} and {other.path!r} disagree on images",
                f"one {said} for each image",
                f"another {said} for {counted(int(differs.sum()), 'image')}, such as {first.ids[row]}",
                "extract the same source into each file",
            )
