"""The linear SVM over features against liblinear itself and scikit-learn's checks."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from skops.io import dump, get_untrusted_types, load

from classify.linear_svm import LinearSvm
from classify.temperature import fit_temperature, probabilities, smoothing_of

each_count = pytest.mark.parametrize("classes", [2, 3])


def drawn(rows: int = 90, width: int = 6, classes: int = 3, shift: float = 2.0, seed: int = 0):
    """Draw features of unlike means and scales whose column of the class is raised."""
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(rows) % classes)
    X = generator.normal(0, 1, (rows, width))
    X[np.arange(rows), y] += shift
    return X * np.linspace(0.1, 10, width) + np.linspace(5, -50, width), y


def machine(C: float = 0.01):
    """Make what the head should decide like."""
    return make_pipeline(StandardScaler(), LinearSVC(C=C, dual="auto", random_state=0))


def factor(values, y) -> float:
    return fit_temperature(values, y, smoothing_of(len(y)))


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
    assert head.temperature_ == pytest.approx(expected, rel=1e-6)
    assert head.temperature_ < 0.8 * factor(head.decision_function(X), y)


def test_validation_rows_give_the_temperature_and_nothing_else():
    X, y = drawn(60, 100)
    X_val, y_val = drawn(60, 100, seed=1)
    head = LinearSvm().fit(X, y, X_val, y_val)
    plain = LinearSvm().fit(X, y)
    np.testing.assert_allclose(head.coef_, plain.coef_)
    assert head.temperature_ == factor(head.decision_function(X_val), y_val) != plain.temperature_


@pytest.mark.parametrize(("least", "held_out"), [(4, False), (5, True)])
def test_a_class_of_few_rows_is_not_held_out(least, held_out):
    X, y = drawn(60, 20)
    kept = np.sort(np.concatenate([np.flatnonzero(y == 0)[:least], np.flatnonzero(y)]))
    X, y = X[kept], y[kept]
    head = LinearSvm().fit(X, y)
    on_training_rows = head.temperature_ == pytest.approx(factor(head.decision_function(X), y))
    assert on_training_rows != held_out


@each_count
def test_probabilities_are_calibrated_decisions(classes):
    X, y = drawn(400, 6, classes, shift=1.5)
    new, truth = drawn(400, 6, classes, shift=1.5, seed=1)
    head = LinearSvm().fit(X, np.array(["ant", "bee", "cow"])[y])
    proba = head.predict_proba(new)
    np.testing.assert_allclose(proba, probabilities(head.decision_function(new), head.temperature_))
    assert (head.predict(new) == head.classes_[proba.argmax(axis=1)]).all()
    accuracy = (proba.argmax(axis=1) == truth).mean()
    assert 0.7 < accuracy < 1
    assert proba.max(axis=1).mean() == pytest.approx(accuracy, abs=0.1)


def test_rows_without_an_error_leave_probabilities_finite():
    X, y = drawn(shift=50)
    new, truth = drawn(shift=50, seed=1)
    proba = LinearSvm().fit(X, y).predict_proba(new)
    assert (proba.argmax(axis=1) == truth).all()
    assert (proba > 1e-9).all()


def test_the_seed_decides_the_rows_held_out():
    X, y = drawn(60, 100)
    first = LinearSvm(seed=1).fit(X, y)
    np.random.seed(5)
    again = LinearSvm(seed=1).fit(X, y)
    found = np.random.random(3)
    np.random.seed(5)
    assert found.tolist() == np.random.random(3).tolist(), "numpy's global generator stays as it was"
    assert again.temperature_ == first.temperature_
    assert (again.coef_ == first.coef_).all()
    assert abs(LinearSvm(seed=2).fit(X, y).temperature_ / first.temperature_ - 1) > 1e-3


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
    assert 0 < head.temperature_ < 1e3


def test_what_fit_refuses():
    X, y = drawn()
    holed = X.copy()
    holed[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        LinearSvm().fit(holed, y)
    with pytest.raises(ValueError, match="NaN"):
        LinearSvm().fit(X, y, holed, y)
    with pytest.raises(ValueError, match="NaN"):
        LinearSvm().fit(X, y).predict(holed)
    with pytest.raises(ValueError, match="one class"):
        LinearSvm().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        LinearSvm().fit(X, y, y_val=y)
    with pytest.raises(ValueError, match=r"classes that y does not: \[3\]"):
        LinearSvm().fit(X, y, X, y + 1)


def test_an_unfitted_head_says_so():
    for ask in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(LinearSvm(), ask)(np.zeros((2, 5)))


def test_clones_and_searches_reach_the_parameters():
    assert clone(LinearSvm(C=3.0, seed=7)).get_params() == {"C": 3.0, "seed": 7}
    grid = {"C": [1e-8, 1e-2]}
    search = GridSearchCV(LinearSvm(), grid, scoring="neg_log_loss", cv=3, error_score="raise")
    poor, good = search.fit(*drawn()).cv_results_["mean_test_score"]
    assert -good < -0.75 * poor
    assert search.best_params_ == {"C": 1e-2}


@each_count
def test_skops_keeps_a_head_without_pickle(classes, tmp_path):
    X, y = drawn(classes=classes)
    head = LinearSvm().fit(X, np.array(["ant", "bee", "cow"])[y])
    path = tmp_path / "head.skops"
    dump(head, path)
    assert get_untrusted_types(file=path) == ["classify.linear_svm.LinearSvm"]
    again = load(path, trusted=["classify.linear_svm.LinearSvm"])
    assert (again.predict_proba(X) == head.predict_proba(X)).all()
    assert (again.predict(X) == head.predict(X)).all()
    assert again.get_params() == head.get_params()


@parametrize_with_checks([LinearSvm()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
