"""What a head gets wrong: rows and pairs of classes, the worst first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.output.checks import check_file
from data.output.csv_file import csv_text, write_csv
from data.output.ours import MISTAKES


@dataclass(frozen=True)
class Mistake:
    """A row that a head gives another label than its own.

    Attributes
    ----------
    id : str
    digest : str
        Sha256 of the image's bytes, in hexadecimal.
    label, predicted : str
        Names of classes.
    probability : float
        Of the predicted class.
    label_probability : float
        Of the row's own class.
    """

    id: str
    digest: str
    label: str
    predicted: str
    probability: float
    label_probability: float

    def to_dict(self) -> dict:
        """Return the mistake as JSON-ready values."""
        return asdict(self)


def mistakes(
    y: np.ndarray, proba: np.ndarray, class_names: Sequence[str], ids: Sequence[str], digests: np.ndarray
) -> list[Mistake]:
    """Return the rows whose most probable class is not their own, the least probable label first.

    Parameters
    ----------
    y : ndarray of int, shape (N,)
        True labels, indices into `class_names`.
    proba : ndarray of shape (N, K)
    class_names : sequence of K str
    ids : sequence of N str
    digests : ndarray of uint8, shape (N, 32)

    Examples
    --------
    >>> y, proba = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    >>> found = mistakes(y, proba, ("cat", "dog"), ["a", "b", "c"], np.zeros((3, 32), np.uint8))
    >>> [(each.id, each.label, each.predicted, each.label_probability) for each in found]
    [('c', 'dog', 'cat', 0.3), ('b', 'cat', 'dog', 0.4)]
    """
    predicted = proba.argmax(axis=1)
    own = proba[np.arange(len(y)), y]
    wrong = np.flatnonzero(predicted != y)
    return [
        Mistake(
            ids[row],
            digests[row].tobytes().hex(),
            class_names[y[row]],
            class_names[predicted[row]],
            float(proba[row, predicted[row]]),
            float(own[row]),
        )
        for row in wrong[np.argsort(own[wrong], kind="stable")]
    ]


def confused_pairs(confusion: Sequence[Sequence[int]], class_names: Sequence[str]) -> list[dict]:
    """Return which class was taken for which other one, the most frequent first.

    Parameters
    ----------
    confusion : sequence of shape (K, K)
        Rows by true and predicted class.
    class_names : sequence of K str

    Returns
    -------
    list of dict
        ``label``, ``predicted``, ``rows``, and ``share`` of all rows of the label.

    Examples
    --------
    >>> confused_pairs([[3, 1], [0, 5]], ["cat", "dog"])
    [{'label': 'cat', 'predicted': 'dog', 'rows': 1, 'share': 0.25}]
    """
    counts = np.array(confusion)
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[: np.count_nonzero(counts)]
    return [
        {
            "label": class_names[label],
            "predicted": class_names[predicted],
            "rows": int(counts[label, predicted]),
            "share": float(counts[label, predicted] / totals[label]),
        }
        for label, predicted in zip(*np.unravel_index(order, counts.shape), strict=True)
    ]


def mistakes_csv(found: Sequence[Mistake]) -> str:
    """Lay out mistakes as CSV."""
    return csv_text(MISTAKES, ([getattr(each, name) for name in MISTAKES] for each in found))


def write_mistakes(path: Path, found: Sequence[Mistake]) -> None:
    """Write mistakes as CSV.

    Raises
    ------
    HeadstartError
        If the file cannot be written, or is there and no list of mistakes.
    """
    check_mistakes(path)
    write_csv(path, mistakes_csv(found), "--errors")


def check_mistakes(path: Path) -> None:
    """Raise if `write_mistakes` would not write there, before the work is done.

    Raises
    ------
    HeadstartError
    """
    check_file(path, "list of mistakes", "--errors")
