"""Classes that are thin, of very different sizes, or that one head cannot tell apart."""

from collections.abc import Sequence

import numpy as np

from classify.audit.findings import Finding
from classify.scores.intervals import wilson
from data.text import counted, one_line

_THIN = 50  # images; fewer hardly tell what a class looks like, nor how well it is recognized
_IMBALANCE = 3  # of the largest class to the smallest
_CONFUSED = 0.1  # share of the images of two classes taken for the other


def thin_classes(counts: Sequence[int], class_names: Sequence[str]) -> list[Finding]:
    """Return the classes of fewer than 50 labelled images, those without any left out.

    Examples
    --------
    >>> [(each.reason, each.score) for each in thin_classes([400, 10], ("cat", "fox"))]
    [('fox has 10 images', 0.8)]
    """
    return [
        Finding(
            "thin class", 1 - count / _THIN, one_line(f"{name} has {counted(count, 'image')}"), label=name
        )
        for count, name in zip(map(int, counts), class_names, strict=True)
        if 0 < count < _THIN
    ]


def imbalance(counts: Sequence[int], class_names: Sequence[str]) -> list[Finding]:
    """Return a finding where the largest class has more than three times the images of the smallest.

    Examples
    --------
    >>> [each.reason for each in imbalance([400, 0, 100], ("cat", "dog", "fox"))]
    ['cat has 400 images, 4.0 times as many as fox (100)']
    """
    known = [(count, name) for count, name in zip(map(int, counts), class_names, strict=True) if count]
    if not known:
        return []
    (most, large), (least, small) = max(known, key=lambda each: each[0]), min(known, key=lambda each: each[0])
    if most <= _IMBALANCE * least:
        return []
    words = f"{large} has {most} images, {most / least:.1f} times as many as {small} ({least})"
    return [Finding("imbalance", round(1 - least / most, 6), one_line(words), label=small)]


def confused_classes(y: np.ndarray, proba: np.ndarray, class_names: Sequence[str]) -> list[Finding]:
    """Return pairs of classes, each of which a head takes for the other, together more than a tenth.

    An image looks like its most probable class. The share of both classes that looks like the other
    is the mean of their shares, so that a large class counts as much as a small one; the mean of the
    lower ends of their 95 % intervals must be above a tenth.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
    proba : ndarray of shape (n, K)
        By heads that did not see the rows.
    class_names : sequence of K str

    Examples
    --------
    >>> y, proba = np.repeat([0, 1], 50), np.tile([[0.4, 0.6], [0.6, 0.4]], (50, 1))
    >>> [each.reason for each in confused_classes(y, proba, ("cup", "mug"))]
    ['of 50 images of cup 25 look like mug, of 50 images of mug 25 like cup']
    """
    taken = np.zeros((len(class_names), len(class_names)), int)
    np.add.at(taken, (y, proba.argmax(axis=1)), 1)
    counts, found = taken.sum(axis=1), []
    for one, two in zip(*np.nonzero(np.triu(np.minimum(taken, taken.T), 1)), strict=True):
        sizes, wrong = (int(counts[one]), int(counts[two])), (int(taken[one, two]), int(taken[two, one]))
        shares = [wilson(*each) for each in zip(wrong, sizes, strict=True)]
        if sum(share.low for share in shares) / 2 > _CONFUSED:
            score = sum(share.value for share in shares) / 2
            found.append(_confused((class_names[one], class_names[two]), sizes, wrong, score))
    return found


def _confused(
    names: tuple[str, str], sizes: tuple[int, int], wrong: tuple[int, int], score: float
) -> Finding:
    one, two = names
    words = (
        f"of {counted(sizes[0], 'image')} of {one} {wrong[0]} look like {two}, "
        f"of {counted(sizes[1], 'image')} of {two} {wrong[1]} like {one}"
    )
    return Finding("confused pair", round(score, 6), one_line(words), label=one, suggested=two)
