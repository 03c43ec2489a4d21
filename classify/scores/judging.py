"""How a head that was just trained can be judged, and whether it has learned anything at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classify.features.matrix import FeatureMatrix
from classify.scores.cross_validation import possible_folds
from data.text import counted, shell_word

_FEW = 10  # rows: below, 95 % intervals of an accuracy are wider than half of all that it can be
_FOLDS = 5
# What rows are called, and how many of other classes tell: fewer may just be missed.
_ROWS = {"judged": ("judged", 5), "validation": ("validation", 5), "train": ("training", 1)}


@dataclass(frozen=True)
class JudgingRows:
    """The labelled rows that a head can be judged by.

    Attributes
    ----------
    validation, test : int
        Rows of images that training did not see.
    seen : frozenset of str
        Splits, besides the training rows, that hold images that training saw.
    folds : int
        Of a cross-validation, five at most; 0 if none is possible.
    """

    validation: int
    test: int
    seen: frozenset[str]
    folds: int


def judging_rows(features: FeatureMatrix) -> JudgingRows:
    """Count the rows that a head trained on `features` can be judged by."""
    trained = features.training_images()
    rows = {split: len(features.rows(split)) for split in ("validation", "test")}
    left = {split: len(features.without(split, trained).rows(split)) for split in rows}
    seen = frozenset(split for split in rows if left[split] < rows[split])
    return JudgingRows(**left, seen=seen, folds=0 if left["test"] else possible_folds(features, _FOLDS))


def advice(
    rows: JudgingRows,
    bundle: str,
    files: Sequence[Path],
    join: str = "strict",
    corrections: Path | None = None,
    groups: Path | None = None,
) -> list[str]:
    """Say how a bundle is judged, and before that in one line what its rows do not tell.

    Parameters
    ----------
    rows : JudgingRows
    bundle : str
    files : sequence of Path
        Feature files that the head was trained on.
    join : str
        How they were joined.
    corrections : Path, optional
        Of their labels.
    groups : Path, optional
        Of their rows; they matter to a cross-validation alone.

    Examples
    --------
    >>> print("\\n".join(advice(JudgingRows(0, 0, frozenset(), 3), "a-ridge", [Path("a.h5")])))
    note: no validation rows: only training rows are scored here; no test rows
    next: python -m classify evaluate a-ridge a.h5 --cv 3
    """
    options, notes = _options(rows), _notes(rows)
    command = " ".join(["python -m classify evaluate", *(shell_word(word) for word in (bundle, *files))])
    joined = "" if join == "strict" else f" --join {join}"
    joined += "" if corrections is None else f" --corrections {shell_word(corrections)}"
    joined += f" --groups {shell_word(groups)}" if groups and "--cv" in (options or "") else ""
    nothing = "extract more images with labels: no rows are left to judge the head by"
    return [
        *([f"note: {'; '.join(notes)}"] if notes else []),
        f"next: {nothing if options is None else command + joined + options}",
    ]


def _options(rows: JudgingRows) -> str | None:
    """Return what `evaluate` takes so that it does not refuse; None if it would in any case."""
    if rows.test:
        return " --unseen-only" if "test" in rows.seen else ""
    if rows.folds:
        return f" --cv {rows.folds}"
    if rows.validation:
        return " --split validation" + (" --unseen-only" if "validation" in rows.seen else "")
    return None


def _notes(rows: JudgingRows) -> list[str]:
    missing = {"validation": "no validation rows: only training rows are scored here", "test": "no test rows"}
    missing |= {split: f"training saw every {split} image" for split in rows.seen}
    counts = {"validation": rows.validation, "test": rows.test}
    return [
        f"few {split} rows ({count}), whose scores say little" if count else missing[split]
        for split, count in counts.items()
        if count < _FEW
    ]


def lone_answer(scores: dict) -> list[str]:
    """Warn if a head predicts one class alone of rows of several classes; return no warning or one.

    Parameters
    ----------
    scores : dict
        By split, or ``judged`` for rows of any, as `classify.scores.evaluate.evaluate` returns them: the
        validation rows tell, and the training rows where nearly all of those are of one class.

    Examples
    --------
    >>> classes = [{"name": "cat", "rows": 3}, {"name": "dog", "rows": 1}]
    >>> scores = {"rows": 4, "classes": classes, "confusion": [[3, 0], [1, 0]]}
    >>> print(*lone_answer({"train": scores}))
    the head predicts cat for all 4 training rows, though they are of 2 classes: it has learned nothing \
that tells them apart; give it more rows or epochs, another learning rate, or take another head
    """
    for split, (said, least) in _ROWS.items():
        rows = [row["rows"] for row in scores[split]["classes"]] if scores.get(split) else [0]
        others = sum(rows) - max(rows)
        predicted = _predicted(scores[split]) if others else []
        if len(predicted) > 1:
            return []
        if predicted and others >= least:
            classes = counted(len(rows) - rows.count(0), "class")
            return [
                f"the head predicts {predicted[0]} for all {sum(rows)} {said} rows, though they are "
                f"of {classes}: it has learned nothing that tells them apart; give it more rows or epochs, "
                "another learning rate, or take another head"
            ]
    return []


def _predicted(report: dict) -> list[str]:
    columns = zip(*report["confusion"], strict=True)
    return [row["name"] for row, column in zip(report["classes"], columns, strict=True) if any(column)]
