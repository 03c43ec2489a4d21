"""Scores against scikit-learn and published values; cross-validation against heads that would cheat."""

import json

import numpy as np
import pytest
from conftest import assert_four_parts
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier
from small import NAMES, draw, drawn_features

from classify import HEADS
from classify.features.matrix import FeatureMatrix
from classify.scores.cross_validation import cross_validate
from classify.scores.evaluate import (
    balanced_accuracy,
    calibration,
    evaluate,
    macro_f1,
    mcnemar,
    roc_auc,
    wilson,
)
from data import HeadstartError


def intervals(report: dict) -> dict[str, dict]:
    """Return every score of a report that has an interval."""
    scores = {name: value for name, value in report.items() if isinstance(value, dict) and "low" in value}
    for row in report["classes"]:
        scores |= {f"{kind} {row['name']}": row[kind] for kind in ("precision", "recall") if row[kind]}
    return scores


# Newcombe (1998), Statistics in Medicine 17, 857-872, table I, score method without continuity correction.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(successes, trials, low, high):
    score = wilson(successes, trials)
    assert (round(score.low, 4), round(score.high, 4)) == (low, high)


@pytest.mark.parametrize("trials", [1, 2, 10, 178, 100_000])
def test_wilson_as_scipy(trials):
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        found = wilson(successes, trials)
        assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=1e-9)
        assert found.value == successes / trials


@pytest.mark.parametrize(("trials", "share"), [(40, 0.5), (100, 0.9), (178, 0.97)])
def test_wilson_covers_the_truth_in_95_of_100_samples(trials, share):
    drawn = np.random.default_rng(1).binomial(trials, share, 600)
    covered = [score.low <= share <= score.high for score in (wilson(int(n), trials) for n in drawn)]
    assert 0.92 < np.mean(covered) < 0.98


def test_balanced_accuracy_covers_the_truth():
    generator = np.random.default_rng(1)
    rows, recalls = np.array([80, 40, 30]), np.array([0.95, 0.8, 0.6])
    covered = []
    for right in generator.binomial(rows, recalls, (600, 3)):
        score = balanced_accuracy(np.diag(right) + np.roll(np.diag(rows - right), 1, axis=1))
        covered.append(score.low <= recalls.mean() <= score.high)
    assert 0.92 < np.mean(covered) < 0.99


def test_the_interval_of_four_equal_classes_is_half_as_wide_as_that_of_one():
    one, four = wilson(18, 20), balanced_accuracy(np.diag([18] * 4) + np.roll(np.diag([2] * 4), 1, axis=1))
    for end in ("low", "high"):
        assert getattr(four, end) - four.value == pytest.approx((getattr(one, end) - one.value) / 2)


def test_bootstrap_intervals_are_as_wide_as_theory_says():
    y, proba = draw(1200, 2)
    report = evaluate(y, proba, ["cat", "dog"])
    losses = -np.log(proba[np.arange(len(y)), y])
    above = (proba[y == 1, 1][:, np.newaxis] > proba[y == 0, 1]).astype(float)
    deviations = {
        "log_loss": losses.std() / len(y) ** 0.5,
        # E. R. DeLong et al. (1988), Biometrics 44, 837-845.
        "roc_auc": sum(above.mean(axis).var() / above.shape[1 - axis] for axis in (0, 1)) ** 0.5,
    }
    for name, deviation in deviations.items():
        assert report[name]["high"] - report[name]["low"] == pytest.approx(2 * 1.96 * deviation, rel=0.08)


@pytest.mark.parametrize("decimals", [8, 1], ids=["distinct", "ties"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_those_of_scikit_learn(classes, decimals):
    y, proba = draw(211, classes, decimals)
    report, predicted = evaluate(y, proba, NAMES[:classes]), proba.argmax(axis=1)
    clipped = np.clip(proba, 1e-15, 1)
    expected = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
        "macro_f1": metrics.f1_score(y, predicted, average="macro"),
        "log_loss": -np.log(clipped[np.arange(len(y)), y]).mean(),
        "ece": report["ece"]["value"],  # scikit-learn has none; see test_ece_as_defined
    }
    if decimals == 8:
        expected["log_loss"] = metrics.log_loss(y, proba)
    if classes == 2:
        expected["roc_auc"] = metrics.roc_auc_score(y, proba[:, 1])
    found = {name: score["value"] for name, score in report.items() if isinstance(score, dict)}
    assert found == pytest.approx(expected)
    assert report["confusion"] == metrics.confusion_matrix(y, predicted).tolist()
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(y, predicted, zero_division=np.nan)
    per_class = report["classes"]
    assert [row["name"] for row in per_class] == list(NAMES[:classes])
    assert [row["rows"] for row in per_class] == rows.tolist()
    assert [row["precision"]["value"] for row in per_class] == pytest.approx(precision)
    assert [row["recall"]["value"] for row in per_class] == pytest.approx(recall)
    assert [row["f1"] for row in per_class] == pytest.approx(f1)


@pytest.mark.parametrize("decimals", [8, 1, 0], ids=["distinct", "ties", "two values"])
def test_roc_auc_as_scikit_learn(decimals):
    y, proba = draw(150, 2, decimals)
    for weights in (np.ones(150), np.random.default_rng(2).integers(0, 4, 150), np.linspace(0.1, 2, 150)):
        expected = metrics.roc_auc_score(y, proba[:, 1], sample_weight=weights)
        rank = np.unique(proba[:, 1], return_inverse=True)[1]
        assert roc_auc(y, rank, weights) == pytest.approx(expected)


def test_a_class_without_rows_or_predictions_has_no_score():
    report = evaluate(np.array([0, 0, 1]), np.array([[0.8, 0.1, 0.1]] * 3), ["cat", "dog", "eel"])
    cat, dog, eel = report["classes"]
    assert (dog["precision"], dog["recall"]["value"], dog["f1"]) == (None, 0, 0)
    assert (eel["rows"], eel["precision"], eel["recall"], eel["f1"]) == (0, None, None, None)
    assert cat["recall"]["value"] == 1
    assert report["balanced_accuracy"]["value"] == 0.5  # of the two classes that have rows
    assert report["macro_f1"]["value"] == pytest.approx((0.8 + 0) / 2)
    assert "roc_auc" not in report and "undefined" not in report  # it is of two classes


@pytest.mark.parametrize("label", [0, 1])
def test_a_score_that_is_not_defined_says_why(label):
    report = evaluate(np.full(3, label), np.full((3, 2), 0.5), ["cat", "dog"])
    assert "roc_auc" not in report
    assert report["undefined"] == {"roc_auc": "the rows hold one class alone"}
    assert "undefined" not in evaluate(np.array([0, 1]), np.full((2, 2), 0.5), ["cat", "dog"])


def test_log_loss_of_a_certain_error_is_finite():
    report = evaluate(np.array([0]), np.array([[0.0, 1.0]]), ["cat", "dog"])
    assert report["log_loss"]["value"] == pytest.approx(-np.log(1e-15))


def test_macro_f1_counts_rows_by_weights():
    y, proba = draw(150, 4)
    predicted, weights = proba.argmax(axis=1), np.random.default_rng(2).integers(0, 4, 150)
    expected = metrics.f1_score(y, predicted, average="macro", sample_weight=weights)
    assert macro_f1(y, predicted, weights) == pytest.approx(expected)
    repeated = np.repeat(np.arange(150), weights)
    assert macro_f1(y[repeated], predicted[repeated], np.ones(len(repeated))) == pytest.approx(expected)


def test_macro_f1_covers_the_truth():
    def sample(rows, seed):
        generator = np.random.default_rng(seed)
        y = generator.integers(0, 3, rows)
        wrong = generator.random(rows) < np.array([0.05, 0.2, 0.4])[y]
        return y, np.eye(3)[np.where(wrong, (y + 1) % 3, y)] * 0.8 + 0.05

    y, proba = sample(200_000, 0)
    truth = macro_f1(y, proba.argmax(axis=1), np.ones(len(y)))
    scores = [evaluate(*sample(120, seed), NAMES[:3])["macro_f1"] for seed in range(1, 41)]
    assert 0.85 < np.mean([score["low"] <= truth <= score["high"] for score in scores]) <= 1


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_ece_as_defined(bins):
    y, proba = draw(300, 3)
    result = calibration(y, proba, bins)
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == y
    expected = 0.0
    for k, found in enumerate(result["bins"]):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        assert (found["low"], found["high"]) == pytest.approx((k / bins, (k + 1) / bins))
        assert found["rows"] == inside.sum()
        if inside.any():
            means = confidence[inside].mean(), right[inside].mean()
            assert (found["confidence"], found["accuracy"]) == pytest.approx(means)
            expected += inside.sum() * abs(means[1] - means[0]) / len(y)
        else:
            assert found["confidence"] is found["accuracy"] is None
    assert len(result["bins"]) == bins
    assert result["ece"].value == pytest.approx(expected)


def test_a_confidence_on_an_edge_is_in_the_bin_below():
    proba = np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])
    assert [row["rows"] for row in calibration(np.zeros(3, int), proba, 4)["bins"]] == [0, 1, 1, 1]


def test_the_report_holds_the_calibration():
    y, proba = draw(80, 2)
    report, expected = evaluate(y, proba, ["cat", "dog"]), calibration(y, proba)
    assert (report["ece"], report["reliability"]) == (expected["ece"].to_dict(), expected["bins"])


@pytest.mark.parametrize("gap", [0.05, 0.1, 0.25])
def test_the_interval_of_the_ece_covers_the_truth(gap):
    covered, above = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        confidence = generator.uniform(0.7, 1, 300)
        y = (generator.random(300) >= confidence - gap).astype(int)
        score = calibration(y, np.stack([confidence, 1 - confidence], axis=1))["ece"]
        covered.append(score.low <= gap <= score.high)
        above.append(score.low > 0)
    assert np.mean(covered) >= 0.9
    assert gap < 0.1 or np.mean(above) > 0.5


def test_a_calibrated_head_has_an_interval_down_to_nought():
    generator = np.random.default_rng(4)
    confidence = generator.uniform(0.6, 0.9, 200)
    y = (generator.random(200) >= confidence).astype(int)
    score = calibration(y, np.stack([confidence, 1 - confidence], axis=1))["ece"]
    assert score.low == 0 < score.value < 0.15


@pytest.mark.parametrize(("rows", "bins"), [(0, 15), (4, 0)])
def test_a_calibration_of_nothing_is_refused(rows, bins):
    with pytest.raises(HeadstartError) as caught:
        calibration(np.zeros(rows, int), np.full((rows, 2), 0.5), bins)
    assert_four_parts(str(caught.value))


def pair(both: int, first: int, second: int, neither: int):
    """Return labels and the predictions of two classifiers that are right together so often."""
    one = np.repeat([0, 0, 1, 2], [both, first, second, neither])
    two = np.repeat([0, 1, 0, 1], [both, first, second, neither])
    return np.zeros(len(one), int), one, two


# R. G. Newcombe (1998), Statistics in Medicine 17, 2635-2650, method 10; the first as M. W. Fagerland
# et al. (2014), Statistics in Medicine 33, 2850-2875.
@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        ((1, 1, 7, 12), -0.507, -0.026),
        ((20, 12, 2, 16), 0.0562, 0.3292),
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((53, 0, 1, 0), -0.0977, 0.0496),
    ],
)
def test_the_paired_difference_as_published(cells, low, high):
    score = mcnemar(*pair(*cells))["difference"]
    digits = 3 if cells[0] == 1 else 4
    assert (round(score["low"], digits), round(score["high"], digits)) == (low, high)


def test_the_paired_difference_covers_the_truth():
    shares = np.array([0.7, 0.15, 0.05, 0.1])
    drawn = np.random.default_rng(1).multinomial(100, shares, 300)
    scores = [mcnemar(*pair(*cells))["difference"] for cells in drawn]
    assert 0.92 < np.mean([score["low"] <= 0.1 <= score["high"] for score in scores]) < 0.99


# P-values counted from the binomial distribution: twice the smaller tail.
@pytest.mark.parametrize(
    ("cells", "p_value"),
    [((5, 0, 0, 3), 1), ((5, 1, 1, 0), 1), ((0, 6, 0, 0), 2 / 64), ((9, 1, 7, 2), 2 * 9 / 256)],
)
def test_mcnemar_as_counted(cells, p_value):
    result = mcnemar(*pair(*cells))
    counts = [result[name] for name in ("both_right", "only_first", "only_second", "both_wrong")]
    assert counts == list(cells)
    assert result["p_value"] == pytest.approx(p_value)
    assert result["difference"]["value"] == pytest.approx((cells[1] - cells[2]) / sum(cells))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_mcnemar_the_other_way_round():
    y, one, two = pair(30, 9, 3, 5)
    result, turned = mcnemar(y, one, two), mcnemar(y, two, one)
    assert result["p_value"] == turned["p_value"]
    assert result["difference"]["low"] == pytest.approx(-turned["difference"]["high"])
    assert (result["only_first"], result["only_second"]) == (turned["only_second"], turned["only_first"])


@pytest.mark.parametrize(("rows", "others"), [(0, 0), (3, 2)])
def test_mcnemar_of_other_rows_is_refused(rows, others):
    with pytest.raises(HeadstartError) as caught:
        mcnemar(np.zeros(rows, int), np.zeros(rows, int), np.zeros(others, int))
    assert_four_parts(str(caught.value))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("rows", [12, 60, 1200])
def test_intervals_contain_the_value(rows, classes):
    for name, score in intervals(evaluate(*draw(rows, classes), NAMES[:classes])).items():
        assert score["low"] <= score["value"] <= score["high"], name
        assert score["low"] >= 0, name
        assert score["high"] <= (np.inf if name == "log_loss" else 1), name


@pytest.mark.parametrize("classes", [2, 3])
def test_intervals_narrow_with_more_rows(classes):
    few, many = (intervals(evaluate(*draw(rows, classes), NAMES[:classes])) for rows in (100, 1600))
    for name in few.keys() - {"ece"}:  # which rows in few bins make too large
        narrowed = (many[name]["high"] - many[name]["low"]) / (few[name]["high"] - few[name]["low"])
        assert 0.1 < narrowed < 0.5, name  # 16 times the rows: about a quarter of the width


@pytest.mark.parametrize("sign", [1, -1], ids=["all right", "all wrong"])
def test_intervals_do_not_shrink_to_a_point(sign):
    y = np.array([0, 1] * 20)
    proba = np.where(np.eye(2)[y[::sign]] > 0, 0.9, 0.1)
    report = evaluate(y, proba, ["cat", "dog"])
    shown = intervals(report)
    for name in shown.keys() - {"macro_f1", "log_loss", "ece", "roc_auc"}:
        assert shown[name]["value"] == (sign > 0)
        assert 0.05 < shown[name]["high"] - shown[name]["low"] < 0.3, name


def test_reports_are_json_reproducible_and_leave_the_global_generator_alone():
    before = np.random.get_state()[1].tolist()
    one, two = (evaluate(*draw(50, 2), ["cat", "dog"]) for _ in range(2))
    assert one == two == json.loads(json.dumps(one, allow_nan=False))
    assert np.random.get_state()[1].tolist() == before


def test_no_rows_are_refused():
    with pytest.raises(HeadstartError) as caught:
        evaluate(np.zeros(0, int), np.zeros((0, 2)), ["cat", "dog"])
    assert_four_parts(str(caught.value))


class Recorder(ClassifierMixin, BaseEstimator):
    """A head that writes down which rows it was given; the first feature is the row's number."""

    folds: list[tuple[list[int], list[int]]] = []  # noqa: RUF012  (clones share it)

    def fit(self, X, y):
        self.fitted_, self.classes_ = X[:, 0].astype(int).tolist(), np.unique(y)
        return self

    def predict_proba(self, X):
        Recorder.folds.append((self.fitted_, X[:, 0].astype(int).tolist()))
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def recorded_folds(features: FeatureMatrix, folds: int) -> list[tuple[list[int], list[int]]]:
    """Cross-validate, and return the rows that each fold was fitted on and predicted."""
    Recorder.folds.clear()
    numbered = np.arange(len(features.y), dtype=np.float32)[:, np.newaxis]
    numbered[features.splits == 2] = np.nan
    cross_validate(Recorder(), FeatureMatrix(**vars(features) | {"X": numbered}), folds)
    return list(Recorder.folds)


def test_each_row_is_predicted_once_by_a_head_that_did_not_see_it():
    features = drawn_features()
    features.y[[3, 70]] = -1  # unlabelled: one trains, one validates
    wanted = set(np.flatnonzero(features.splits != 2)) - {3, 70}
    folds = recorded_folds(features, 4)
    assert len(folds) == 4
    assert sorted(row for _, predicted in folds for row in predicted) == sorted(wanted)
    for fitted, predicted in folds:
        assert set(fitted) == wanted - set(predicted)
        counts = np.bincount(features.y[predicted])
        assert abs(counts[0] - counts[1]) <= 2  # stratified


def test_a_head_that_memorises_gets_chance_on_random_labels():
    generator = np.random.default_rng(0)
    features = drawn_features(500, y=generator.integers(0, 2, 500).astype(np.int32))
    X, y = features.split("train", "validation")
    head = KNeighborsClassifier(1)
    assert head.fit(X, y).score(X, y) == 1
    report = cross_validate(head, features, 5).report()
    assert report["rows"] == 400
    assert 0.4 < report["accuracy"]["value"] < 0.6


def test_groups_stay_together():
    features = drawn_features(
        200, groups=tuple(f"p{row % 40 // 2}" if row % 40 < 30 else "" for row in range(200))
    )
    folds = recorded_folds(features, 4)
    assert len(folds) == 4
    for fitted, predicted in folds:
        named = [
            {features.groups[row] for row in rows if features.groups[row]} for rows in (fitted, predicted)
        ]
        assert not named[0] & named[1]
        assert not set(fitted) & set(predicted)
    alone = [sum(not features.groups[row] for row in predicted) for _, predicted in folds]
    assert max(alone) < sum(alone)  # rows without a group are no group


@pytest.mark.parametrize("groups", [(), tuple(f"p{row}" if row < 100 else "" for row in range(200))])
def test_equal_images_stay_together(groups):
    features = drawn_features(200, groups=groups)
    features.digests[0:100:2] = features.digests[100:200:2]
    folds = recorded_folds(features, 4)
    assert len(folds) == 4
    for fitted, predicted in folds:
        images = [{features.digests[row].tobytes() for row in rows} for rows in (fitted, predicted)]
        assert not images[0] & images[1]


def test_test_rows_are_never_read():
    features = drawn_features()
    features.X[features.splits == 2] = np.nan
    features.y[features.splits == 2] = 0
    report = cross_validate(HEADS["logistic"](), features, 5).report()
    assert report["accuracy"]["value"] > 0.9


def test_cross_validation_reports_its_folds_and_repeats_itself():
    features, head = drawn_features(150, 3), KNeighborsClassifier(3)
    features.X[:] = np.random.default_rng(3).normal(size=features.X.shape)
    report = cross_validate(head, features, 4).report()
    assert report["folds"] == len(report["fold_accuracies"]) == 4
    assert report["accuracy"]["value"] == pytest.approx(np.mean(report["fold_accuracies"]))
    assert report == cross_validate(head, features, 4).report()
    assert report != cross_validate(head, features, 4, seed=1).report()
    assert not hasattr(head, "classes_")  # the head itself stays as it was


IMPOSSIBLE = {
    "no folds": (0, {}),
    "one fold": (1, {}),
    "more than rows of a class": (41, {}),
    "one class": (5, {"y": np.zeros(100, np.int32)}),
    "nothing labelled": (5, {"y": np.full(100, -1, np.int32)}),
    "fewer groups than folds": (5, {"groups": tuple(f"p{row % 3}" for row in range(100))}),
    "each class in one group": (2, {"groups": tuple(f"p{row % 2}" for row in range(100))}),
}


@pytest.mark.parametrize(("folds", "values"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_too_many_folds_are_refused(folds, values):
    with pytest.raises(HeadstartError) as caught:
        cross_validate(HEADS["logistic"](), drawn_features(**values), folds)
    assert_four_parts(str(caught.value))
    assert f"{folds}-fold" in str(caught.value)
