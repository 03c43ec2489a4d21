"""The factor that turns decision values into probabilities."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classify import HEADS
from classify.scores.calibration import (
    HIGHEST,
    LOWEST,
    fit_inverse_temperature,
    log_loss,
    probabilities,
    smoothing_of,
)
from classify.scores.evaluate import losses
from classify.scores.temperature import Calibration, head_logits, head_proba, tempered


def drawn(classes: int, factor: float, rows: int = 4000):
    """Draw decision values, and labels by the probabilities that the factor makes of them."""
    generator = np.random.default_rng(0)
    decision = generator.normal(0, 1, rows if classes == 2 else (rows, classes))
    cumulated = probabilities(decision, factor).cumsum(axis=1)
    return decision, (generator.random((rows, 1)) > cumulated).sum(axis=1).clip(max=classes - 1)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_factor_of_drawn_labels_comes_back(classes, factor):
    assert fit_inverse_temperature(*drawn(classes, factor)) == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize("classes", [2, 3])
def test_no_other_factor_has_less_log_loss(classes):
    decision, y = drawn(classes, 2.0, rows=100)
    factor = fit_inverse_temperature(decision, y)
    others = np.geomspace(LOWEST, HIGHEST, 101)
    least = log_loss(decision, y, factor)
    assert least <= min(log_loss(decision, y, other) for other in others)
    for step in (0.99, 1.01):
        assert log_loss(decision, y, step * factor) > least
    assert isinstance(factor, float)


def test_the_factor_undoes_a_scale():
    decision, y = drawn(3, 2.0, rows=100)
    assert fit_inverse_temperature(10 * decision, y) == pytest.approx(
        fit_inverse_temperature(decision, y) / 10, rel=1e-6
    )


def test_one_value_a_row_is_two_with_the_first_at_zero():
    decision, y = drawn(2, 2.0, rows=100)
    pairs = np.stack([np.zeros(100), decision], axis=1)
    assert fit_inverse_temperature(decision, y) == fit_inverse_temperature(pairs, y)
    assert (probabilities(decision, 1.5) == probabilities(pairs, 1.5)).all()


def test_rows_without_an_error_get_the_highest_factor():
    decision = np.array([-2.0, -1.0, 1.0, 2.0])
    assert fit_inverse_temperature(decision, [0, 0, 1, 1]) == HIGHEST
    assert fit_inverse_temperature(np.eye(3), [0, 1, 2]) == HIGHEST


def test_smoothing_keeps_the_factor_finite():
    # All rows right at a distance of 1: the best probability of the label is the label's own share.
    share = 1 - 0.02 / 2
    found = fit_inverse_temperature(np.array([-1.0, 1.0]), [0, 1], smoothing=0.02)
    assert found == pytest.approx(np.log(share / (1 - share)))
    share = 1 - 0.02 * 2 / 3
    found = fit_inverse_temperature(np.eye(3), [0, 1, 2], smoothing=0.02)
    assert found == pytest.approx(np.log(share / ((1 - share) / 2)))


def test_smoothing_hardly_moves_a_factor_of_many_rows():
    decision, y = drawn(3, 2.0)
    plain, smooth = (
        fit_inverse_temperature(decision, y),
        fit_inverse_temperature(decision, y, smoothing_of(len(y))),
    )
    assert plain * 0.99 < smooth < plain


def test_values_that_say_nothing_or_worse_get_the_lowest_factor():
    assert fit_inverse_temperature(np.zeros((4, 3)), [0, 1, 2, 0]) == LOWEST
    assert fit_inverse_temperature([-1.0, 1.0], [1, 0]) == LOWEST


def test_classes_without_rows_do_no_harm():
    decision, y = drawn(3, 2.0, rows=400)
    kept = y < 2
    assert 0.5 < fit_inverse_temperature(decision[kept], y[kept]) < 5


def test_the_keyword_of_before_says_its_new_name():
    with pytest.raises(TypeError, match="inverse_temperature="):
        probabilities([0.0, 1.0], temperature=2.0)


def test_probabilities_are_sigmoid_and_softmax():
    decision = np.random.default_rng(0).normal(0, 3, (20, 4))
    np.testing.assert_allclose(probabilities(decision, 0.7), softmax(0.7 * decision, axis=1), rtol=1e-12)
    found = probabilities(decision[:, 0].astype(np.float32), 0.7)
    assert (found.dtype, found.shape) == (np.float64, (20, 2))
    np.testing.assert_allclose(found[:, 1], expit(0.7 * decision[:, 0]), rtol=1e-5)


@pytest.mark.filterwarnings("error")
def test_great_values_do_not_overflow():
    decision = np.array([[1e5, 0.0, -1e5], [0.0, 0.0, 1e5]])
    assert probabilities(decision, HIGHEST).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert probabilities([-1e5, 1e5], HIGHEST).tolist() == [[1, 0], [0, 1]]
    assert log_loss(decision, [2, 2], HIGHEST) == pytest.approx(1e8)
    assert fit_inverse_temperature(decision, [0, 1]) == LOWEST


@pytest.mark.parametrize("classes", [2, 3])
def test_log_loss_is_that_of_scikit_learn(classes):
    decision, y = drawn(classes, 2.0, rows=50)
    expected = sklearn.metrics.log_loss(y, probabilities(decision, 1.7), labels=range(classes))
    assert log_loss(decision, y, 1.7) == pytest.approx(expected)


def test_neither_keras_nor_tensorflow_is_imported():
    code = (
        "import sys, classify.heads.ridge, classify.heads.linear_svm, classify.scores.calibration;"
        "print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def said(classes: int, factor: float, rows: int, seed: int = 0):
    """Draw probabilities that are too sure by a factor, and labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (rows, classes))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    y = (generator.random((rows, 1)) > cumulated).sum(axis=1).clip(max=classes - 1)
    return softmax(factor * logits, axis=1), y


class TestCalibration:
    """A temperature on rows that a head did not see: never worse on them, and moderate where they are few."""

    @pytest.mark.parametrize("classes", [2, 5])
    @pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
    @pytest.mark.parametrize("rows", [1, 3, 20, 400])
    def test_no_row_count_gets_a_higher_log_loss(self, classes, factor, rows):
        for seed in range(10):
            proba, y = said(classes, factor, rows, seed)
            found = Calibration.of(proba, y, "validation rows")
            assert (found.by, found.rows) == ("validation rows", rows)
            before, after = (losses(y, tempered(proba, t)).mean() for t in (1.0, found.temperature))
            told = (found.log_loss_before, found.log_loss_after)
            assert told == (pytest.approx(before, rel=1e-9), pytest.approx(after, rel=1e-9))
            assert after < before or found.temperature == 1

    @pytest.mark.parametrize("factor", [0.3, 4.0])
    def test_many_rows_give_the_scale_back(self, factor):
        found = Calibration.of(*said(3, factor, 20_000), "validation rows")
        assert found.temperature == pytest.approx(factor, rel=0.05)

    def test_few_rows_stay_near_one(self):
        moved = [
            [abs(np.log(Calibration.of(*said(3, 1.0, rows, seed), "").temperature)) for seed in range(30)]
            for rows in (5, 5000)
        ]
        assert max(moved[0]) < 0.5 and max(moved[1]) < 0.1

    def test_probabilities_that_fit_are_left_as_they_are(self):
        proba = np.repeat([[0.75, 0.25]], 400, axis=0)
        found = Calibration.of(proba, [0, 0, 0, 1] * 100, "validation rows")
        assert found.temperature == 1 and tempered(proba, found.temperature) is proba

    @pytest.mark.parametrize("temperature", [0.05, 0.9, 7.0, 100.0])
    def test_decisions_stay(self, temperature):
        proba, _ = said(5, 3.0, 500)
        np.testing.assert_array_equal(tempered(proba, temperature).argmax(axis=1), proba.argmax(axis=1))

    def test_small_probabilities_keep_their_logits_and_none_is_tiny(self):
        logits = np.array([[0.0, -100.0, -200.0]])
        found = tempered(softmax(logits, axis=1), 20.0)
        np.testing.assert_allclose(found, softmax(logits / 20, axis=1), rtol=1e-12)
        found = tempered(np.array([[1.0, 0.0]]), 5.0)
        np.testing.assert_allclose(found[0, 1] / found[0, 0], 1e-15 ** (1 / 5))
        found = tempered(np.array([[1.0, 1e-30, 0.0]]), 5.0)
        assert found[0, 1] == found[0, 2] > 0


class TestHeadProba:
    """Small probabilities of two classes keep their digits, of which a temperature makes much."""

    @pytest.fixture
    def rows(self):
        X = np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32)
        y = np.arange(200) % 2
        X[:, 0] += 30 * y
        return X, y

    @pytest.mark.parametrize(
        "make",
        [
            lambda: HEADS["lda"](),
            lambda: make_pipeline(StandardScaler(), LogisticRegression(C=1e4)),
            lambda: HEADS["logistic"](C=100.0),
        ],
        ids=["lda", "a pipeline", "logistic"],
    )
    def test_a_temperature_divides_the_logits(self, make, rows):
        head = make().fit(*rows)
        far = 20 * rows[0]
        decision = head.decision_function(far).astype(float)
        assert np.abs(decision).max() > 100
        expected = probabilities(decision / 10)
        np.testing.assert_allclose(head_proba(head, far, 10.0), expected, atol=1e-6)

    @pytest.mark.parametrize("name", ["knn", "linear-svm", "keras-linear", "boosting"])
    def test_those_of_other_heads_are_as_they_come(self, name, rows):
        head = HEADS[name]().fit(*rows)
        proba = head.predict_proba(rows[0])
        assert (head_proba(head, rows[0], 1.0) == proba).all()
        np.testing.assert_allclose(softmax(head_logits(head, rows[0]), axis=1), proba, atol=1e-12)
