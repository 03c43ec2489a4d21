"""Bundles, features and findings to a `Page`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from classify.audit.leaks import LeakScores, leak_scores
from classify.bundle.bundle import Bundle
from classify.features.applied import others_warning
from classify.features.matrix import FeatureMatrix
from classify.report import plots
from classify.report.forecast import forecast
from classify.report.found import Found
from classify.report.galleries import beside, cells, galleries, needed
from classify.report.judged import Judged, judge
from classify.report.notices import Context, notices
from classify.report.page import Compared, Page, Shown, Verdict
from classify.report.pictures import Pictures, Read, take_pictures
from classify.report.projection import project
from classify.report.provenance import head_words, provenance, training_command
from classify.scores.evaluate import mcnemar
from classify.scores.intervals import wilson
from classify.scores.learning_curve import learning_curve
from data.errors import HeadstartError
from data.splits import SPLIT_NAMES
from data.text import counted
from extract.feature_file.reader import FeatureFile

_ROOM = 9_500_000  # bytes of pictures: a third more as text, so that the page stays below 15 MB
_LARGE_ROOM = 10 * _ROOM
_CURVE = 2e7  # features in training rows, beyond which a learning curve takes minutes
_QUICK = ("centroid", "logistic", "linear-svm", "keras-linear", "knn")  # heads that train in seconds
_DRAWN = "python -m classify evaluate --learning-curve draws it"
_REPEATS = 2
_STEPS = 101  # thresholds


@dataclass(frozen=True)
class Asked:
    """What the page is made of.

    Attributes
    ----------
    names : tuple of str
        Paths of the bundles.
    bundles : tuple of Bundle
        The first one is shown, the others are compared with it.
    features : FeatureMatrix
    files : tuple of FeatureFile
    found : Found
        Of an audit of the features.
    read : callable or None
        As `classify.features.images.Images.each`; None where there are no images.
    without_pictures : str
        Why there are none.
    before : FeatureMatrix or None
        The features before `corrected` was applied to them; None where nothing was.
    corrected : tuple of (str, str, str)
        Digest, id and label of corrections that the features have already.
    frontier : dict or None
        Of recipes, as `classify.frontier.record.read_frontier` returns it.
    large : bool
        Keep the picture of every row that is shown, however large the page becomes.
    """

    names: tuple[str, ...]
    bundles: tuple[Bundle, ...]
    features: FeatureMatrix
    files: tuple[FeatureFile, ...]
    found: Found = field(default_factory=Found)
    read: Read | None = None
    without_pictures: str = ""
    before: FeatureMatrix | None = None
    corrected: tuple[tuple[str, str, str], ...] = ()
    frontier: dict | None = field(default=None, repr=False)
    large: bool = False


def gather(asked: Asked) -> Page:
    """Judge, compare, choose what is shown, draw pictures and lay out the map.

    Raises
    ------
    HeadstartError
        As `judge` raises it.
    """
    first = asked.bundles[0]
    judged = judge(asked.bundles, asked.features, asked.before)
    own = first.select(asked.features, "test" if judged.how == "test" else "validation")
    with ThreadPoolExecutor(2) as threads:
        shown = galleries(own, judged, asked.found, first.detector)
        in_cells = cells(judged, len(first.class_names))
        large = needed(shown, in_cells)
        layout = threads.submit(project, np.asarray(own.X), np.array(large, int))
        growth = _growth(first, own)
        map_ = layout.result()
    small = [*beside(shown), *map_.rows.tolist()]
    room = _LARGE_ROOM if asked.large else _ROOM
    pictures = take_pictures(asked.read, large, small, room) if asked.read else Pictures()
    scores = judged.reports[0]
    leaks = _leaks(asked, own, judged)
    thresholds = _thresholds(judged)
    context = Context(
        asked.names[0],
        tuple(str(file.path) for file in asked.files),
        partial(training_command, asked.names[0], first, [str(file.path) for file in asked.files]),
        own,
        judged,
        scores,
        first.provenance.get("calibration"),
        asked.found.findings,
        asked.found.estimate,
        shown,
        leaks,
        sum(len(file.contents.rejected) for file in asked.files),
        growth,
        asked.without_pictures,
        _other_corrections(asked),
    )
    rows = [*dict.fromkeys([*large, *small])]
    return Page(
        title=asked.names[0],
        verdict=_verdict(first, own, judged, scores),
        notices=notices(context),
        scores=scores,
        confused=scores["confused"],
        classes=tuple(dict.fromkeys([*first.class_names, *asked.features.class_names])),
        rows=_shown(own, judged, rows),
        galleries=shown,
        cells=in_cells,
        leaks=leaks,
        map=map_,
        pictures=pictures,
        without_pictures=asked.without_pictures,
        plots=_plots(judged, scores, first.class_names, thresholds, growth),
        thresholds=thresholds,
        growth=growth,
        compared=_compared(asked, judged),
        frontier=asked.frontier,
        rejected=tuple((each.id, each.reason) for file in asked.files for each in file.contents.rejected),
        corrected=asked.corrected,
        provenance=provenance(asked.names, asked.bundles, asked.files, own),
        command=training_command(
            f"{asked.names[0].rstrip('/')}-corrected", first, context.files, "--corrections corrections.csv"
        ),
    )


def _other_corrections(asked: Asked) -> list[str]:
    """Warn of bundles that were trained on these files with other corrections."""
    return [
        text
        for name, bundle in zip(asked.names, asked.bundles, strict=True)
        if bundle.trained_on(asked.features)
        for text in others_warning(name, bundle.provenance.get("corrections"), asked.features.corrections)
    ]


def _verdict(bundle: Bundle, features: FeatureMatrix, judged: Judged, scores: dict) -> Verdict:
    counts = np.bincount(judged.y, minlength=len(bundle.class_names))
    accuracy, rows = scores["accuracy"], counted(len(judged.y), "image")
    low, high = (plots.percent(accuracy[end]) for end in ("low", "high"))
    measured = {
        "test": f"Measured on {rows} of the test split, which neither training nor choosing saw.",
        "validation": f"Measured on {rows} of the validation split: training did not see them, but they may "
        "have helped to choose this head.",
        "cross-validation": f"Measured on {rows} by a cross-validation of {judged.folds} folds: each was "
        "judged by a head that did not see it.",
    }[judged.how]
    return Verdict(
        accuracy=accuracy,
        sentence="of images that it has not seen get the right label; with 95\xa0% confidence it is between "
        f"{low} and {high}.",
        measured=measured,
        chosen=f"Head {head_words(bundle)}, trained on {counted(len(features.rows('train')), 'image')} of "
        f"{counted(len(bundle.class_names), 'class')}.",
        baseline=float(counts.max() / len(judged.y)),
        baseline_class=bundle.class_names[int(counts.argmax())],
    )


def _growth(bundle: Bundle, features: FeatureMatrix) -> dict:
    """Return the learning curve and its forecast, or the reason why there is none."""
    if bundle.name not in _QUICK:
        return {"left_out": f"training {bundle.name} again and again takes minutes: {_DRAWN}"}
    train = features.rows("train")
    if len(train) * features.X.shape[1] > _CURVE:
        return {"left_out": f"so many images take minutes: {_DRAWN}"}
    whole = bundle.head if np.array_equal(bundle.seen, features.training_images()) else None
    try:
        curve = learning_curve(bundle.head, features, repeats=_REPEATS, whole=whole)
    except HeadstartError as error:
        return {"left_out": f"{error.happened}; {error.todo}"}
    rows = np.array([point.rows for point in curve.points])
    ahead = forecast(rows, curve.right)
    if not curve.more_labels.startswith("more labels"):
        ahead = replace(ahead, said=f"{ahead.said}; but the curve may as well be flat")
    return {**curve.to_dict(), "said": curve.more_labels, "forecast": ahead}


def _thresholds(judged: Judged) -> list[tuple[float, ...]]:
    """Return share answered, and accuracy of the answers with its interval, by threshold of confidence."""
    confidence, right = judged.proba[0].max(axis=1), judged.predicted == judged.y
    lowest = 1 / judged.proba[0].shape[1]
    found = []
    for threshold in np.linspace(lowest, 1, _STEPS):
        answered = confidence >= threshold - 1e-12
        if not answered.any():
            break
        score = wilson(int(right[answered].sum()), int(answered.sum()))
        row = (threshold, answered.mean(), score.value, score.low, score.high)
        found.append(tuple(round(float(value), 6) for value in row))
    return found


def _leaks(asked: Asked, own: FeatureMatrix, judged: Judged) -> LeakScores | None:
    """Return the scores with and without rows that training has too; None where none is."""
    if asked.found.duplicates is None or judged.how == "cross-validation":
        return None
    leaking = np.isin(judged.rows, asked.found.duplicates.leaking(own, judged.how))
    if not leaking.any():
        return None
    return leak_scores(judged.y, judged.proba[0], leaking, own.class_names, judged.how)


def _shown(features: FeatureMatrix, judged: Judged, rows: Sequence[int]) -> dict[int, Shown]:
    places = {row: place for place, row in enumerate(judged.rows.tolist())}
    predicted, proba = judged.predicted, judged.proba[0]
    found = {}
    for row in rows:
        place = places.get(row)
        known = place is not None
        found[row] = Shown(
            id=features.ids[row],
            digest=features.digests[row].tobytes().hex(),
            label=int(features.y[row]),
            predicted=int(predicted[place]) if known else -1,
            probability=_rounded(float(proba[place].max())) if known else None,
            label_probability=_rounded(float(proba[place, judged.y[place]])) if known else None,
            split=SPLIT_NAMES[features.splits[row]],
        )
    return found


def _rounded(share: float) -> float:
    """Return a share with four digits; none that is not 0 or 1 becomes so."""
    return share if share in (0, 1) else min(max(round(share, 4), 0.0001), 0.9999)


def _plots(
    judged: Judged, scores: dict, names: Sequence[str], thresholds: list[tuple[float, ...]], growth: dict
) -> dict[str, plots.Plot]:
    found = {"coverage": plots.coverage_plot(thresholds), "reliability": plots.reliability_plot(scores)}
    if len(np.unique(judged.y)) > 1:
        found["roc"] = plots.roc_plot(judged.y, judged.proba[0], names)
    if "points" in growth:
        found["growth"] = plots.growth_plot(growth, growth["forecast"].expected)
    return found


def _compared(asked: Asked, judged: Judged) -> tuple[Compared, ...]:
    if len(asked.bundles) == 1:
        return ()
    found: list[Compared] = []
    each = zip(asked.names, asked.bundles, judged.proba, judged.reports, strict=True)
    for name, bundle, proba, scores in each:
        first = mcnemar(judged.y, judged.predicted, proba.argmax(axis=1)) if found else None
        found.append(Compared(name, head_words(bundle), scores["accuracy"], scores["log_loss"], first))
    return tuple(found)
