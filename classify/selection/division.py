"""By which rows heads are chosen: the validation rows, or folds of the training and validation rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

import numpy as np

from classify.features.matrix import FeatureMatrix
from classify.head import Head
from classify.heads.entry import Sizes
from classify.heads.fit import fit_head
from classify.scores.cross_validation import divisions, no_folds, possible_folds
from classify.scores.folds import folds_of
from data.text import counted

FEW = 30  # validation rows of a class, on average: fewer choose badly
FOLDS = 5
PIECES = 9  # of training rows, for heads that learn a part of them first


@dataclass(frozen=True)
class Part:
    """Rows to learn from, and rows that judge what was learned.

    Attributes
    ----------
    X : ndarray of float32, shape (N, D)
    y : ndarray of int, shape (N,)
    learn, judge : ndarray of int
        Places in `X`.
    groups : tuple of str
        Of the rows that are learned from; empty where none has a group.
    stops : bool
        Whether the rows that judge may also choose what a head chooses by validation rows, as `train` has
        it; of a fold they never do.
    """

    X: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    learn: np.ndarray = field(repr=False)
    judge: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = field(repr=False)
    stops: bool

    @property
    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels of the rows that judge."""
        return self.X[self.judge], self.y[self.judge]

    @property
    def learned(self) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels of the rows that are learned from."""
        return self.X[self.learn], self.y[self.learn]

    def fit(self, head: Head) -> Head:
        """Fit a head to the rows to learn from, as `train` or a fold of a cross-validation does."""
        X, y = self.learned
        X_val, y_val = self.judged if self.stops else (None, None)
        return fit_head(head, X, y, X_val, y_val, self.groups or None)


@dataclass(frozen=True)
class Division:
    """How rows judge heads.

    Attributes
    ----------
    X : ndarray of float32, shape (N, D)
        Of the training and validation rows.
    y : ndarray of int, shape (N,)
    groups : tuple of str
        Of each row; empty where none has one.
    parts : tuple of (ndarray of int, ndarray of int)
        Places of rows to learn from, and of rows that judge.
    folds : int
        0: the validation rows judge.
    why : str
        Reason of that where nobody asked for it; empty where there is none to tell.
    """

    X: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = field(repr=False)
    parts: tuple[tuple[np.ndarray, np.ndarray], ...] = field(repr=False)
    folds: int
    why: str = ""

    @property
    def rows(self) -> int:
        """How many rows judge."""
        return sum(len(judge) for _, judge in self.parts)

    def sizes(self, pieces: int = PIECES) -> Sizes:
        """Return the sizes of one training."""
        learn, judge = self.parts[0]
        rows = len(learn) * pieces // PIECES
        return Sizes(self.X.shape[1], int(self.y.max()) + 1, rows, len(judge))

    @property
    def words(self) -> str:
        """What judges, for people."""
        rows = counted(self.rows, "training and validation row" if self.folds else "validation row")
        return f"{f'{self.folds} folds of ' if self.folds else ''}{rows}{self.why}"

    @property
    def key(self) -> str:
        """What the rows of each part depend on, in hexadecimal."""
        digest = sha256()
        for rows in (places for part in self.parts for places in part):
            digest.update(len(rows).to_bytes(8, "big") + rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def learned(self, number: int, pieces: int = PIECES) -> int:
        """Return how many rows of a part are learned from."""
        return len(self._learn(number, pieces))

    def part(self, number: int, pieces: int = PIECES) -> Part:
        """Return a part; of its rows to learn from as many ninths as told, fewer within more.

        Classes are evenly among the ninths, and rows of one group are in one.
        """
        judge = self.parts[number][1]
        learn = self._learn(number, pieces)
        named = tuple(self.groups[row] for row in learn) if self.groups else ()
        return Part(self.X, self.y, learn, judge, named, stops=not self.folds)

    def _learn(self, number: int, pieces: int) -> np.ndarray:
        learn = self.parts[number][0]
        return learn if pieces == PIECES else learn[self._piece[number] < pieces]

    @cached_property
    def _piece(self) -> list[np.ndarray]:
        """For each part the ninth of each row to learn from."""
        found = []
        for learn, _ in self.parts:
            groups = [self.groups[row] for row in learn] if self.groups else None
            found.append(folds_of(self.y[learn], groups, PIECES, np.random.default_rng(0)))
        return found


def division_of(features: FeatureMatrix, cv: int | None = None) -> Division:
    """Decide by which rows heads are chosen.

    Parameters
    ----------
    features : FeatureMatrix
    cv : int, optional
        Folds; 0: the validation rows, however few. By default the validation rows, and five folds, or as
        many as are possible, where there are fewer than 30 validation rows a class.

    Raises
    ------
    HeadstartError
        If no head can learn from the training rows, so many folds are not possible, or no rows can judge.
    """
    features.check_training()
    folds = _folds(features) if cv is None else cv
    if not folds:
        features.check_validation()
    X, y = features.split("train", "validation")
    chosen = features.rows("train", "validation")
    parts = divisions(features, folds) if folds else [_by_split(features, chosen)]
    if not parts:
        raise no_folds(features, folds)
    why = _why(features, folds) if cv is None else ""
    return Division(X, y, tuple(features.groups_of(chosen) or ()), tuple(parts), folds, why)


def _too_few(features: FeatureMatrix) -> bool:
    return len(features.rows("validation")) < FEW * len(np.unique(features.y[features.rows("train")]))


def _folds(features: FeatureMatrix) -> int:
    return possible_folds(features, FOLDS) if _too_few(features) else 0


def _why(features: FeatureMatrix, folds: int) -> str:
    if not _too_few(features):
        return ""
    classes = counted(len(np.unique(features.y[features.rows("train")])), "class")
    if not folds:
        return f", few for {classes}; some class has too few rows for folds"
    rows = len(features.rows("validation"))
    if not rows:
        return ", as there are no validation rows"
    return f", as {counted(rows, 'validation row')} for {classes} are few (--cv 0 takes them)"


def _by_split(features: FeatureMatrix, chosen: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    training = np.isin(chosen, features.rows("train"))
    return np.flatnonzero(training), np.flatnonzero(~training)
