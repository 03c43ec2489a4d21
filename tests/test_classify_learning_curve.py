"""Learning curves: which rows train and judge, what is answered, what is refused."""

import json
from itertools import pairwise

import numpy as np
import pytest
from conftest import assert_four_parts
from sklearn.base import BaseEstimator, ClassifierMixin
from small import drawn_features

from classify import HEADS
from classify.features.matrix import FeatureMatrix
from classify.scores.intervals import Interval
from classify.scores.learning_curve import LITTLE, SHARES, Point, learning_curve, more_labels
from data import HeadstartError


class Recorder(ClassifierMixin, BaseEstimator):
    """A head that writes down which rows it was given; the first feature is the row's number."""

    seen: list[tuple[list[int], list[int]]] = []  # noqa: RUF012  (clones share it)

    def fit(self, X, y):
        self.fitted_, self.classes_ = X[:, 0].astype(int).tolist(), np.unique(y)
        return self

    def predict_proba(self, X):
        Recorder.seen.append((self.fitted_, X[:, 0].astype(int).tolist()))
        return np.eye(len(self.classes_))[np.zeros(len(X), int)]


def recorded(features: FeatureMatrix, **values):
    """Draw a curve, and return it with the rows of each training, in order."""
    Recorder.seen.clear()
    numbered = np.arange(len(features.y), dtype=np.float32)[:, np.newaxis]
    numbered[features.splits == 2] = np.nan
    curve = learning_curve(Recorder(), FeatureMatrix(**vars(features) | {"X": numbered}), **values)
    return curve, list(Recorder.seen)


def test_parts_grow_are_stratified_and_judged_on_validation_rows_alone():
    features = drawn_features(500, 2)
    features.y[:150] = 0  # rows 0..299 train: 225 of class 0, 75 of class 1
    features.y[400:] = -1
    curve, seen = recorded(features)
    rows = [point.rows for point in curve.points]
    assert rows == pytest.approx([30, 60, 120, 210, 300], abs=1)  # each class is rounded
    assert (curve.rows, curve.validation_rows) == (300, 100)
    assert len(seen) == 5 * 4 + 1  # all rows train once
    for fitted, judged in seen:
        assert set(fitted) <= set(range(300)) and judged == list(range(300, 400))
        assert len(set(fitted)) == len(fitted)
        assert np.mean(features.y[fitted]) == pytest.approx(0.25, abs=0.02)
    parts = [set(fitted) for fitted, _ in seen]
    for first in (0, 5, 9, 13, 17):
        repeat = parts[first : first + 4]
        assert all(one < two for one, two in pairwise(repeat))
    assert parts[0] != parts[5] != parts[9]


def test_groups_are_kept_whole():
    groups = tuple(f"p{row // 6}" if row % 60 < 48 else "" for row in range(300))
    features = drawn_features(300, 2, groups=groups)
    _, seen = recorded(features)
    train = features.rows("train")
    for fitted, _ in seen:
        chosen = set(fitted)
        for name in {groups[row] for row in fitted} - {""}:
            assert {row for row in train if groups[row] == name} <= chosen
    alone = [sum(not groups[row] for row in fitted) for fitted, _ in seen]
    assert 0 < alone[2] < alone[4]  # rows without a group are no group


def test_unlabelled_and_test_rows_are_not_read():
    features = drawn_features(200)
    features.X[features.splits == 2] = np.nan
    features.y[[3, 130]] = -1
    features.X[[3, 130]] = np.nan
    curve = learning_curve(HEADS["logistic"](), features)
    assert (curve.rows, curve.validation_rows) == (119, 39)


def test_points_summarise_their_values_and_repeat_themselves():
    features, head = drawn_features(400, 3), HEADS["logistic"]()
    features.X[:] += np.random.default_rng(3).normal(scale=3, size=features.X.shape)
    found = learning_curve(head, features, repeats=3)
    curve = found.to_dict()
    assert json.loads(json.dumps(curve, allow_nan=False)) == curve
    assert [point["share"] for point in curve["points"]] == list(SHARES)
    for point in curve["points"][:-1]:
        assert len(point["values"]) == 3
        assert point["mean"] == pytest.approx(np.mean(point["values"]))
        assert point["standard_deviation"] == pytest.approx(np.std(point["values"], ddof=1))
    last = curve["points"][-1]
    assert last["standard_deviation"] is None and last["values"] == [last["mean"]]
    fitted = HEADS["logistic"]().fit(*features.split("train"))
    assert last["mean"] == pytest.approx(fitted.score(*features.split("validation")))
    gain = curve["last_gain"]
    assert gain["value"] == pytest.approx(last["mean"] - curve["points"][-2]["mean"])
    assert gain["low"] < gain["value"] < gain["high"]
    assert found == learning_curve(head, features, repeats=3)
    assert found != learning_curve(head, features, repeats=3, seed=1)
    assert not hasattr(head, "classes_")


class Learner(ClassifierMixin, BaseEstimator):
    """A head whose share of right rows is given by the number of rows that it trained on."""

    def __init__(self, accuracy=None):
        self.accuracy = accuracy

    def fit(self, X, y):
        self.classes_, self.share_ = np.unique(y), self.accuracy[len(y)]
        return self

    def predict_proba(self, X):
        truth = np.arange(len(X)) % 2  # as `drawn_features` labels
        right = np.arange(len(X)) < round(self.share_ * len(X))
        return np.eye(2)[np.where(right, truth, 1 - truth)]


ANSWERS = {
    "it still rises": (2000, 0.8, 0.9, "more labels would probably help"),
    "flat, on many rows": (2000, 0.9, 0.9, "more labels would hardly help"),
    "it falls": (2000, 0.9, 0.85, "more labels would hardly help"),
    "it rises, on few rows": (80, 0.5, 0.5625, "too few to say"),
    "all right, on few rows": (80, 1.0, 1.0, "too few to say"),
}


@pytest.mark.parametrize(("rows", "before", "last", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_would_more_labels_help(rows, before, last, answer):
    training = rows // 5 * 3
    head = Learner({training // 2: before, training: last})
    curve = learning_curve(head, drawn_features(rows), shares=(0.5, 1.0))
    assert answer in curve.more_labels
    assert f"from {training // 2} to {training} rows" in curve.more_labels
    assert curve.last_gain.value == pytest.approx(last - before)


def test_the_sentence_turns_the_numbers_of_a_fall():
    points = [Point(rows / 100, rows, 0.9, None, [0.9]) for rows in (70, 100)]
    gain = Interval(-0.05, -0.09, -0.01)
    assert more_labels(points, gain).endswith(
        "from 70 to 100 rows the accuracy fell by 0.0500 [0.0100, 0.0900]"
    )
    assert "hardly" in more_labels(points, Interval(0, -0.02, LITTLE - 1e-6))
    assert "too few" in more_labels(points, Interval(0, -0.02, LITTLE))


REFUSED = {
    "no validation rows": ({"splits": np.zeros(100, np.int8)}, {}, "no labelled validation rows"),
    "one class": ({"y": np.zeros(100, np.int32)}, {}, "cannot train a head"),
    "nothing labelled": ({"y": np.full(100, -1, np.int32)}, {}, "cannot train a head"),
    "fewer rows than classes": ({}, {"shares": (0.01, 1.0)}, "fewer rows than there are classes"),
    "one share": ({}, {"shares": (1.0,)}, "two shares or more"),
    "no share": ({}, {"shares": ()}, "two shares or more"),
    "shares that fall": ({}, {"shares": (0.5, 0.2)}, "two shares or more"),
    "more than all": ({}, {"shares": (0.5, 1.5)}, "two shares or more"),
    "nought": ({}, {"shares": (0.0, 0.5)}, "two shares or more"),
    "no repeats": ({}, {"repeats": 0}, "repeats 0"),
    "groups hide a class": (
        {
            "groups": tuple(f"p{row // 20}" for row in range(100)),
            "y": np.array(([0] * 20 + [0] * 20 + [0] * 11 + [1] * 9) + [0, 1] * 20, np.int32),
        },
        {"shares": (0.1, 1.0), "repeats": 20},
        "one class alone",
    ),
}


@pytest.mark.parametrize(("values", "asked", "part"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_drawn_is_refused(values, asked, part):
    features = drawn_features(**values)
    with pytest.raises(HeadstartError) as caught:
        learning_curve(HEADS["logistic"](), features, **asked)
    assert_four_parts(str(caught.value))
    assert part in str(caught.value)
