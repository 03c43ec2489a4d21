"""Which images are shown, and beside which others."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from classify.audit.findings import Finding
from classify.audit.suggest import Suggestion
from classify.bundle.detector import Detector
from classify.features.matrix import FeatureMatrix
from classify.features.rows import short_digests
from classify.report.found import Found
from classify.report.judged import Judged
from classify.report.page import Card, Gallery
from data.splits import SPLIT_NAMES

_MOST = {"errors": 200, "suspects": 120, "copies": 90, "unfamiliar": 60, "next": 48}
_CELL = 60  # rows of a cell of the confusion matrix
_RIGHT = 12  # rows of a cell that is right
_MANY = 20  # classes, beyond which right rows are not shown
_RATE = 0.01  # share of images like the validation images that are called unfamiliar
_BLOCK = 8192  # rows that are compared at once
# Kinds of findings that a gallery shows.
_KINDS = {
    "suspects": ("label suspect",),
    "copies": ("contradiction", "leak", "duplicate"),
    "unfamiliar": ("outlier", "odd image"),
}


def galleries(
    features: FeatureMatrix, judged: Judged, audited: Found, detector: Detector | None
) -> dict[str, Gallery]:
    """Return the galleries of the page by name: errors, suspects, copies, unfamiliar, next."""
    suggested = [_to_label(each) for each in audited.suggested]
    places = Places(features, [*audited.findings, *suggested])
    found = {name: list(places.cards(_of(kinds, audited.findings))) for name, kinds in _KINDS.items()}
    found["next"] = list(places.cards(suggested))
    found["errors"] = list(_errors(features, judged))
    found["unfamiliar"] += _unfamiliar(features, judged, detector, {card.row for card in found["unfamiliar"]})
    return {name: Gallery(name, tuple(found[name][:most]), len(found[name])) for name, most in _MOST.items()}


class Places:
    """Finds the rows of findings, which name images by digest and id.

    Parameters
    ----------
    features : FeatureMatrix
    findings : sequence of Finding
        Whose images are looked for.
    """

    def __init__(self, features: FeatureMatrix, findings: Sequence[Finding]) -> None:
        self._ids, self._rows = features.ids, defaultdict[str, list[int]](list)
        named = {digest for each in findings for digest in (each.digest, *each.evidence)} - {""}
        wanted = np.frombuffer(bytes.fromhex("".join(named)), np.uint8).reshape(-1, 32)
        for row in np.flatnonzero(np.isin(short_digests(features.digests), short_digests(wanted))).tolist():
            self._rows[features.digests[row].tobytes().hex()].append(row)

    def cards(self, findings: Iterable[Finding]) -> Iterator[Card]:
        """Yield a card for each finding that is about an image here."""
        for each in findings:
            row = self._row(each.digest, each.id)
            if row is not None:
                yield Card(row, each.suggested, each.reason, self._beside(row, each.evidence))

    def _row(self, digest: str, name: str) -> int | None:
        rows = self._rows.get(digest, [])
        return next((row for row in rows if self._ids[row] == name), rows[0] if rows else None)

    def _beside(self, row: int, digests: Iterable[str]) -> tuple[int, ...]:
        """Return a row for each digest; of equal images each row once."""
        taken = {row: None}
        for digest in digests:
            other = next((each for each in self._rows.get(digest, ()) if each not in taken), None)
            if other is not None:
                taken[other] = None
        return tuple(taken)[1:]


def cells(judged: Judged, classes: int) -> dict[tuple[int, int], tuple[int, ...]]:
    """Return rows by true and predicted class: wrong ones the surest first, right ones the least sure."""
    proba, predicted = judged.proba[0], judged.predicted
    sure = proba.max(axis=1)
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place in np.argsort(np.where(predicted == judged.y, sure, -sure), kind="stable"):
        cell = (int(judged.y[place]), int(predicted[place]))
        right = cell[0] == cell[1]
        if len(found[cell]) < ((_RIGHT if classes <= _MANY else 0) if right else _CELL):
            found[cell].append(int(judged.rows[place]))
    return {cell: tuple(rows) for cell, rows in found.items() if rows}


def needed(galleries: Mapping[str, Gallery], cells: Mapping[tuple[int, int], Sequence[int]]) -> list[int]:
    """Return rows whose picture is shown large, by turns from each gallery, the most needed first."""
    columns = [[card.row for card in each.cards] for each in galleries.values()]
    columns.append([row for card in galleries["copies"].cards for row in card.beside])
    columns.append([row for rows in cells.values() for row in rows])
    longest = max(map(len, columns), default=0)
    turns = (column[turn] for turn in range(longest) for column in columns if turn < len(column))
    return [*dict.fromkeys(turns)]


def beside(galleries: Mapping[str, Gallery]) -> list[int]:
    """Return rows that are shown small, beside others."""
    return [*dict.fromkeys(row for each in galleries.values() for card in each.cards for row in card.beside)]


def _to_label(each: Suggestion) -> Finding:
    """Return a suggestion as a finding, of which a card is made."""
    reason = f"{each.predicted} ({each.probability:.0%}), or {each.runner_up}"
    return Finding("label suspect", 1 - each.margin, reason, each.digest, each.id, suggested=each.predicted)


def _of(kinds: Sequence[str], findings: Sequence[Finding]) -> list[Finding]:
    return [each for each in findings if each.kind in kinds]


def _errors(features: FeatureMatrix, judged: Judged) -> Iterator[Card]:
    proba, predicted = judged.proba[0], judged.predicted
    own = proba[np.arange(len(proba)), judged.y]
    wrong = np.flatnonzero(predicted != judged.y)
    for place in wrong[np.argsort(own[wrong], kind="stable")]:
        yield Card(int(judged.rows[place]), features.class_names[predicted[place]])


def _unfamiliar(
    features: FeatureMatrix, judged: Judged, detector: Detector | None, known: set[int]
) -> list[Card]:
    """Return rows that training did not have, and that are unlike all that it had."""
    if detector is None or len(detector.scores) + 1 < 1 / _RATE:
        return []
    new = np.union1d(judged.rows if judged.how == "test" else judged.rows[:0], np.flatnonzero(features.y < 0))
    new = np.setdiff1d(new, sorted(known)).astype(int)
    if not len(new):
        return []
    blocks = np.array_split(new, -(-len(new) // _BLOCK))
    scores = np.concatenate([detector.score(features.X[block]) for block in blocks])
    limit = detector.threshold(_RATE)
    order = [place for place in np.argsort(-scores, kind="stable") if scores[place] > limit]
    told = f"further from its nearest training images than {1 - _RATE:.0%} of validation images"
    return [
        Card(int(new[place]), reason=f"{SPLIT_NAMES[features.splits[new[place]]]} image, {told}")
        for place in order
    ]
