"""A feature file as the matrix that heads learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from classify.blocks import Columns
from data.errors import HeadstartError, unknown_name
from data.splits import SPLIT_NAMES
from extract.recipe import Recipe
from extract.store import FeatureFile


@dataclass(frozen=True)
class Features:
    """Rows of a feature file.

    Attributes
    ----------
    X : ndarray of float32, or Columns, of shape (N, D)
        The features of `layers` side by side; mapped from the file where there is one layer.
    y : ndarray of int32, shape (N,)
        Indices into `class_names`; -1 where unknown.
    ids : tuple of str
    splits : ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    groups : tuple of str
        Empty, or one for each row.
    class_names : tuple of str
    recipe : Recipe
    layers : tuple of str
    weights : dict
        Name and origin of the backbone's weights.
    content_digest : str
        Of the file.
    path : str
    probe : dict of str to ndarray
        The feature of `extract.engines.probe_image` by layer; empty where there is no file.
    engine : dict
        What computed it.
    """

    X: np.ndarray | Columns = field(repr=False)
    y: np.ndarray = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    splits: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = field(repr=False)
    class_names: tuple[str, ...]
    recipe: Recipe
    layers: tuple[str, ...]
    weights: dict
    content_digest: str
    path: str
    probe: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    engine: dict = field(default_factory=dict)

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

        Examples
        --------
        >>> X, y = load_features("photos.h5").split("train")  # doctest: +SKIP
        """
        chosen = self.rows(*names)
        return self.X[chosen], self.y[chosen]

    def training_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the training rows, or raise as `check_training` does."""
        self.check_training()
        return self.split("train")

    def check_training(self) -> None:
        """Raise if no head can learn from the training rows.

        Raises
        ------
        HeadstartError
            If they hold fewer than two classes.
        """
        y = self.y[self.rows("train")]
        found = [self.class_names[label] for label in np.unique(y)]
        if len(found) < 2:
            raise HeadstartError(
                f"{self.path!r} cannot train a head",
                "labelled training images of two classes or more",
                f"{len(y)} training images of {len(found)} classes"
                + (f": {', '.join(found)}" if found else ""),
                "extract more images, labelled with their classes",
            )

    def validation_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the validation rows, or raise if there are none.

        Raises
        ------
        HeadstartError
        """
        X, y = self.split("validation")
        if not len(y):
            raise HeadstartError(
                f"{self.path!r} has no labelled validation rows",
                "one row or more, to choose or to compare by",
                f"{len(self.rows('train'))} training rows, no validation rows",
                "extract more images, or name a validation split",
            )
        return X, y

    def groups_of(self, rows: np.ndarray) -> list[str] | None:
        """Return the group of each row, its own id where it has none; None if no row has one."""
        return [self.groups[row] or self.ids[row] for row in rows] if self.groups else None


def load_features(
    path: str | Path, layers: Sequence[str] | None = None, *, in_memory: bool = True
) -> Features:
    """Open a feature file for training or evaluation.

    Parameters
    ----------
    path : str or Path
    layers : sequence of str, optional
        Which of the file's layers to put side by side; by default all of its recipe.
    in_memory : bool
        Whether X is an array; otherwise it is `Columns`, of which no row is read yet.

    Raises
    ------
    HeadstartError
        If the file is none, or lacks a layer.

    Examples
    --------
    >>> load_features("photos.h5").X.shape  # doctest: +SKIP
    (2002, 2048)
    """
    file = FeatureFile(path)
    layers = tuple(layers or file.recipe.layers)
    for name in layers:
        if name not in file.outputs:
            raise unknown_name(f"layer in {str(path)!r}:", name, file.outputs)
    columns = Columns([file.features(name) for name in layers])
    contents = file.contents
    return Features(
        X=columns.in_memory() if in_memory else columns,
        y=contents.labels,
        ids=contents.ids,
        splits=contents.splits,
        groups=contents.groups,
        class_names=contents.class_names,
        recipe=contents.recipe,
        layers=layers,
        weights=contents.weights,
        content_digest=file.content_digest,
        path=str(path),
        probe=file.probe,
        engine=file.engine(0),
    )
