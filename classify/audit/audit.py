"""All that is wrong with images and labels of feature files: one table of findings."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from classify.audit.classes import confused_classes, imbalance, thin_classes
from classify.audit.duplicates import Duplicates, find_duplicates
from classify.audit.findings import Finding, ordered
from classify.audit.label_errors import LabelErrors, label_errors
from classify.audit.leaks import LeakScores, audited_leaks
from classify.audit.odd_images import odd_images
from classify.audit.out_of_fold import OutOfFold, out_of_fold
from classify.audit.outliers import outliers
from classify.audit.shortcuts import Shortcut, shortcuts
from classify.audit.suspects import disagreements, label_suspects
from classify.features.images import Images
from classify.features.matrix import FeatureMatrix
from data.text import counted

_FEWEST = 10  # suspects among the corrections to look through


@dataclass(frozen=True)
class Audit:
    """What an audit of feature files found.

    Attributes
    ----------
    findings : tuple of Finding
        The most harmful kinds first, the worst of a kind first.
    rows, labelled : int
    judged : OutOfFold or None
        What heads say of labelled rows that they did not see; its `ranking` goes on behind the suspects.
        None where fewer than two classes have two different images.
    label_errors : LabelErrors or None
        None where labels were not judged.
    duplicates : Duplicates
    leaks : LeakScores or None
        Scores of the test rows with and without those that training has too; None where there are none.
    shortcuts : tuple of Shortcut
        Of all properties of the images; empty where those were not to be read.
    corrections : tuple of (str, str, str)
        Digest, id and suggested label of images whose label is probably wrong, each image once: of
        contradictions first, then of as many label suspects as may be wrong by the upper end of the
        estimate, ten at the least. For people to look through.
    notes : tuple of str
        What was left out, and why.
    """

    findings: tuple[Finding, ...]
    rows: int
    labelled: int
    judged: OutOfFold | None = field(repr=False)
    label_errors: LabelErrors | None
    duplicates: Duplicates = field(repr=False)
    leaks: LeakScores | None
    shortcuts: tuple[Shortcut, ...]
    corrections: tuple[tuple[str, str, str], ...] = field(repr=False)
    notes: tuple[str, ...]

    def to_dict(self) -> dict:
        """Return the audit as JSON-ready values."""
        errors = self.label_errors
        return {
            "findings": [each.to_dict() for each in self.findings],
            "rows": self.rows,
            "labelled": self.labelled,
            "label_errors": errors.to_dict() | {"sentence": errors.sentence()} if errors else None,
            "leaks": self.leaks.to_dict() | {"sentence": self.leaks.sentence()} if self.leaks else None,
            "shortcuts": [each.to_dict() for each in self.shortcuts],
            "notes": list(self.notes),
        }


def audit(features: FeatureMatrix, images: Images | None = None) -> Audit:
    """Find what is wrong with the images and the labels of feature files.

    Parameters
    ----------
    features : FeatureMatrix
        Labelled rows of all splits are audited; rows without a label for copies alone. So are all rows
        where fewer than two classes have two different images.
    images : Images, optional
        Read for shortcuts and odd images.

    Raises
    ------
    HeadstartError
        If a row holds NaN or infinity.

    Examples
    --------
    >>> found = audit(load_features("photos.h5"))  # doctest: +SKIP
    >>> print(found.findings[0].reason)  # doctest: +SKIP
    P(dog) = 0.012, looks like cat; nearest: 5 cat
    """
    duplicates = find_duplicates(features)
    judged = out_of_fold(features, duplicates.groups(features))
    found = shortcuts(features, images) if images else []
    copies = [_with_suggestion(features, judged, each) for each in _copies(features, duplicates)]
    suspects, errors = (label_suspects(features, judged), label_errors(judged)) if judged else ([], None)
    likely = suspects[: max(_FEWEST, int(np.ceil(errors.count.high)))] if errors else []
    counts = np.bincount(features.y[features.y >= 0], minlength=len(features.class_names)).tolist()
    believed = _believed(features, judged)
    findings = [
        *copies,
        *suspects,
        *(each for each in (shortcut.finding() for shortcut in found) if each),
        *outliers(features, believed),
        *(odd_images(features, images) if images else ()),
        *thin_classes(counts, features.class_names),
        *imbalance(counts, features.class_names),
        *(confused_classes(judged.y, judged.proba, features.class_names) if judged else ()),
    ]
    return Audit(
        findings=tuple(ordered(findings)),
        rows=len(features.y),
        labelled=sum(counts),
        judged=judged,
        label_errors=errors,
        duplicates=duplicates,
        leaks=audited_leaks(features, duplicates, judged.penalty) if judged else None,
        shortcuts=tuple(found),
        corrections=tuple(_corrections(features, copies, likely)),
        notes=tuple(_notes(features, judged, len(suspects))),
    )


def _copies(features: FeatureMatrix, duplicates: Duplicates) -> list[Finding]:
    """Return the findings of duplicates, without copies of which corrections leave one at the most."""
    gone = {features.digests[row].tobytes().hex() for row in features.left_out}
    found = duplicates.findings(features)
    if not gone:
        return found
    kept = [sum(digest not in gone for digest in (each.digest, *each.evidence)) for each in found]
    return [each for each, images in zip(found, kept, strict=True) if images > 1]


def _believed(features: FeatureMatrix, judged: OutOfFold | None) -> np.ndarray:
    """Return the labelled rows whose labels heads do not contradict."""
    if judged is None:
        return np.flatnonzero(features.y >= 0)
    return np.setdiff1d(judged.rows, judged.rows[disagreements(judged)])


def _with_suggestion(features: FeatureMatrix, judged: OutOfFold | None, found: Finding) -> Finding:
    """Return a finding of duplicates, a contradiction with that of its labels which fits the images best.

    Images of a cluster were in one fold, so that no head saw any of them.
    """
    if judged is None or found.kind != "contradiction":
        return found
    rows = _rows_of(features, found)
    given = np.unique(features.y[rows])
    proba = judged.proba[np.isin(judged.rows, rows)].sum(axis=0)
    return replace(found, suggested=features.class_names[given[proba[given].argmax()]])


def _corrections(
    features: FeatureMatrix, copies: Sequence[Finding], suspects: Sequence[Finding]
) -> list[tuple[str, str, str]]:
    found: dict[str, tuple[str, str, str]] = {}
    settled: set[str] = set()
    for each in copies:
        if each.kind == "contradiction" and each.suggested:
            settled.update((each.digest, *each.evidence))
            for row in _rows_of(features, each):
                if features.class_names[features.y[row]] != each.suggested:
                    digest = features.digests[row].tobytes().hex()
                    found[digest] = digest, features.ids[row], each.suggested
    for each in suspects:
        if each.digest not in settled:
            found.setdefault(each.digest, (each.digest, each.id, each.suggested))
    return list(found.values())


def _rows_of(features: FeatureMatrix, found: Finding) -> np.ndarray:
    """Return the labelled rows of all images of a finding."""
    images = np.frombuffer(bytes.fromhex("".join((found.digest, *found.evidence))), "V32")
    every = np.ascontiguousarray(features.digests).view("V32")[:, 0]
    return np.flatnonzero(np.isin(every, images) & (features.y >= 0))


def _notes(features: FeatureMatrix, judged: OutOfFold | None, listed: int) -> list[str]:
    if judged is None:
        return ["labels could not be judged: that takes two classes, each of two different images"]
    all_suspects, labelled = len(disagreements(judged)), len(judged.rows) + len(judged.left_out)
    notes = []
    if listed < all_suspects:
        notes.append(f"the first {listed} of {counted(all_suspects, 'label suspect')} are listed")
    if len(judged.left_out):
        count = counted(len(judged.left_out), "image")
        notes.append(f"{count} could not be judged, as no other image has the label")
    if judged.learnt < labelled:
        notes.append(f"heads learnt from a sample of {judged.learnt} of {labelled} labelled images")
    return notes
