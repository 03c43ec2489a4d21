"""Searches: proposals that learn, judged by validation rows alone, resumed, saved like a sweep's."""

import json
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import assert_four_parts
from small import drawn_features
from typer.testing import CliRunner

from classify import HEADS, Bundle
from classify.cli import app
from classify.scores.cross_validation import cross_validate
from classify.scores.intervals import wilson
from classify.selection import search as searches
from classify.selection import workers
from classify.selection.leaderboard import Result
from classify.selection.options import SweepOptions
from classify.selection.search import search, worth
from classify.selection.trials import Entry
from data import HeadstartError

SIX = SweepOptions(cv=0, trials=6)
needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="needs the extra search")


@pytest.fixture(scope="module")
def features():
    return drawn_features(rows=200, classes=3)


def found(results) -> list[tuple]:
    return [(result.head, result.params, result.mean, result.log_loss) for result in results]


@needs_optuna
@pytest.mark.parametrize("head", HEADS)
def test_every_space_can_be_trained(head, features):
    results = search(features, [head], SweepOptions(cv=0, trials=2))
    assert {result.head for result in results} == {head}
    assert all(set(result.params) == set(HEADS[head].space) for result in results)
    assert len(results) == (2 if HEADS[head].space else 1)


@needs_optuna
def test_the_same_search_finds_the_same_and_test_rows_do_not_count(features):
    first = search(features, ["logistic", "knn"], SIX)
    assert len({Entry(result.head, result.params).key for result in first}) == len(first)
    order = [(-result.mean, result.log_loss) for result in first]
    assert order == sorted(order)
    X, y = features.X.copy(), features.y.copy()
    X[features.rows("test")], y[features.rows("test")] = np.nan, 0
    assert found(search(replace(features, X=X, y=y), ["logistic", "knn"], SIX)) == found(first)


@needs_optuna
def test_results_shape_what_is_proposed(features, patch_ours):
    """The estimator goes where the objective is high: here to small C, there to great C."""
    centres = []
    for sign in (1, -1):
        patch_ours(
            "classify.selection.search.worth", lambda one, by, sign=sign: sign * np.log(one.params["C"])
        )
        results = search(features, ["logistic"], SweepOptions(cv=0, trials=25))
        centres.append(np.median([np.log10(result.params["C"]) for result in results]))
    assert centres[0] > centres[1] + 2


@needs_optuna
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(features, tmp_path, patch_ours):
    whole = search(features, ["logistic", "knn"], SIX)
    journal, train, trained = tmp_path / "journal", workers.attempt, []

    def interrupted(members, *rest):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.extend(members)
        return train(members, *rest)

    patch_ours("classify.selection.workers.attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(features, ["logistic", "knn"], SIX, journal=journal)
    patch_ours("classify.selection.workers.attempt", lambda *args: trained.extend(args[0]) or train(*args))
    assert found(search(features, ["logistic", "knn"], SIX, journal=journal)) == found(whole)
    assert len(trained) == len(whole)


@needs_optuna
def test_seeds_are_trained_for_heads_that_depend_on_them(features):
    (one,) = search(features, ["keras-linear"], SweepOptions(cv=0, trials=1, seeds=2))
    assert len(one.accuracies) == 2
    (one,) = search(features, ["ridge"], SweepOptions(cv=0, trials=1, seeds=2))
    assert len(one.accuracies) == 1


def reached(accuracy: float, log_loss: float) -> Result:
    return Result("knn", {}, wilson(10 * accuracy, 10), 10, log_loss, [accuracy], accuracy, 0.0, 0.0)


def test_a_right_row_outweighs_any_log_loss():
    def worth_of(accuracy: float, log_loss: float) -> float:
        return worth(reached(accuracy, log_loss), "accuracy")

    assert worth_of(0.9, np.inf) >= worth_of(0.8, 0.0)
    assert worth_of(0.9, 5.0) > worth_of(0.8, 0.01)
    assert worth_of(0.9, 0.1) > worth_of(0.9, 0.2)


def test_by_balanced_accuracy_the_higher_one_is_worth_more():
    even, uneven = (replace(reached(0.9, 1.0), balanced_accuracy=mean) for mean in (0.8, 0.5))
    assert worth(even, "balanced_accuracy") > worth(uneven, "balanced_accuracy") >= 0


@needs_optuna
def test_folds_judge_proposals_too(features):
    (one,) = search(features, ["ridge"], SweepOptions(trials=1, cv=4))
    assert one.rows == 160
    assert one.log_loss == pytest.approx(
        cross_validate(HEADS["ridge"](), features, 4).report()["log_loss"]["value"], rel=1e-6
    )


def test_by_log_loss_the_lower_one_is_worth_more():
    assert worth(reached(0.8, 0.01), "log_loss") > worth(reached(0.9, 0.02), "log_loss") > 0
    assert worth(reached(0.9, np.inf), "log_loss") == 0


def test_unknown_heads_list_the_nearest():
    with pytest.raises(HeadstartError, match="nearest: centroid"):
        searches.checked_heads(["centroit"])


def test_without_optuna_the_extra_is_named(features, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(HeadstartError, match=r"pip install '\.\[search\]'") as caught:
        search(features, ["ridge"], SweepOptions(cv=0, trials=1))
    assert_four_parts(str(caught.value))


@needs_optuna
def test_the_command(tiny_file, tmp_path):
    words = ["sweep", tiny_file, "--search", "optuna", "--trials", "4", "--heads", "logistic,ridge"]
    words = [str(word) for word in [*words, "-o", tmp_path / "best", "--json"]]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["winner"] == values["leaderboard"][0]
    assert Bundle.load(tmp_path / "best").name == values["winner"]["head"]
    assert values["test"]["rows"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("words", [["--search", "grid"], ["--search", "optuna", "--one-standard-error"]])
def test_what_does_not_go_together_is_told(words, tiny_file):
    assert CliRunner().invoke(app, ["sweep", str(tiny_file), *words]).exit_code == 2


def test_heads_that_cannot_learn_are_left_out(capsys):
    few = drawn_features(rows=20)
    found = search(few, ["knn"], SweepOptions(cv=0, trials=12))
    assert found and all(result.params["k"] <= 12 for result in found)
    assert "left out: the head KNeighborsClassifier" in capsys.readouterr().err
