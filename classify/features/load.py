"""Feature files loaded for training and evaluation, several of them joined image by image."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from classify.features.columns import Columns, Matrix
from classify.features.matrix import FeatureMatrix, FeatureSet
from classify.features.rows import renumbered
from data.errors import HeadstartError, unknown_name
from data.lists import as_list
from data.text import counted, some_of
from extract.feature_file.reader import FeatureFile
from extract.feature_file.shards import ShardedArray


def load_features(
    paths: str | Path | Sequence[str | Path],
    layers: str | Sequence[str] | None = None,
    join: str = "strict",
    *,
    in_memory: bool = True,
) -> FeatureMatrix:
    """Open feature files for training or evaluation.

    Parameters
    ----------
    paths : str, Path or a sequence of them
        One file, or several whose features are put side by side, image by image.
    layers : str or sequence of str, optional
        Which layers of each file to put side by side; by default all of its recipe.
    join : str
        What is done about images that are not in every file, see `classify.features.load.joined`.
    in_memory : bool
        Whether X is an array; otherwise it is, of one file that is not sharded, `Columns`, of which
        no row is read yet.

    Raises
    ------
    HeadstartError
        If a file is none, or lacks a layer, or the files do not belong together.

    Examples
    --------
    >>> load_features("photos.h5").X.shape  # doctest: +SKIP
    (2002, 2048)
    >>> load_features(["photos.h5", "photos299.h5"]).X.shape  # doctest: +SKIP
    (2002, 4096)
    """
    several, layers = _checked_names(paths, layers)
    in_memory = in_memory or len(several) > 1
    return joined([_load(path, layers, in_memory) for path in several], join)


def _checked_names(
    paths: str | Path | Sequence[str | Path], layers: str | Sequence[str] | None
) -> tuple[list[str | Path], list[str] | None]:
    """Return paths and layers as lists, or raise where something else is named, or nothing.

    A file where a layer is taken, as in ``load_features("a.h5", "b.h5")``, is one more path in mind.
    """
    files, names = as_list(paths), None if layers is None else as_list(layers)
    wrong = [each for each in files if not isinstance(each, str | PathLike)]
    if wrong:
        raise HeadstartError(
            "features are loaded from feature files",
            "a path, or a list of paths",
            repr(wrong[0])[:100],
            'write load_features("photos.h5")',
        )
    if not files:
        raise HeadstartError("no feature file was named", "one or more", "an empty list", "name a file")
    strays = [str(name) for name in names or () if isinstance(name, PathLike) or str(name).endswith(".h5")]
    if strays:
        meant = [*map(str, files), *strays]
        raise HeadstartError(
            f"{strays[0]!r} stands where the name of a layer is taken",
            "several feature files in one list",
            ", ".join(map(repr, meant)),
            f"write load_features({meant!r})",
        )
    return files, names


def _load(path: str | Path, wanted: Sequence[str] | None, in_memory: bool) -> FeatureMatrix:
    file = FeatureFile(path)
    layers = tuple(wanted or file.recipe.layers)
    for name in layers:
        if name not in file.outputs:
            raise unknown_name(f"layer in {str(path)!r}:", name, file.outputs)
    matrices = [file.features(name) for name in layers]
    contents = file.contents
    own = FeatureSet(
        recipe=contents.recipe,
        layers=layers,
        widths=tuple(matrix.shape[1] for matrix in matrices),
        weights=contents.weights,
        content_digest=file.content_digest,
        engine=file.engine(0),
        probe=file.probe,
    )
    return FeatureMatrix(
        X=_side_by_side(matrices, in_memory),
        y=contents.labels,
        ids=contents.ids,
        digests=contents.digests,
        splits=contents.splits,
        groups=contents.groups,
        class_names=contents.class_names,
        feature_sets=(own,),
        path=str(path),
    )


def _side_by_side(layers: Sequence[np.ndarray | ShardedArray], in_memory: bool) -> Matrix:
    """Return layers as one matrix: not read yet where they are mapped, which those of shards are not."""
    mapped = [layer for layer in layers if isinstance(layer, np.memmap)]
    if not in_memory and len(mapped) == len(layers):
        return Columns(mapped)
    return layers[0] if len(layers) == 1 else np.concatenate(layers, axis=1)


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
            some_of([one.ids[row] for row in rows.tolist()]),
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
                "extract the same source into each file, by one --split; stratified splits are equal where "
                "both are made anew",
            )
