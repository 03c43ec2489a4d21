"""Feature files loaded for training and evaluation."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from classify.features.blocks import Columns, Matrix
from classify.features.join import joined
from classify.features.matrix import FeatureMatrix, FeatureSet
from data.errors import HeadstartError, unknown_name
from data.lists import as_list
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
        What is done about images that are not in every file, see `classify.features.join.joined`.
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
