"""Images unlike all that a head was trained on, by their distance to the training features."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from classify.features.matrix import FeatureMatrix
from data.errors import HeadstartError, UsageError
from data.output.atomic import written_aside
from data.text import counted, with_type

FORMAT, FORMAT_VERSION = "headstart detector", 1
_BLOCK = 1024  # rows compared at once
MOST, NEIGHBOURS = 2000, 5  # training features that are kept, and that a score is a mean over


@dataclass(frozen=True)
class Detector:
    """Tell which images are unlike the training images; make one with `Detector.fit`.

    The score of an image is the mean cosine distance between its feature and the nearest
    training features, after Sun et al. 2022, *Out-of-distribution detection with deep nearest
    neighbors* (ICML, PMLR 162); they take the distance to the k-th neighbour, the mean over k is
    steadier for small k. The threshold is the split-conformal quantile of validation scores
    (Angelopoulos & Bates 2023, *Conformal prediction: a gentle introduction*, sec. 1): of new
    images that are drawn as the validation images were, at most a share `rate` is unknown on
    average.

    A stored detector takes ``2 * M * D`` bytes: 8.2 MB for the 2,000 rows kept at most of
    features of width 2,048. Mahalanobis distances (Lee et al. 2018, NeurIPS) would need the
    covariance of the features, 16.8 MB, and more images than dimensions to estimate it.

    Attributes
    ----------
    reference : ndarray of float16, shape (M, D)
        Training features of unit length.
    scores : ndarray of float32, shape (n,)
        Of the validation images, ascending.
    neighbours : int
        Training features that the mean is over.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> cats = generator.normal(0, 0.1, (200, 8)) + np.eye(8)[0]
    >>> detector = Detector.fit(cats[:100], cats[100:])
    >>> detector.unknown(np.eye(8)[:2], rate=0.05).tolist()
    [False, True]
    """

    reference: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    neighbours: int

    @classmethod
    def fit(
        cls,
        X_train: np.ndarray,
        X_val: np.ndarray,
        *,
        y_train: np.ndarray | None = None,
        neighbours: int = NEIGHBOURS,
        most: int = MOST,
        seed: int = 0,
    ) -> "Detector":
        """Keep training features and the scores of validation features.

        Parameters
        ----------
        X_train : ndarray of shape (N, D)
        X_val : ndarray of shape (n, D)
            Of images that are not in `X_train`.
        y_train : ndarray of shape (N,), optional
            Classes: where rows are left out, each class keeps as many as the others, if it has.
        neighbours : int
        most : int
            Rows of either that are used; of more they are drawn at random.
        seed : int
            Of the draw.

        Raises
        ------
        HeadstartError
            If there are fewer training rows than neighbours, or features are not finite.
        """
        X_train, X_val = np.asarray(X_train), np.asarray(X_val)
        _check(X_train, X_val, neighbours)
        rows = drawn(len(X_train), y_train, max(most, neighbours), seed)
        reference = _unit(X_train[rows]).astype(np.float16)
        judged = X_val[drawn(len(X_val), None, most, seed)]
        return cls(reference, np.sort(_scores(judged, reference, neighbours)), neighbours)

    @classmethod
    def of(cls, features: FeatureMatrix) -> "Detector | None":
        """Fit a detector to the training and validation rows; None where they are too few for any.

        Parameters
        ----------
        features : FeatureMatrix
        """
        train, validation = features.rows("train"), features.rows("validation")
        if len(train) < NEIGHBOURS or not len(validation):
            return None
        train = train[drawn(len(train), features.y[train])]
        validation = validation[drawn(len(validation), None)]
        return cls.fit(features.X[train], features.X[validation])

    def score(self, X: np.ndarray) -> np.ndarray:
        """Return how unlike the training features each row is.

        Parameters
        ----------
        X : ndarray of shape (N, D)

        Returns
        -------
        ndarray of float32, shape (N,)
            From 0, the same direction as `neighbours` training features, to 2.

        Raises
        ------
        HeadstartError
            If the rows have another width.
        """
        X = np.asarray(X)
        _check_width(X, self.reference.shape[1])
        return _scores(X, self.reference, self.neighbours)

    def threshold(self, rate: float) -> float:
        """Return the score above which images are unknown.

        Parameters
        ----------
        rate : float
            Share of images like the validation images to be called unknown, between 0 and 1.

        Raises
        ------
        HeadstartError
            If there are too few validation images for the rate: 1 / rate - 1 are needed.
        """
        _check_rate(rate, len(self.scores))
        rank = int(np.ceil((len(self.scores) + 1) * (1 - rate) - 1e-9))
        return float(self.scores[rank - 1])

    def unknown(self, X: np.ndarray, rate: float = 0.05) -> np.ndarray:
        """Tell which rows are unlike the training features; one with NaN is.

        Parameters
        ----------
        X : ndarray of shape (N, D)
        rate : float
            As `threshold` takes it.

        Returns
        -------
        ndarray of bool, shape (N,)
        """
        return ~(self.score(X) <= self.threshold(rate))

    def save(self, path: str | Path) -> None:
        """Write an NPZ file of plain arrays.

        Raises
        ------
        OSError
            If the path cannot be written; an existing file is then as it was.
        """
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        with written_aside(Path(path)) as aside, open(aside, "wb") as file:
            np.savez(file, allow_pickle=False, format=FORMAT, format_version=FORMAT_VERSION, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Detector":
        """Read what `save` wrote; nothing in it is run.

        Raises
        ------
        HeadstartError
            If the file is no detector, or is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                values = {name: file[name] for name in ("format", "format_version", *_ARRAYS)}
            return cls._checked(values)
        except Exception as error:  # zip and numpy raise anything on damaged files
            raise HeadstartError(
                f"{str(path)!r} is not a detector of unknown images, or is damaged",
                f"a file that Detector.save wrote, {FORMAT} {FORMAT_VERSION}",
                with_type(error),
                "train the head again: python -m classify train FILE.h5; or fit and save a detector again",
            ) from error

    @classmethod
    def _checked(cls, values: dict[str, np.ndarray]) -> "Detector":
        found = (str(values["format"]), int(values["format_version"]))
        if found != (FORMAT, FORMAT_VERSION):
            raise ValueError(f"the format {found[0]} {found[1]}")
        reference, scores, neighbours = values["reference"], values["scores"], int(values["neighbours"])
        if reference.ndim != 2 or reference.dtype != np.float16 or not 1 <= neighbours <= len(reference):
            raise ValueError(f"{neighbours} neighbours of {reference.dtype} {reference.shape}")
        if scores.ndim != 1 or not len(scores) or not (np.diff(scores) >= 0).all():
            raise ValueError("scores that are not sorted numbers")
        return cls(reference, scores, neighbours)


_ARRAYS = ("reference", "scores", "neighbours")


def _scores(X: np.ndarray, reference: np.ndarray, neighbours: int) -> np.ndarray:
    """Return 1 less the mean of the largest cosines between each row and the reference."""
    scores, columns = np.empty(len(X), np.float32), reference.astype(np.float32).T
    for start in range(0, len(X), _BLOCK):
        cosines = _unit(X[start : start + _BLOCK]) @ columns
        nearest = np.partition(cosines, -neighbours, axis=1)[:, -neighbours:]
        scores[start : start + _BLOCK] = 1 - nearest.mean(axis=1)
    return scores


def _unit(X: np.ndarray) -> np.ndarray:
    """Return rows of unit length; a row of zeros stays so, and is at distance 1 from all."""
    X = np.asarray(X, np.float32)
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(lengths > 0, lengths, 1)


def drawn(rows: int, labels: np.ndarray | None, most: int = MOST, seed: int = 0) -> np.ndarray:
    """Draw `most` rows, by turns from each class where there are labels.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 0, 1])
    >>> labels[drawn(5, labels, most=2)].tolist()
    [0, 1]

    Returns
    -------
    ndarray of int, shape (min(rows, most),)
        Ascending.
    """
    if rows <= most:
        return np.arange(rows)
    order = np.random.default_rng(seed).permutation(rows)
    if labels is not None:
        _, classes, counts = np.unique(np.asarray(labels)[order], return_inverse=True, return_counts=True)
        by_class = np.argsort(classes, kind="stable")
        turns = np.empty(rows, int)  # how many of its class came before each row
        turns[by_class] = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[np.argsort(turns, kind="stable")]
    return np.sort(order[:most])


def _check(X_train: np.ndarray, X_val: np.ndarray, neighbours: int) -> None:
    if X_train.ndim != 2 or len(X_train) < neighbours or neighbours < 1:
        raise HeadstartError(
            "there are too few training features for a detector of unknown images",
            f"a matrix with {counted(max(neighbours, 1), 'row')} or more",
            f"the shape {X_train.shape}",
            "give more training images, or fewer neighbours",
        )
    _check_width(X_val, X_train.shape[1])
    if not (np.isfinite(X_train).all() and np.isfinite(X_val).all()):
        raise HeadstartError(
            "features are not finite",
            "numbers",
            "NaN or infinity",
            "verify the feature file: python -m extract verify FILE.h5",
        )
    if not len(X_val):
        raise HeadstartError(
            "a detector of unknown images has nothing to set thresholds by",
            "validation features",
            "none",
            "give validation images",
        )


def _check_rate(rate: float, validation: int) -> None:
    if not 0 < rate < 1:
        raise UsageError(
            "the rate of unknown images is no share",
            "a number between 0 and 1, both excluded",
            f"{rate}",
            "choose another rate, as 0.05",
        )
    if validation + 1 < 1 / rate - 1e-9:
        raise HeadstartError(
            "the threshold for unknown images cannot be set",
            f"{int(np.ceil(1 / rate - 1e-9)) - 1} validation images or more",
            f"the rate {rate} and {counted(validation, 'validation image')}",
            "train with more validation images, or choose another rate",
        )


def _check_width(X: np.ndarray, width: int) -> None:
    if X.ndim != 2 or X.shape[1] != width:
        raise HeadstartError(
            "the features have another width than the detector takes",
            f"{width} features of each image",
            f"the shape {X.shape}",
            "give features of the recipe and layers that it was fitted on",
        )
