"""The linear SVM over features against liblinear itself and scikit-learn's checks."""

import numpy as np
import pytest
from contracts import LinearHeadContract, drawn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from classify.heads.linear_svm import LinearSvm
from classify.scores.calibration import fit_inverse_temperature, probabilities, smoothing_of

each_count = pytest.mark.parametrize("classes", [2, 3])


class TestLinearSvm(LinearHeadContract):
    Head = LinearSvm


def machine(C: float = 0.01):
    """Make what the head should decide like."""
    return make_pipeline(StandardScaler(), LinearSVC(C=C, dual="auto", random_state=0))


def factor(values, y) -> float:
    return fit_inverse_temperature(values, y, smoothing_of(len(y)))


@pytest.mark.parametrize(("rows", "width"), [(90, 6), (60, 100)])
@each_count
def test_decisions_are_those_of_scikit_learns_machine(rows, width, classes):
    X, y = drawn(rows, width, classes)
    head, expected = LinearSvm(C=0.1).fit(X, y), machine(0.1).fit(X, y)
    np.testing.assert_allclose(head.decision_function(X), expected.decision_function(X), atol=1e-9)
    assert (head.predict(X) == expected.predict(X)).all()
    assert head.coef_.shape == (1 if classes == 2 else 3, width)
    np.testing.assert_allclose(head.coef_ * expected[0].scale_, expected[1].coef_)


@each_count
def test_the_temperature_is_of_a_fifth_held_out(classes):
    X, y = drawn(60, 100, classes)
    head = LinearSvm().fit(X, y)
    kept, held = train_test_split(np.arange(60), test_size=0.2, stratify=y, random_state=0)
    first = machine().fit(X[kept], y[kept])
    expected = factor(first.decision_function(X[held]), y[held])
    assert head.inverse_temperature_ == pytest.approx(expected, rel=1e-6)
    assert head.inverse_temperature_ < 0.8 * factor(head.decision_function(X), y)


def test_validation_rows_give_the_temperature_and_nothing_else():
    X, y = drawn(60, 100)
    X_val, y_val = drawn(60, 100, seed=1)
    head = LinearSvm().fit(X, y, X_val, y_val)
    plain = LinearSvm().fit(X, y)
    np.testing.assert_allclose(head.coef_, plain.coef_)
    assert (
        head.inverse_temperature_
        == factor(head.decision_function(X_val), y_val)
        != plain.inverse_temperature_
    )


@pytest.mark.parametrize(("least", "held_out"), [(4, False), (5, True)])
def test_a_class_of_few_rows_is_not_held_out(least, held_out):
    X, y = drawn(60, 20)
    kept = np.sort(np.concatenate([np.flatnonzero(y == 0)[:least], np.flatnonzero(y)]))
    X, y = X[kept], y[kept]
    head = LinearSvm().fit(X, y)
    on_training_rows = head.inverse_temperature_ == pytest.approx(factor(head.decision_function(X), y))
    assert on_training_rows != held_out


@each_count
def test_probabilities_are_calibrated_decisions(classes):
    X, y = drawn(400, 6, classes, shift=1.5)
    new, truth = drawn(400, 6, classes, shift=1.5, seed=1)
    head = LinearSvm().fit(X, np.array(["ant", "bee", "cow"])[y])
    proba = head.predict_proba(new)
    np.testing.assert_allclose(proba, probabilities(head.decision_function(new), head.inverse_temperature_))
    assert (head.predict(new) == head.classes_[proba.argmax(axis=1)]).all()
    accuracy = (proba.argmax(axis=1) == truth).mean()
    assert 0.7 < accuracy < 1
    assert proba.max(axis=1).mean() == pytest.approx(accuracy, abs=0.1)


def test_the_seed_decides_the_rows_held_out():
    X, y = drawn(60, 100)
    first = LinearSvm(seed=1).fit(X, y)
    np.random.seed(5)
    again = LinearSvm(seed=1).fit(X, y)
    found = np.random.random(3)
    np.random.seed(5)
    assert found.tolist() == np.random.random(3).tolist(), "numpy's global generator stays as it was"
    assert again.inverse_temperature_ == first.inverse_temperature_
    assert (again.coef_ == first.coef_).all()
    assert abs(LinearSvm(seed=2).fit(X, y).inverse_temperature_ / first.inverse_temperature_ - 1) > 1e-3


def test_constant_features_do_not_matter():
    X, y = drawn()
    more = np.insert(X, [2, 5], [0.1, -7e3], axis=1)
    plain, head = LinearSvm().fit(X, y), LinearSvm().fit(more, y)
    np.testing.assert_allclose(head.predict_proba(more), plain.predict_proba(X), atol=1e-4)
    assert abs(head.coef_[:, [2, 6]]).max() < 1e-9


def test_float32_is_as_good_as_float64():
    X, y = drawn(400)
    X = X.astype(np.float32)
    single, double = (LinearSvm().fit(data, y).predict_proba(X) for data in (X, X.astype(np.float64)))
    np.testing.assert_allclose(single, double, atol=1e-3)
    assert single.dtype == np.float64


@pytest.mark.parametrize("labels", ["ab", "abc", "abca"])
def test_as_few_rows_as_classes(labels):
    X = np.eye(len(labels), 6, dtype=np.float32)
    head = LinearSvm(C=1.0).fit(X, list(labels))
    assert head.predict_proba(X).sum(axis=1) == pytest.approx(1)
    assert head.predict(X).tolist() == list(labels)


def test_fewer_validation_rows_than_classes():
    X, y = drawn()
    head = LinearSvm().fit(X, y, X[:1], y[:1])
    assert 0 < head.inverse_temperature_ < 1e3


def test_clones_and_searches_reach_the_parameters():
    assert clone(LinearSvm(C=3.0, seed=7)).get_params() == {"C": 3.0, "seed": 7}
    grid = {"C": [1e-8, 1e-2]}
    search = GridSearchCV(LinearSvm(), grid, scoring="neg_log_loss", cv=3, error_score="raise")
    poor, good = search.fit(*drawn()).cv_results_["mean_test_score"]
    assert -good < -0.75 * poor
    assert search.best_params_ == {"C": 1e-2}


@parametrize_with_checks([LinearSvm()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
