"""The logistic head finds its minimum: neither start, threads nor blocks move a prediction."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from small import drawn_features, on_disk
from threadpoolctl import threadpool_limits

from classify import load_features
from classify.heads.fit import fit_head
from classify.heads.logistic import Logistic
from classify.heads.streaming import fit_streaming
from classify.heads.table import make_head
from classify.selection.groups import train_together
from classify.selection.sweep import SweepOptions, sweep
from classify.selection.trials import Entry

NEAR = 1e-4  # of probabilities; L-BFGS at scikit-learn's tolerance is up to 0.5 off
STRENGTHS = (1e-5, 1e-3, 1.0)


def relu_features(rows: int = 1200, width: int = 600, classes: int = 10):
    """Draw features as pooling leaves them: none below 0, all dependent, in classes that overlap."""
    generator = np.random.default_rng(0)
    y = np.arange(rows) % classes
    hidden = generator.normal(0, 1, (rows, 40)) + generator.normal(0, 0.55, (classes, 40))[y]
    scales = np.geomspace(1, 0.05, 40)[:, np.newaxis]
    mixed = hidden @ (scales * generator.normal(0, 1, (40, width)))
    X = np.maximum(mixed + generator.normal(0, 0.3, (rows, width)) - 0.5, 0).astype(np.float32)
    return X[: rows // 3], y[: rows // 3], X[rows // 3 :], y[rows // 3 :]


@pytest.fixture(scope="module")
def rows():
    return relu_features()


@pytest.fixture(scope="module")
def alone(rows):
    """The probabilities of each head, trained from nothing as `train` does."""
    X, y, X_val, _ = rows
    return {C: fit_head(make_head("logistic", C=C), X, y).predict_proba(X_val) for C in STRENGTHS}


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=NEAR)
    assert found.argmax(axis=1).tolist() == expected.argmax(axis=1).tolist()


def assert_converged(X, y, X_val, y_val, strengths) -> None:
    """Compare warm starts, and one thread and two, with a fit of its own for each strength."""
    found = train_together([Entry("logistic", {"C": C}) for C in strengths], 0, X, y, X_val, y_val)
    for C, trained in zip(strengths, found, strict=True):
        probas = []
        for threads in (1, 2):
            with threadpool_limits(threads):
                probas.append(fit_head(make_head("logistic", C=C), X, y).predict_proba(X_val))
        assert_same(*probas)
        assert trained.right == (probas[0].argmax(axis=1) == y_val).sum()
        loss = -np.log(probas[0][np.arange(len(y_val)), y_val]).mean()
        assert trained.log_loss == pytest.approx(loss, rel=1e-4)


def test_the_drawn_features_are_hard_enough(rows, alone):
    """Scikit-learn's own tolerance leaves other predictions on them."""
    X, y, X_val, y_val = rows
    scaler = StandardScaler().fit(X)
    usual = LogisticRegression(max_iter=1000).fit(scaler.transform(X), y)
    proba = usual.predict_proba(scaler.transform(X_val))
    assert abs(proba - alone[1.0]).max() > 50 * NEAR
    assert (proba.argmax(axis=1) != alone[1.0].argmax(axis=1)).any()
    assert 0.5 < (alone[1.0].argmax(axis=1) == y_val).mean() < 0.98


def test_warm_and_cold_starts_and_threads_give_the_same(rows):
    assert_converged(*rows, STRENGTHS)


@pytest.mark.parametrize("strengths", [(1.0,), (1.0, 1e-1, 1e-5)])
def test_other_configurations_beside_it_do_not_move_a_head(strengths, rows, alone):
    X, y, X_val, y_val = rows
    (found, *_) = train_together([Entry("logistic", {"C": C}) for C in strengths], 0, X, y, X_val, y_val)
    assert found.right == (alone[1.0].argmax(axis=1) == y_val).sum()


def test_the_order_of_rows_does_not_matter(rows, alone):
    X, y, X_val, _ = rows
    assert_same(make_head("logistic", C=1.0).fit(X[::-1], y[::-1]).predict_proba(X_val), alone[1.0])


@pytest.mark.parametrize("C", [1.0, 1e-3])
def test_blocks_give_the_same(C, rows, alone, tmp_path):
    X, y, X_val, _ = rows
    drawn = drawn_features(len(y), 10, 10)
    names = tuple("abcdefghij")
    features = replace(drawn, X=X, y=y, splits=np.zeros(len(y), np.int8), class_names=names)
    found = fit_streaming("logistic", make_head("logistic", C=C), on_disk(features, tmp_path), 10**8)
    assert_same(found.predict_proba(X_val), alone[C])


def test_the_gradient_at_the_end_is_small(rows):
    """Of C times the summed loss and the penalty, which curves by 1 or more in every coefficient."""
    X, y, *_ = rows
    head, scaler = make_head("logistic", C=1.0).fit(X, y), StandardScaler().fit(X)
    seen = (X - scaler.mean_) / scaler.scale_
    missed = head.predict_proba(X) - (y[:, np.newaxis] == head.classes_)
    assert abs(missed.T @ seen + head.coef_ * scaler.scale_).max() < 2e-5
    assert abs(missed.sum(axis=0)).max() < 2e-5


def test_the_leaderboard_is_what_train_gives():
    features = drawn_features(rows=200, classes=3)
    entries = [Entry("logistic", {"C": C}) for C in STRENGTHS]
    X_val, y_val = features.validation_rows()
    for result in sweep(features, entries, SweepOptions(jobs=2)):
        head = fit_head(make_head("logistic", **result.params), *features.training_rows())
        assert result.accuracy.value == (head.predict(X_val) == y_val).mean()


@parametrize_with_checks([Logistic(tol=1e-9)])  # they compare to 1e-7
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_two_thousand_real_features_in_ten_classes(shared, imagenet, tmp_path):
    """Photographs of rubbish, cats and dogs; the classes are the ten clusters of their features."""
    from sklearn.cluster import KMeans

    from data import open_source
    from extract import Recipe, extract

    parts = []
    for place in ("photos/train", "trash"):
        extract(open_source(shared / place), Recipe("xception", imagenet.digest), tmp_path / "features.h5")
        parts.append(np.array(load_features(tmp_path / "features.h5").X))
        (tmp_path / "features.h5").unlink()
    X = np.random.default_rng(0).permutation(np.concatenate(parts))
    y = KMeans(10, random_state=0).fit_predict(X)
    assert X[:2000].shape == (2000, 2048)
    assert_converged(X[:2000], y[:2000], X[2000:], y[2000:], (1e-3, 1.0))
