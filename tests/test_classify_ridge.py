"""Ridge over features against refits, scikit-learn's own ridge and scikit-learn's checks."""

import contracts
import numpy as np
import pytest
from contracts import LinearHeadContract
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from classify.heads.ridge import ALPHAS, RidgeHead, _blocks, _ByFeatures, _ByRows
from classify.scores.calibration import fit_inverse_temperature, log_loss, probabilities, smoothing_of

SHAPES = [(40, 6), (15, 30), (12, 12), (13, 12)]  # more rows than features, fewer, as many, one more
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_count = pytest.mark.parametrize("classes", [2, 3])


class TestRidgeHead(LinearHeadContract):
    Head = RidgeHead


def drawn(shape=(40, 6), classes: int = 3, shift: float = 2.0, seed: int = 0):
    return contracts.drawn(*shape, classes, shift, seed)


def signs(y, classes: int):
    """Return targets of -1 and 1."""
    targets = np.where(y[:, None] == np.arange(classes), 1.0, -1.0)
    return targets[:, 1:] if classes == 2 else targets


def refitted(X, targets, alpha: float):
    """Return the decision value of each row by a fit on the others."""
    rows = np.arange(len(X))
    fits = (Ridge(alpha).fit(X[rows != row], targets[rows != row]) for row in rows)
    found = np.array([fit.predict(X[[row]])[0] for row, fit in zip(rows, fits, strict=True)])
    return found.reshape(targets.shape)


def squeezed(values):
    return values[:, 0] if values.shape[1] == 1 else values


@pytest.mark.parametrize("alpha", [0.01, 3.0])
@each_count
@each_shape
def test_coefficients_are_those_of_scikit_learns_ridge(shape, classes, alpha):
    X, y = drawn(shape, classes)
    new, _ = drawn(shape, classes, seed=1)
    head = RidgeHead(alphas=[alpha]).fit(X, y)
    scaler = StandardScaler().fit(X)
    expected = Ridge(alpha, solver="svd").fit(scaler.transform(X), signs(y, classes))
    np.testing.assert_allclose(head.coef_ * scaler.scale_, np.atleast_2d(expected.coef_), atol=1e-8)
    values = expected.predict(scaler.transform(new)).reshape(len(new), -1)
    np.testing.assert_allclose(head.decision_function(new), squeezed(values), atol=1e-8)
    assert (head.alpha_, head.coef_.shape) == (alpha, (1 if classes == 2 else 3, shape[1]))


def test_without_standardization_coefficients_are_those_of_ridge_on_raw_features():
    X, y = drawn()
    head = RidgeHead(alphas=[3.0], standardize=False).fit(X, y)
    expected = Ridge(3.0).fit(X, signs(y, 3))
    np.testing.assert_allclose(head.coef_, expected.coef_, atol=1e-9)
    np.testing.assert_allclose(head.intercept_, expected.intercept_, atol=1e-9)
    assert abs(RidgeHead(alphas=[3.0]).fit(X, y).coef_ - expected.coef_).max() > 1e-3


@pytest.mark.parametrize("solution", [_ByRows, _ByFeatures])
@each_count
@each_shape
def test_left_out_values_are_those_of_refits(shape, classes, solution):
    X, y = drawn(shape, classes)
    targets, alphas = signs(y, classes), [0.05, 1.0, 200.0]
    scaler = StandardScaler().fit(X)
    found = solution(X, scaler.mean_, scaler.scale_, targets).left_out(alphas)
    for alpha, values in zip(alphas, found, strict=True):
        expected = refitted(scaler.transform(X), targets, alpha)
        np.testing.assert_allclose(values, squeezed(expected), atol=1e-7)


def test_left_out_values_of_more_rows_than_a_block(monkeypatch):
    X, y = drawn()
    scaler, targets = StandardScaler().fit(X), signs(y, 3)
    (whole,) = _ByFeatures(X, scaler.mean_, scaler.scale_, targets).left_out([1.0])
    monkeypatch.setattr("classify.heads.ridge._BLOCK_ROWS", 7)
    assert len(list(_blocks(X, scaler.mean_, scaler.scale_))) > 1
    (parts,) = _ByFeatures(X, scaler.mean_, scaler.scale_, targets).left_out([1.0])
    np.testing.assert_allclose(parts, whole, atol=1e-10)


@each_count
@each_shape
def test_the_penalty_has_the_least_log_loss_of_rows_left_out(shape, classes):
    X, y = drawn(shape, classes)
    head = RidgeHead().fit(X, y)
    Z = StandardScaler().fit_transform(X)
    judged = []
    for alpha in ALPHAS:
        decision = squeezed(refitted(Z, signs(y, classes), alpha))
        factor = fit_inverse_temperature(decision, y, smoothing_of(len(y)))
        judged.append((log_loss(decision, y, factor), alpha, factor))
    _, alpha, factor = min(judged)
    assert head.alpha_ == alpha
    assert head.inverse_temperature_ == pytest.approx(factor, rel=1e-4)


def test_validation_rows_choose_the_penalty_by_errors_and_give_the_temperature():
    X, y = drawn((30, 40), 3, shift=1.5)
    X_val, y_val = drawn((90, 40), 3, shift=1.5, seed=1)
    head = RidgeHead().fit(X, y, X_val, y_val)
    errors = {}
    for alpha in ALPHAS:
        alone = RidgeHead(alphas=[alpha]).fit(X, y)
        errors[alpha] = (alone.predict(X_val) != y_val).sum()
    assert errors[head.alpha_] == min(errors.values()) < max(errors.values())
    alone = RidgeHead(alphas=[head.alpha_]).fit(X, y)
    np.testing.assert_allclose(head.coef_, alone.coef_)
    expected = fit_inverse_temperature(head.decision_function(X_val), y_val, smoothing_of(90))
    assert head.inverse_temperature_ == pytest.approx(expected) != alone.inverse_temperature_


def test_equal_penalties_go_to_the_greatest():
    X, y = drawn()
    X[:] = 1  # nothing to learn: every penalty gives the same values
    assert RidgeHead(alphas=[1.0, 100.0, 10.0]).fit(X, y).alpha_ == 100


@each_count
def test_probabilities_are_calibrated_decisions(classes):
    X, y = drawn((300, 6), classes, shift=1.5)
    new, truth = drawn((300, 6), classes, shift=1.5, seed=1)
    head = RidgeHead().fit(X, np.array(["ant", "bee", "cow"])[y])
    proba = head.predict_proba(new)
    np.testing.assert_allclose(proba, probabilities(head.decision_function(new), head.inverse_temperature_))
    assert (head.predict(new) == head.classes_[proba.argmax(axis=1)]).all()
    accuracy = (proba.argmax(axis=1) == truth).mean()
    assert 0.7 < accuracy < 1
    assert proba.max(axis=1).mean() == pytest.approx(accuracy, abs=0.06)


@each_shape
def test_constant_features_do_not_matter(shape):
    X, y = drawn(shape)
    more = np.insert(X, [2, 5], [0.1, -7e3], axis=1).astype(np.float32)
    plain, head = RidgeHead().fit(X.astype(np.float32), y), RidgeHead().fit(more, y)
    np.testing.assert_allclose(head.predict_proba(more), plain.predict_proba(X), atol=1e-4)
    assert abs(head.coef_[:, [2, 6]]).max() < 1e-9


@pytest.mark.parametrize("shape", [(60, 9), (20, 30)], ids=str)
def test_float32_is_as_good_as_float64(shape):
    X, y = drawn(shape)
    X = np.concatenate([X, X + 1e-3 * drawn(shape, seed=2)[0]], axis=1)  # nearly the same columns twice
    X = X.astype(np.float32)
    single, double = (RidgeHead(alphas=[0.01]).fit(data, y) for data in (X, X.astype(np.float64)))
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=1e-6)
    assert single.predict_proba(X).dtype == np.float64


@pytest.mark.parametrize("labels", ["ab", "abc", "abca"])
def test_as_few_rows_as_classes(labels):
    X = np.eye(len(labels), 6, dtype=np.float32)
    proba = RidgeHead().fit(X, list(labels)).predict_proba(X)
    assert proba.sum(axis=1) == pytest.approx(1)


def test_fewer_validation_rows_than_classes():
    X, y = drawn()
    head = RidgeHead().fit(X, y, X[:1], y[:1])
    assert head.predict(X[:1]) == y[:1]
    assert 0 < head.inverse_temperature_ < 1e3


def test_clones_and_searches_reach_the_parameters():
    head = RidgeHead(alphas=(1.0, 2.0), standardize=False)
    assert clone(head).get_params() == {"alphas": (1.0, 2.0), "standardize": False}
    X, y = drawn((60, 40), 3)  # two thirds of the rows: as many as features, where ridge needs its penalty
    grid = {"alphas": [(1e-2,), (1e2,)]}
    search = GridSearchCV(RidgeHead(), grid, scoring="neg_log_loss", cv=3, error_score="raise").fit(X, y)
    poor, good = search.cv_results_["mean_test_score"]
    assert -good < -0.8 * poor
    assert search.best_estimator_.alpha_ == 1e2


@parametrize_with_checks([RidgeHead()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
