"""Which unlabelled images to label next: those of which a head is unsure, and that differ."""

import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from classify.bundle.bundle import Bundle
from classify.features.blocks import blocks_of
from classify.features.corrections import Correction, read_corrections
from classify.features.matrix import FeatureMatrix
from classify.features.rows import short_digests
from data.allowed import check_values, whole
from data.errors import HeadstartError
from data.output.checks import check_file
from data.output.csv_file import csv_text, write_csv
from data.output.ours import SUGGESTIONS
from data.splits import SPLIT_NAMES
from data.text import counted

METHOD = "weighted k-means over the 10 n images of least margin (Zhdanov 2019, arXiv 1901.05954)"
MOST = 1000  # suggestions: k-means over ten times as many rows takes a minute
_POOL = 10  # rows of least margin for each suggestion: beta in the paper
_LEAST = 1e-6  # weight of an image of which the head is sure


@dataclass(frozen=True)
class Suggestion:
    """An unlabelled image that a head would learn from.

    Attributes
    ----------
    digest : str
        Sha256 of the image's bytes, in hexadecimal.
    id : str
    predicted : str
        Name of the most probable class.
    probability : float
        Of that class.
    runner_up : str
        Name of the next class.
    margin : float
        How much more probable the first class is than the next: 0 where the head cannot tell.
    """

    digest: str
    id: str
    predicted: str
    probability: float
    runner_up: str
    margin: float

    def to_dict(self) -> dict:
        """Return the suggestion as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Unlabelled:
    """Which rows without a label may be suggested, and how many are not.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Training rows, one of each image; ascending.
    left_out : dict of str to int
        Rows that are not suggested: of ``validation`` and ``test``; ``copies`` of another row; ``named``
        by corrections.
    """

    rows: np.ndarray
    left_out: dict[str, int]

    @classmethod
    def of(cls, features: FeatureMatrix, named: Collection[bytes] = ()) -> "Unlabelled":
        """Find the unlabelled rows of features.

        Validation and test rows are none: the hard ones alone would make a yardstick of them that
        is unlike what a head will meet. An image whose bytes have a label in another row is none.

        Parameters
        ----------
        features : FeatureMatrix
        named : collection of bytes
            Digests that are not suggested, as the user has them before him already.
        """
        unknown = features.y < 0
        by_split = {name: unknown & (features.splits == place) for place, name in enumerate(SPLIT_NAMES)}
        rows = np.flatnonzero(by_split.pop("train"))
        short = short_digests(features.digests)
        rows = rows[~np.isin(short[rows], short[~unknown])]
        rows = np.sort(rows[np.unique(short[rows], return_index=True)[1]])
        fresh = rows[[features.digests[row].tobytes() not in named for row in rows]] if named else rows
        counts = {name: int(found.sum()) for name, found in by_split.items()}
        training = int(unknown.sum()) - sum(counts.values())
        counts |= {"copies": training - len(rows), "named": len(rows) - len(fresh)}
        return cls(fresh, counts)


def suggest(
    bundle: Bundle, features: FeatureMatrix, n: int = 50, unlabelled: Unlabelled | None = None
) -> list[Suggestion]:
    """Choose the unlabelled images that a head gains most from, by weighted k-means.

    Of the unlabelled training rows, the 10 n whose two most probable classes are nearest to each other
    are put into n clusters of their features (each of unit length), a row weighing 1 - margin; of
    each cluster the row nearest to its centre is taken. Zhdanov, "Diverse mini-batch Active
    Learning", 2019, arXiv 1901.05954. The same inputs give the same suggestions.

    Parameters
    ----------
    bundle : Bundle
    features : FeatureMatrix
        Of the bundle's recipes; may be larger than memory.
    n : int
        From 1 to 1,000.
    unlabelled : Unlabelled, optional
        Which rows may be suggested; by default those of `Unlabelled.of`.

    Returns
    -------
    list of Suggestion
        Of least margin first; fewer than n where fewer are unlabelled.

    Raises
    ------
    HeadstartError
        If no row may be suggested, the features are of other recipes, or one is no finite number.

    Examples
    --------
    >>> for each in suggest(Bundle.load("photos-logistic"), load_features("photos.h5"), 2):  # doctest: +SKIP
    ...     print(each.id, each.predicted, each.margin)
    """
    check_values({"n": n}, {"n": whole(1, MOST)})
    features = features.select(bundle.feature_sets)
    found = Unlabelled.of(features) if unlabelled is None else unlabelled
    if not len(found.rows):
        raise _nothing(features, found)
    margins = _margins(bundle.predict_proba, features, found.rows)
    pool = np.sort(np.argsort(margins, kind="stable")[: _POOL * n])
    X = np.asarray(features.X[found.rows[pool]])
    chosen = diverse(X, margins[pool], n)
    rows, proba = found.rows[pool[chosen]], bundle.predict_proba(X[chosen])
    return [
        _suggestion(features, row, bundle.class_names, each)
        for row, each in zip(rows.tolist(), proba, strict=True)
    ]


def diverse(X: np.ndarray, margins: np.ndarray, n: int) -> np.ndarray:
    """Choose n rows that stand for all of X, uncertain ones before others.

    Parameters
    ----------
    X : ndarray of float32, shape (M, D)
    margins : ndarray of shape (M,)
    n : int

    Returns
    -------
    ndarray of int, shape (min(n, M),)
        Of least margin first.

    Examples
    --------
    >>> X = np.array([[1, 0], [1, 0.01], [0, 1]], np.float32)
    >>> diverse(X, np.array([0.2, 0.1, 0.3]), 2).tolist()
    [1, 2]
    """
    by_margin = np.argsort(margins, kind="stable")
    if len(X) <= n:
        return by_margin
    labels, distances = _clusters(X, np.maximum(1 - margins, _LEAST), n)
    nearest = np.lexsort((distances, labels))
    nearest = nearest[np.unique(labels[nearest], return_index=True)[1]]
    others = by_margin[~np.isin(by_margin, nearest)]  # where images are alike, clusters stay empty
    chosen = np.concatenate([nearest, others])[:n]
    return chosen[np.argsort(margins[chosen], kind="stable")]


def _clusters(X: np.ndarray, weights: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster of each row, and its distance to the centre."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    with warnings.catch_warnings(), threadpool_limits(1):  # they add in any order, and wait busily
        warnings.simplefilter("ignore", ConvergenceWarning)  # where fewer than n rows differ
        found = KMeans(n, n_init=1, random_state=0).fit(X, sample_weight=weights)
    return found.labels_, np.linalg.norm(X - found.cluster_centers_[found.labels_], axis=1)


def _margins(
    predict_proba: Callable[[np.ndarray], np.ndarray], features: FeatureMatrix, rows: np.ndarray
) -> np.ndarray:
    """Return how much more probable the first class of each row is than its second one."""
    found = [np.empty(0)]
    for _, block in blocks_of(features.X, rows, features.ids):
        two = np.partition(predict_proba(block), -2, axis=1)[:, -2:]
        found.append(two[:, 1] - two[:, 0])
    return np.concatenate(found)


def _suggestion(
    features: FeatureMatrix, row: int, class_names: Sequence[str], proba: np.ndarray
) -> Suggestion:
    second, first = np.argsort(proba, kind="stable")[-2:]
    return Suggestion(
        digest=features.digests[row].tobytes().hex(),
        id=features.ids[row],
        predicted=class_names[first],
        probability=round(float(proba[first]), 6),
        runner_up=class_names[second],
        margin=round(float(proba[first] - proba[second]), 6),
    )


def _nothing(features: FeatureMatrix, found: Unlabelled) -> HeadstartError:
    named = found.left_out["named"]
    labelled = f"{counted(len(features.rows('train')), 'training row')} with a label"
    return HeadstartError(
        f"{features.path!r} has no image to suggest",
        "training rows without a label",
        labelled + (f", {named} that the corrections name already" if named else ""),
        "label those first, and train again"
        if named
        else "list new images in a CSV file, with an empty label, and extract them into the same file; "
        "images whose labels may be wrong are named by python -m classify audit",
    )


def suggestions_csv(found: Iterable[Suggestion], kept: Iterable[Correction] = ()) -> str:
    """Lay out suggestions as corrections to fill in, below the lines of earlier ones.

    The column ``label`` is empty. A line that stays so says nothing of an image without a label.

    Examples
    --------
    >>> print(suggestions_csv([Suggestion("0a" * 32, "new/1.jpg", "cat", 0.5, "dog", 0.25)]), end="")
    digest,id,label,predicted,probability,runner_up,margin
    0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a,new/1.jpg,,cat,0.5,dog,0.25
    """
    rows = [(each.digest, each.id, each.label or None, *[None] * 4) for each in kept]
    values = ({**each.to_dict(), "label": None} for each in found)
    return csv_text(SUGGESTIONS, [*rows, *([row[name] for name in SUGGESTIONS] for row in values)])


def write_suggestions(path: Path, text: str) -> None:
    """Write what `suggestions_csv` laid out, where `check_suggestions` allows it."""
    write_csv(path, text, "-o")


def check_suggestions(path: Path, given: Path | None) -> None:
    """Raise if suggestions would not be written there, or take the place of labels that were filled in.

    Parameters
    ----------
    path : Path
    given : Path or None
        Corrections whose lines are written again.

    Raises
    ------
    HeadstartError
    """
    check_file(path, "list of suggestions")
    if not path.is_file() or not path.stat().st_size or (given and path.samefile(given)):
        return
    filled = sum(bool(each.label) for each in read_corrections(path).entries.values())
    if filled:
        raise HeadstartError(
            f"{str(path)!r} holds labels that would be lost",
            "the name of a new file, or of suggestions without a label, which are replaced",
            f"{counted(filled, 'image')} with a label",
            f"keep them: --corrections {path}; or choose another -o",
        )
