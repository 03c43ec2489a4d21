"""What a head says of images or rows: the label, and what else was asked."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import repeat
from typing import Protocol

import numpy as np

from classify.bundle.detector import NEIGHBOURS, Detector
from classify.features.matrix import FeatureSet
from classify.scores.conformal import Conformal, label_sets
from data.errors import HeadstartError, UsageError

UNKNOWN = "unknown"
_DIGITS = 6  # of a probability


@dataclass(frozen=True)
class Asked:
    """What is asked of a head besides the label.

    Attributes
    ----------
    abstain : float, optional
        Call images unknown that are unlike the training images, and this share of others.
    top_k : int, optional
        Tell so many of the most probable labels, instead of the probability of every class.
    coverage : float, optional
        Tell the labels of a set that holds the truth for this share of images, see
        `classify.scores.conformal.Conformal`; not with `top_k`.
    """

    abstain: float | None = None
    top_k: int | None = None
    coverage: float | None = None

    @property
    def most(self) -> int:
        """How many labels a table shows of an image at most."""
        return sys.maxsize if self.coverage is not None else self.top_k or 1


@dataclass(frozen=True)
class Prediction:
    """What a head says of one image.

    Attributes
    ----------
    file : str
        The path, or what the image was given as and its place: ``bytes 0``, ``array 1``, ``image 2``.
    label : str or None
        ``unknown`` where the image is unlike the training images, which `unknown` tells from a class of
        that name; None where it cannot be read.
    probability : float or None
        Of the label.
    probabilities : dict of str to float
        Of every class; of the most probable ones, where `top_k` was asked for; of those in the set, where
        a `coverage` was: the most probable first.
    unknown : bool or None
        None where nobody asked.
    distance : float or None
        To the training features, see `classify.bundle.detector.Detector`.
    error : str
        Why the image cannot be read; empty otherwise.
    """

    file: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    unknown: bool | None = None
    distance: float | None = None
    error: str = ""

    def to_dict(self) -> dict:
        """Return the prediction as JSON-ready values."""
        return asdict(self)


class Classifier(Protocol):
    """What is asked of a bundle."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their probabilities."""

    @property
    def feature_sets(self) -> tuple[FeatureSet, ...]:
        """How features are computed, side by side in this order."""

    @property
    def detector(self) -> Detector | None:
        """Tells which images are unlike the training images."""

    @property
    def conformal(self) -> Conformal | None:
        """Tells which labels an image may have."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class."""


@dataclass(frozen=True)
class Answers:
    """What a head says of some rows.

    Attributes
    ----------
    class_names : tuple of K str
    proba : ndarray of float64, shape (n, K)
        Rounded to six digits.
    best : ndarray of int, shape (n,)
        The most probable class.
    unknown : ndarray of bool, shape (n,), or None
        None where nobody asked.
    distances : ndarray of float, shape (n,), or None
        To the training features, as `unknown`.
    told : ndarray of int, shape (n, k), or None
        Classes whose probabilities are told, the most probable first; None: every class.
    sizes : ndarray of int, shape (n,), or None
        How many of `told` belong to the set of the row; None: all.
    """

    class_names: tuple[str, ...]
    proba: np.ndarray = field(repr=False)
    best: np.ndarray = field(repr=False)
    unknown: np.ndarray | None = field(default=None, repr=False)
    distances: np.ndarray | None = field(default=None, repr=False)
    told: np.ndarray | None = field(default=None, repr=False)
    sizes: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.best)

    def labels(self, abstention: str | None = UNKNOWN) -> list[str | None]:
        """Return the label of each row, or `abstention` where the head abstains."""
        names = [*self.class_names, abstention]
        numbers = self.best if self.unknown is None else np.where(self.unknown, -1, self.best)
        return [names[number] for number in numbers.tolist()]

    def label_probabilities(self) -> list[float | None]:
        """Return the probability of each label; None where the head abstains."""
        found = self.proba[np.arange(len(self)), self.best].tolist()
        if self.unknown is None:
            return found
        return [None if odd else value for odd, value in zip(self.unknown.tolist(), found, strict=True)]

    def probabilities(self) -> Iterator[dict[str, float]]:
        """Yield the probabilities of each row that are told, by label."""
        if self.told is None:
            for row in self.proba.tolist():
                yield dict(zip(self.class_names, row, strict=True))
            return
        shares = np.take_along_axis(self.proba, self.told, axis=1).tolist()
        sizes = repeat(self.told.shape[1], len(self)) if self.sizes is None else self.sizes.tolist()
        for classes, row, size in zip(self.told.tolist(), shares, sizes, strict=True):
            labels = (self.class_names[number] for number in classes[:size])
            yield dict(zip(labels, row[:size], strict=True))

    def values(self, names: Sequence[str]) -> Iterator[tuple]:
        """Yield what a `Prediction` holds of each row, but for ``error``, by names of their images."""
        nothing = [None] * len(self)
        unknown = nothing if self.unknown is None else self.unknown.tolist()
        distances = nothing if self.distances is None else self.distances.tolist()
        columns = (names, self.labels(), self.label_probabilities(), self.probabilities(), unknown, distances)
        return zip(*columns, strict=True)

    def of(self, names: Sequence[str]) -> Iterator[Prediction]:
        """Yield a prediction for each row, by names of their images."""
        return (Prediction(*values) for values in self.values(names))


class Answering:
    """A bundle that is asked: features to answers.

    Parameters
    ----------
    bundle : Bundle
    asked : Asked

    Raises
    ------
    HeadstartError
        If the bundle cannot tell what is asked.
    """

    def __init__(self, bundle: Classifier, asked: Asked) -> None:
        self._bundle = bundle
        self._threshold = _threshold(bundle, asked.abstain)
        self._top = _checked_top(asked)
        self._highest = _highest(bundle, asked.coverage)

    def __call__(self, X: np.ndarray) -> Answers:
        """Return what the head says of features.

        Parameters
        ----------
        X : ndarray of shape (n, D)
            By the bundle's recipes.
        """
        proba = self._bundle.predict_proba(X)
        unknown = distances = None
        if self._threshold is not None and self._bundle.detector is not None:
            distances = self._bundle.detector.score(X)
            unknown = ~(distances <= self._threshold)
        return Answers(
            self._bundle.class_names,
            proba.round(_DIGITS),
            proba.argmax(axis=1),
            unknown,
            distances,
            *self._told(proba),
        )

    def _told(self, proba: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the classes that are told of each row, and how many of them where that is not the same."""
        if self._highest is not None:
            sizes = label_sets(proba, self._highest).sum(axis=1)
            return most_probable(proba, int(sizes.max(initial=1))), sizes
        return None if self._top is None else most_probable(as_told(proba), self._top), None


def as_told(proba: np.ndarray) -> np.ndarray:
    """Return probabilities in the digits that are told, the highest of each row still above the others.

    What is alike in them is in the same order on every machine, whose arithmetics differ in the last bits.

    Examples
    --------
    >>> as_told(np.array([[0.2, 0.2 + 1e-12, 0.6]])).round(7).tolist()
    [[0.2, 0.2, 0.6000005]]
    """
    told = proba.round(_DIGITS)
    told[np.arange(len(told)), proba.argmax(axis=1)] += 10**-_DIGITS / 2
    return told


def most_probable(proba: np.ndarray, most: int) -> np.ndarray:
    """Return the most probable classes of each row, the first of equal ones first.

    Parameters
    ----------
    proba : ndarray of shape (n, K)
    most : int

    Returns
    -------
    ndarray of int, shape (n, min(most, K))

    Examples
    --------
    >>> most_probable(np.array([[0.2, 0.5, 0.3]]), 2).tolist()
    [[1, 2]]
    """
    if most == 1:
        return proba.argmax(axis=1)[:, np.newaxis]
    return np.argsort(-proba, axis=1, kind="stable")[:, :most]


def _checked_top(asked: Asked) -> int | None:
    if asked.top_k is not None and asked.coverage is not None:
        raise UsageError(
            "labels are told by their number or by the coverage of their set",
            "one of --top-k and --coverage",
            f"--top-k {asked.top_k} and --coverage {asked.coverage:g}",
            "leave one out",
        )
    if asked.top_k is not None and asked.top_k < 1:
        raise UsageError(
            "there is no such number of most probable labels",
            "a whole number above 0",
            str(asked.top_k),
            "correct --top-k, or leave it out",
        )
    return asked.top_k


def _highest(bundle: Classifier, coverage: float | None) -> float | None:
    if coverage is None:
        return None
    if bundle.conformal is None:
        again = "finetune BUNDLE SOURCE" if _is_tuned(bundle) else "train FILE.h5 --cross-conformal 5"
        raise HeadstartError(
            "the bundle cannot tell sets of labels that hold the truth",
            "the probabilities of images that training did not see",
            "a bundle of an earlier version, or one made without validation images",
            f"make it again, with validation images or in folds: python -m classify {again}",
        )
    return bundle.conformal.highest(coverage)


def _is_tuned(bundle: Classifier) -> bool:
    return not all(each.content_digest for each in bundle.feature_sets)


def _threshold(bundle: Classifier, abstain: float | None) -> float | None:
    if abstain is None:
        return None
    if bundle.detector is None:
        command = "finetune BUNDLE SOURCE" if _is_tuned(bundle) else "train FILE.h5"
        raise HeadstartError(
            "the bundle cannot tell which images are unknown",
            f"the distances of validation images to {NEIGHBOURS} training images or more",
            "a bundle without a detector.npz, which holds them",
            f"make it again, with validation images: python -m classify {command}; or leave --abstain out",
        )
    return bundle.detector.threshold(abstain)
