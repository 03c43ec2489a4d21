"""Feature files as the matrix that heads learn from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np

from classify.blocks import Columns, refuse_not_finite
from classify.join import joined, renumbered
from data.errors import HeadstartError, unknown_name
from data.label_checks import check_labels
from data.lists import as_list
from data.splits import SPLIT_NAMES
from data.text import counted, some_of
from extract.recipe import Recipe
from extract.store import FeatureFile
from extract.survey import refuse_other_recipe


@dataclass(frozen=True)
class FeatureSet:
    """Columns of a matrix: how they are computed from an image.

    Attributes
    ----------
    recipe : Recipe
    layers : tuple of str
        Layers of the recipe whose features stand side by side.
    widths : tuple of int
        Features of each layer.
    weights : dict
        Name and origin of the backbone's weights.
    content_digest : str
        Of the feature file.
    engine : dict
        What computed it.
    probe : dict of str to ndarray
        The feature of `extract.engines.probe_image` by layer; empty where there is no file.
    """

    recipe: Recipe
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    weights: dict
    content_digest: str
    engine: dict = field(default_factory=dict)
    probe: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Features:
    """Rows of one feature file, or of several that are joined.

    Attributes
    ----------
    X : ndarray of float32, or Columns, of shape (N, D)
        The features of `feature_sets` side by side; mapped from the file where it is one layer.
    y : ndarray of int32, shape (N,)
        Indices into `class_names`; -1 where unknown.
    ids : tuple of str
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the bytes of each image.
    splits : ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    groups : tuple of str
        Empty, or one for each row.
    class_names : tuple of str
    feature_sets : tuple of FeatureSet
    path : str
    """

    X: np.ndarray | Columns = field(repr=False)
    y: np.ndarray = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    digests: np.ndarray = field(repr=False)
    splits: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = field(repr=False)
    class_names: tuple[str, ...]
    feature_sets: tuple[FeatureSet, ...]
    path: str

    def __repr__(self) -> str:
        counts = {split: len(self.rows(split)) for split in SPLIT_NAMES}
        counts["unlabelled"] = int((self.y < 0).sum())
        return (
            f"Features of {shortened(self.path)}: {self.X.shape[0]} rows x {self.X.shape[1]}\n"
            f"  {sets_text(self.feature_sets)}\n  {names_text(self.class_names)}\n"
            f"  {', '.join(f'{name} {count}' for name, count in counts.items())}"
        )

    @property
    def content_digest(self) -> str:
        """Of the files, in hexadecimal."""
        digests = [each.content_digest for each in self.feature_sets]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def select(self, wanted: Sequence[FeatureSet]) -> "Features":
        """Return the columns of some feature sets, in their order.

        Raises
        ------
        HeadstartError
            If a recipe or a layer is not here.
        """
        if len(wanted) > len(self.feature_sets):
            raise HeadstartError(
                f"{self.path!r} holds fewer features than the head takes",
                f"files of {len(wanted)} recipes: {'; '.join(map(_recipe_text, wanted))}",
                "; ".join(map(_recipe_text, self.feature_sets)),
                "name the feature files of all recipes",
            )
        found = [self._matching(each) for each in wanted]
        columns = np.concatenate(
            [self._columns(own, each.layers) for own, each in zip(found, wanted, strict=True)]
        )
        sets = tuple(
            replace(own, layers=each.layers, widths=each.widths)
            for own, each in zip(found, wanted, strict=True)
        )
        everything = np.array_equal(columns, np.arange(self.X.shape[1]))
        return replace(self, X=self.X if everything else np.asarray(self.X)[:, columns], feature_sets=sets)

    def with_classes(self, names: Sequence[str], *splits: str) -> "Features":
        """Return the same with labels that index `names`, which may be more than our classes.

        Raises
        ------
        HeadstartError
            If labelled rows of some splits are of none of them; in other splits they become unknown.
        """
        y = renumbered(self.y, self.class_names, names)
        odd = self.y[np.intersect1d(self.rows(*splits), np.flatnonzero(y < -1))]
        if len(odd):
            counts = [
                f"{self.class_names[k]} ({counted(int((odd == k).sum()), 'row')})" for k in np.unique(odd)
            ]
            raise HeadstartError(
                f"{self.path!r} has rows of classes that the head was not trained on",
                f"rows of {some_of(names, 10)}; of fewer is fine",
                some_of(counts, 10),
                "name them as the head does, take their rows out, or train a head that knows them",
            )
        return replace(self, y=np.maximum(y, -1), class_names=tuple(names))

    def _matching(self, wanted: FeatureSet) -> FeatureSet:
        nearest = min(self.feature_sets, key=lambda own: len(list(wanted.recipe.differences(own.recipe))))
        refuse_other_recipe(Path(self.path), nearest.recipe, wanted.recipe)
        widths = dict(zip(nearest.layers, nearest.widths, strict=True))
        if any(widths.get(layer) != width for layer, width in zip(wanted.layers, wanted.widths, strict=True)):
            raise HeadstartError(
                f"the features of {self.path!r} are not those that the head takes",
                f"{sum(wanted.widths)} features of {', '.join(wanted.layers)}",
                f"{sum(nearest.widths)} features of {', '.join(nearest.layers)}",
                "load all layers of the file",
            )
        return nearest

    def _columns(self, own: FeatureSet, layers: Sequence[str]) -> np.ndarray:
        """Return the indices of the columns of some layers of one of our feature sets."""
        start, places = 0, {}
        for each in self.feature_sets:
            for layer, width in zip(each.layers, each.widths, strict=True):
                places[id(each), layer] = np.arange(start, start + width)
                start += width
        return np.concatenate([places[id(own), layer] for layer in layers])

    def rows(self, *names: str) -> np.ndarray:
        """Return the indices of the labelled rows of some splits.

        Raises
        ------
        HeadstartError
            If a split is unknown.
        """
        for name in names:
            if name not in SPLIT_NAMES:
                raise unknown_name("split", name, SPLIT_NAMES)
        wanted = [SPLIT_NAMES.index(name) for name in names]
        return np.flatnonzero(np.isin(self.splits, wanted) & (self.y >= 0))

    def split(self, *names: str) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the labelled rows of some splits.

        Parameters
        ----------
        *names : str
            ``train``, ``validation``, ``test``.

        Returns
        -------
        X : ndarray of float32, shape (n, D)
        y : ndarray of int32, shape (n,)

        Raises
        ------
        HeadstartError
            If a feature is not a finite number.

        Examples
        --------
        >>> X, y = load_features("photos.h5").split("train")  # doctest: +SKIP
        """
        chosen = self.rows(*names)
        X = self.X[chosen]
        refuse_not_finite(X, lambda row: self.ids[chosen[row]], repr(self.path))
        return X, self.y[chosen]

    def training_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the training rows, or raise as `check_training` does."""
        self.check_training()
        return self.split("train")

    def check_training(self) -> None:
        """Raise if no head can learn from the training rows.

        Raises
        ------
        HeadstartError
            If they hold fewer than two classes, or share a group with other splits.
        """
        self._refuse_divided_groups()
        y = self.y[self.rows("train")]
        found = [self.class_names[label] for label in np.unique(y)]
        if len(found) < 2:
            raise HeadstartError(
                f"{self.path!r} cannot train a head",
                "labelled training images of two classes or more",
                f"{counted(len(y), 'training image')} of {counted(len(found), 'class')}"
                + (f": {', '.join(found)}" if found else ""),
                "extract more images, labelled with their classes",
            )

    def warnings(self) -> list[str]:
        """Return what is odd about the labels, and what follows from it, as `check_labels` says it."""
        return check_labels(self.y, self.splits, self.digests, self.ids, self.class_names)

    def validation_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the validation rows, or raise if there are none."""
        self.check_validation()
        return self.split("validation")

    def check_validation(self) -> None:
        """Raise if there are no labelled validation rows.

        Raises
        ------
        HeadstartError
        """
        if not len(self.rows("validation")):
            raise HeadstartError(
                f"{self.path!r} has no labelled validation rows",
                "one row or more, to choose or to compare by",
                f"{len(self.rows('train'))} training rows, no validation rows",
                "extract more images, or name a validation split",
            )

    def training_images(self) -> np.ndarray:
        """Return what tells the training images again: the first eight bytes of each digest.

        Returns
        -------
        ndarray of uint64, shape (M,)
            Sorted, each once.
        """
        return np.unique(short_digests(self.digests[self.rows("train")]))

    def refuse_seen(self, split: str, seen: np.ndarray) -> None:
        """Raise if labelled rows of a split hold images that training saw.

        Parameters
        ----------
        split : str
        seen : ndarray of uint64
            As `training_images` returns them.

        Raises
        ------
        HeadstartError
        """
        found = self._seen(split, seen)
        if len(found):
            raise HeadstartError(
                f"training saw images of the split {split!r} of {self.path!r}",
                "images that the head has not learnt, or the scores flatter",
                f"{counted(len(found), 'image')} of {len(self.rows(split))}, known by their bytes: "
                + some_of([self.ids[row] for row in found]),
                "take them out of one split; or leave them out: python -m classify evaluate --unseen-only",
            )

    def without(self, split: str, seen: np.ndarray) -> "Features":
        """Return the features without labels of those images of a split that training saw."""
        labels = self.y.copy()
        labels[self._seen(split, seen)] = -1
        return replace(self, y=labels)

    def _seen(self, split: str, seen: np.ndarray) -> np.ndarray:
        rows = self.rows(split)
        return rows[np.isin(short_digests(self.digests[rows]), seen)]

    def groups_of(self, rows: np.ndarray) -> list[str] | None:
        """Return the group of each row, its own id where it has none; None if no row has one."""
        return [self.groups[row] or self.ids[row] for row in rows] if self.groups else None

    def _refuse_divided_groups(self) -> None:
        if not self.groups:
            return
        training, *others = ({self.groups[row] for row in self.rows(split)} for split in SPLIT_NAMES)
        divided = sorted((training & set().union(*others)) - {""})
        if divided:
            raise HeadstartError(
                f"{self.path!r} has rows of one group in training and in another split",
                "each group in one split, or the scores flatter",
                f"{counted(len(divided), 'group')} in several: {some_of(divided)}",
                "correct the column split of the CSV file, or leave it out: groups then stay together",
            )


def load_features(
    paths: str | Path | Sequence[str | Path],
    layers: str | Sequence[str] | None = None,
    join: str = "strict",
    *,
    in_memory: bool = True,
) -> Features:
    """Open feature files for training or evaluation.

    Parameters
    ----------
    paths : str, Path or a sequence of them
        One file, or several whose features are put side by side, image by image.
    layers : str or sequence of str, optional
        Which layers of each file to put side by side; by default all of its recipe.
    join : str
        What is done about images that are not in every file, see `classify.join.joined`.
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
    several = as_list(paths)
    wrong = [each for each in several if not isinstance(each, str | PathLike)]
    if wrong:
        raise HeadstartError(
            "features are loaded from feature files",
            "a path, or a list of paths",
            repr(wrong[0])[:100],
            'write load_features("photos.h5")',
        )
    if not several:
        raise HeadstartError("no feature file was named", "one or more", "an empty list", "name a file")
    layers = None if layers is None else as_list(layers)
    _refuse_files(several, layers or ())
    in_memory = in_memory or len(several) > 1
    return joined([_load(path, layers, in_memory) for path in several], join)


def _refuse_files(paths: Sequence, layers: Sequence) -> None:
    """Raise if a file stands where a layer is taken: ``load_features("a.h5", "b.h5")``."""
    files = [str(layer) for layer in layers if isinstance(layer, PathLike) or str(layer).endswith(".h5")]
    if files:
        names = [*map(str, paths), *files]
        raise HeadstartError(
            f"{files[0]!r} stands where the name of a layer is taken",
            "several feature files in one list",
            ", ".join(map(repr, names)),
            f"write load_features({names!r})",
        )


def _load(path: str | Path, layers: Sequence[str] | None, in_memory: bool) -> Features:
    file = FeatureFile(path)
    layers = tuple(layers or file.recipe.layers)
    for name in layers:
        if name not in file.outputs:
            raise unknown_name(f"layer in {str(path)!r}:", name, file.outputs)
    matrices = [file.features(name) for name in layers]
    columns = Columns(matrices)
    in_memory = in_memory or not all(isinstance(matrix, np.memmap) for matrix in matrices)  # of shards
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
    return Features(
        X=columns.in_memory() if in_memory else columns,
        y=contents.labels,
        ids=contents.ids,
        digests=contents.digests,
        splits=contents.splits,
        groups=contents.groups,
        class_names=contents.class_names,
        feature_sets=(own,),
        path=str(path),
    )


def short_digests(digests: np.ndarray) -> np.ndarray:
    """Return the first eight bytes of each digest as a number.

    Parameters
    ----------
    digests : ndarray of uint8, shape (N, 32)

    Examples
    --------
    >>> short_digests(np.array([[1] + [0] * 31], np.uint8)).tolist()
    [1]
    """
    return np.ascontiguousarray(digests[:, :8]).view("<u8")[:, 0]


def sets_text(sets: Sequence[FeatureSet]) -> str:
    """Return in one line how features are computed."""
    return shortened(some_of([f"{_recipe_text(each)} ({sum(each.widths)})" for each in sets], 2))


def names_text(class_names: Sequence[str]) -> str:
    """Return number and names of classes in one line.

    Examples
    --------
    >>> names_text(("ant", "bee"))
    '2 classes: ant, bee'
    """
    words = "1 class" if len(class_names) == 1 else f"{len(class_names)} classes"
    return f"{words}: {shortened(some_of(class_names, 5))}"


def shortened(text: str, most: int = 90) -> str:
    """Return a text without its middle where it is long.

    Examples
    --------
    >>> shortened("0123456789", 7)
    '01...89'
    """
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def _recipe_text(each: FeatureSet) -> str:
    height, width = each.recipe.image_size
    return f"{each.recipe.backbone} {height}x{width} {' '.join(each.layers)}"
