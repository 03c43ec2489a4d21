"""The logistic head finds its minimum: neither start, threads nor blocks move a prediction."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from invoking import invoke, succeed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from small import drawn_features, on_disk
from threadpoolctl import threadpool_limits

from classify import Bundle, load_features
from classify.heads.fit import fit_head
from classify.heads.logistic import Logistic
from classify.heads.streaming import fit_streaming
from classify.heads.table import make_head
from classify.penalized.penalty import PENALTIES, best, finest, path
from classify.penalized.softmax import Problem, mean_loss, solve, solve_loosely
from classify.scores.cross_validation import cross_validate
from classify.selection.division import Part
from classify.selection.groups import train_together
from classify.selection.options import SweepOptions
from classify.selection.sweep import sweep
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


def part_of(X, y, X_val, y_val) -> Part:
    """Return training and validation rows as a sweep hands them on."""
    learn, judge = np.split(np.arange(len(X) + len(X_val)), [len(X)])
    return Part(np.concatenate([X, X_val]), np.concatenate([y, y_val]), learn, judge, (), stops=True)


def assert_converged(X, y, X_val, y_val, strengths) -> None:
    """Compare warm starts, and one thread and two, with a fit of its own for each strength."""
    entries = [Entry("logistic", {"C": C}) for C in strengths]
    found = train_together(entries, 0, 0, part_of(X, y, X_val, y_val))
    for C, trained in zip(strengths, found, strict=True):
        probas = []
        for threads in (1, 2):
            with threadpool_limits(threads):
                probas.append(fit_head(make_head("logistic", C=C), X, y).predict_proba(X_val))
        assert_same(*probas)
        assert sum(trained.right) == (probas[0].argmax(axis=1) == y_val).sum()
        loss = -np.log(probas[0][np.arange(len(y_val)), y_val]).mean()
        assert trained.loss / len(y_val) == pytest.approx(loss, rel=1e-4)


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
    entries = [Entry("logistic", {"C": C}) for C in strengths]
    (found, *_) = train_together(entries, 0, 0, part_of(X, y, X_val, y_val))
    assert sum(found.right) == (alone[1.0].argmax(axis=1) == y_val).sum()


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
    features = drawn_features(rows=600, classes=3)
    entries = [Entry("logistic", {"C": C}) for C in STRENGTHS]
    X_val, y_val = features.validation_rows()
    for result in sweep(features, entries, SweepOptions(jobs=2)):
        head = fit_head(make_head("logistic", **result.params), *features.training_rows())
        assert result.accuracy.value == (head.predict(X_val) == y_val).mean()


def chosen_among(chosen, X, y, X_val, y_val) -> dict[float, float]:
    """Return the log loss of validation rows by converged fits with each C of a path and with one more."""
    fits = {C: make_head("logistic", C=C).fit(X, y) for C in {chosen, *PENALTIES}}
    return {C: log_loss(y_val, fit.predict_proba(X_val), labels=fit.classes_) for C, fit in fits.items()}


@pytest.mark.parametrize("classes", [2, 10])
def test_validation_rows_choose_the_penalty_and_are_not_learnt(classes, rows):
    X, y, X_val, y_val = (each if each.ndim > 1 else each % classes for each in rows)
    head = fit_head(make_head("logistic"), X, y, X_val, y_val)
    found = chosen_among(head.C_, X, y, X_val, y_val)
    assert found[head.C_] < 1.01 * min(found.values()) < 0.9 * found[10.0]
    assert head.chosen_by_ == "validation rows"
    assert_same(make_head("logistic", C=head.C_).fit(X, y).predict_proba(X_val), head.predict_proba(X_val))


def test_without_validation_rows_folds_choose_nearly_the_same(rows):
    head = fit_head(make_head("logistic"), *rows[:2])
    found = chosen_among(head.C_, *rows)
    assert head.chosen_by_ == "5 folds of the training rows"
    assert found[head.C_] < 1.1 * min(found.values())


@pytest.mark.parametrize("told", [False, True], ids=["copies", "groups"])
def test_rows_that_belong_together_do_not_choose_for_each_other(told):
    """Labels say nothing: only what another fold has learnt by heart would make a weak penalty good."""
    generator = np.random.default_rng(0)
    X, y = np.repeat(generator.normal(size=(150, 100)), 4, axis=0), np.repeat(np.arange(150) % 2, 4)
    groups = [str(row // 4) for row in range(600)]
    near = X + 1e-3 * generator.normal(size=X.shape)
    assert fit_head(make_head("logistic"), near, y).C_ > 1
    kept_together = (near, y, None, None, groups) if told else (X, y)
    assert fit_head(make_head("logistic"), *kept_together).C_ < 1e-2


def test_a_path_goes_from_strong_to_weak_until_the_loss_has_risen_twice(rows):
    X, y, X_val, y_val = rows
    scaler = StandardScaler().fit(X)
    problems = [
        Problem(scaler.transform(one), labels, np.ones((len(one), 1)), 10)
        for one, labels in ((X, y), (X_val, y_val))
    ]
    steps = path(*problems)
    losses = [step.loss for step in steps]
    assert [step.C for step in steps] == list(PENALTIES[: len(steps)]) and len(steps) < len(PENALTIES)
    assert best(steps) == len(steps) - 3 and losses[-1] > losses[-2] > losses[-3]
    assert len(path(*problems, rises=1)) == len(steps) - 1


def test_the_best_of_a_path_is_made_finer_where_that_is_better(rows):
    X, y, X_val, y_val = rows
    problems = [Problem(one, of, np.ones((len(one), 1)), 10) for one, of in ((X, y), (X_val, y_val))]
    steps = path(*problems)
    found, coarse = finest(*problems, steps), steps[best(steps)]
    beside = [float(f"{coarse.C * factor:.3g}") for factor in (10**-0.25, 10**0.25)]
    losses = {coarse.C: coarse.loss}
    for C in beside:
        losses[C] = mean_loss(problems[1], solve_loosely(problems[0], C, coarse.weights))
    assert found.loss == pytest.approx(min(losses.values()), rel=1e-4) and found.loss < coarse.loss
    assert found.C == min(losses, key=losses.get) in beside


def test_several_fits_at_once_are_those_of_each_alone(rows, monkeypatch):
    X, y, *_ = rows
    shares = np.random.default_rng(0).integers(0, 3, (len(X), 3)).astype(float)
    problem = Problem(StandardScaler().fit_transform(X), y, shares, 10)
    together = solve(problem, 0.01, np.zeros(problem.shape), 1e-6, 1000)
    for fit in range(3):
        alone = solve(problem.of_fits(slice(fit, fit + 1)), 0.01, np.zeros((1, 10, 601)), 1e-6, 1000)
        np.testing.assert_allclose(together.weights[fit], alone.weights[0], atol=1e-4)
    at_once = solve_loosely(problem, 0.01, np.zeros(problem.shape))
    monkeypatch.setattr("classify.penalized.softmax._AT_ONCE", 1)
    np.testing.assert_allclose(solve_loosely(problem, 0.01, np.zeros(problem.shape)), at_once, atol=0.1)


@pytest.mark.parametrize("weights", [None, "balanced", {"cat": 3.0, "dog": 1.0, "eel": 0.5}])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learns_objective(classes, weights):
    generator = np.random.default_rng(0)
    y = np.array(["cat", "dog", "eel"])[np.minimum(generator.integers(0, 5, 300), classes - 1)]
    X = generator.normal(size=(300, 5)) + (y == "dog")[:, np.newaxis]
    own = Logistic(C=0.1, class_weight=weights, standardize=False).fit(X, y)
    usual = LogisticRegression(C=0.1, class_weight=weights, tol=1e-10, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(own.coef_, usual.coef_, atol=2e-6)
    np.testing.assert_allclose(own.predict_proba(X), usual.predict_proba(X), atol=2e-6)
    assert own.C_ == 0.1 and own.chosen_by_ == ""


def test_rows_that_no_fold_can_judge_leave_the_penalty_of_before():
    head = make_head("logistic").fit(np.eye(3), ["a", "b", "c"])
    assert head.C_ == 1.0 and head.chosen_by_.startswith("no rows")


def test_a_cross_validation_chooses_by_the_rows_of_its_own_folds():
    """A fold's head is that of its own training rows, whatever the others are."""
    features = drawn_features(rows=120, classes=2)
    first = cross_validate(make_head("logistic"), features, 3)
    y = features.y
    (_, judged), *_ = StratifiedKFold(3, shuffle=True, random_state=0).split(y[first.rows], y[first.rows])
    places = first.rows[judged]
    others = np.setdiff1d(first.rows, places)
    head = fit_head(make_head("logistic"), features.X[others], y[others])
    np.testing.assert_allclose(first.proba[judged], head.predict_proba(features.X[places]), atol=1e-12)


def test_what_is_chosen_is_in_the_bundle_and_said(small_file, tmp_path):
    bundle = tmp_path / "bundle"
    told = invoke("train", small_file, "-o", bundle).stdout
    C = Bundle.load(bundle).head.C_
    assert Bundle.load(bundle).provenance["chosen"] == {"C": C, "by": "validation rows"}
    assert f"chosen      C={C:.4g} by validation rows" in told.splitlines()
    assert f"  chosen C          {C}" in succeed("info", bundle).splitlines()
    again = json.loads(succeed("train", small_file, "-o", bundle, "--param", "C=1", "--json"))
    assert again["chosen"] == {} and Bundle.load(bundle).head.C_ == 1.0


def test_a_head_of_before_is_read():
    """It was scikit-learn's, behind a scaler."""
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    usual = LogisticRegression(C=0.5).fit(X, y)
    own = Logistic.__new__(Logistic)
    own.__setstate__(vars(usual) | {"tol": 1e-9, "warm_start": False})
    np.testing.assert_allclose(own.predict_proba(X), usual.predict_proba(X))
    assert own.get_params()["C"] == own.C_ == 0.5


def test_blocks_choose_by_folds_too(rows, tmp_path):
    X, y, *_ = rows
    drawn = replace(drawn_features(len(y), 10, 10), X=X, y=y, splits=np.zeros(len(y), np.int8))
    features = replace(drawn, class_names=tuple("abcdefghij"))
    found = fit_streaming("logistic", make_head("logistic"), on_disk(features, tmp_path), 10**8)
    expected = fit_head(make_head("logistic"), X, y)
    assert (found.C_, found.chosen_by_) == (expected.C_, expected.chosen_by_)
    assert_same(found.predict_proba(X), expected.predict_proba(X))


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


CHOSEN = """
import numpy as np
from classify.heads.logistic import Logistic
generator = np.random.default_rng(0)
y = generator.integers(0, 3, 120)
X = generator.normal(size=(120, 40)).astype(np.float32)
X[np.arange(120), y] += 1
head = Logistic().fit(X, y)
print(head.C_, head.coef_.tobytes().hex())
"""


def test_every_process_chooses_the_same():
    """Python salts the hash of bytes in each process."""
    found = {
        subprocess.run(
            [sys.executable, "-c", CHOSEN],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
