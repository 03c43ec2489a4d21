"""What images that training has too do to the scores of a split."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from classify.audit.duplicates import Duplicates
from classify.audit.out_of_fold import trained_proba
from classify.features.matrix import FeatureMatrix
from classify.scores.evaluate import evaluate
from classify.scores.intervals import score_text
from data.text import counted

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


@dataclass(frozen=True)
class LeakScores:
    """Scores of a split with the rows that training has too, without them, and of them alone.

    Attributes
    ----------
    split : str
    rows, leaking : int
    everything, clean, seen : dict or None
        Each of `SCORES` with its 95 % interval; None of no rows.
    """

    split: str
    rows: int
    leaking: int
    everything: dict | None
    clean: dict | None
    seen: dict | None

    def to_dict(self) -> dict:
        """Return all of it as JSON-ready values."""
        return asdict(self)

    def sentence(self) -> str:
        """Say it in a line.

        Examples
        --------
        >>> score = {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}
        >>> LeakScores("test", 9, 1, score, None, score).sentence()
        'accuracy on test rows: 0.5000 [0.4000, 0.6000]; without 1 row that training has too: nothing is left'
        """
        if not self.everything:
            return f"there are no labelled {self.split} rows"
        told = f"accuracy on {self.split} rows: {score_text(self.everything['accuracy'])}"
        if not self.leaking:
            return f"{told}; none of them is in training too"
        without = score_text(self.clean["accuracy"]) if self.clean else "nothing is left"
        return f"{told}; without {counted(self.leaking, 'row')} that training has too: {without}"


def leak_scores(
    y: np.ndarray, proba: np.ndarray, leaking: np.ndarray, class_names: Sequence[str], split: str = "test"
) -> LeakScores:
    """Return the scores of rows with and without those that leak.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
    proba : ndarray of shape (n, K)
    leaking : ndarray of bool, shape (n,)
    class_names : sequence of K str
    split : str
        What the rows are.

    Examples
    --------
    >>> y, proba = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.9, 0.1]])
    >>> found = leak_scores(y, proba, np.array([True, False, False, False]), ["cat", "dog"])
    >>> found.everything["accuracy"]["value"], round(found.clean["accuracy"]["value"], 4)
    (0.75, 0.6667)
    """

    def scores(chosen: np.ndarray) -> dict | None:
        if not chosen.any():
            return None
        found = evaluate(y[chosen], proba[chosen], class_names)
        return {name: found[name] for name in SCORES}

    parts = [scores(chosen) for chosen in (np.ones(len(y), bool), ~leaking, leaking)]
    return LeakScores(split, len(y), int(leaking.sum()), *parts)


def audited_leaks(
    features: FeatureMatrix, duplicates: Duplicates, penalty: float, split: str = "test"
) -> LeakScores | None:
    """Return the scores with and without leaking rows of a head that learns the training rows.

    Parameters
    ----------
    features : FeatureMatrix
    duplicates : Duplicates
        As `classify.audit.duplicates.find_duplicates` returns them.
    penalty : float
        C of the head, a logistic regression, as `classify.audit.out_of_fold.out_of_fold` chose it.
    split : str

    Returns
    -------
    LeakScores or None
        None where no row leaks, or training rows are not of two classes: nothing is trained then.
    """
    leaking, training = duplicates.leaking(features, split), features.rows("train")
    if not len(leaking) or len(np.unique(features.y[training])) < 2:
        return None
    rows = features.rows(split)
    proba = trained_proba(features, training, rows, penalty)
    return leak_scores(features.y[rows], proba, np.isin(rows, leaking), features.class_names, split)
