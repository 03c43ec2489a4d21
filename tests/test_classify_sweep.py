"""Sweeps: chosen by validation rows alone, resumed, shared work without other results."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, run_command
from invoking import fail, invoke
from small import drawn_features, drawn_set
from typer.testing import CliRunner

from classify import Bundle, load_features
from classify.cli import app
from classify.commands.train import parse_params
from classify.heads.table import make_head
from classify.scores.intervals import wilson
from classify.selection import sweep as sweeps
from classify.selection.leaderboard import Result, alike, choose, leaderboard_csv, write_leaderboard
from classify.selection.sweep import SweepOptions, sweep, sweep_and_save
from classify.selection.trials import Entry, entries
from data import HeadstartError, open_source
from extract import extract

ALONE = SweepOptions(jobs=1)  # one process
GRIDS = {
    "centroid": {},
    "logistic": {"C": (1e-4, 1.0)},
    "keras-linear": {"dropout": (0.0, 0.2), "l2": (0.0,), "learning_rate": (1e-3, 1e-2)},
    "knn": {"k": (1, 5)},
}


@pytest.fixture(scope="module")
def features():
    return drawn_features(rows=200, classes=3)


@pytest.fixture(scope="module")
def results(features):
    return sweep(features, entries(grids=GRIDS), ALONE)


def test_every_configuration_is_judged_once_and_the_best_comes_first(results):
    assert len(results) == 9
    assert len({Entry(result.head, result.params).key for result in results}) == 9
    order = [(result.log_loss, -result.mean) for result in results]
    assert order == sorted(order)
    assert results[0].rows == 40


def test_the_best_comes_first_by_accuracy_where_asked_for(features, results):
    by_accuracy = sweep(features, entries(grids=GRIDS), SweepOptions(jobs=1, choose_by="accuracy"))
    assert {Entry(each.head, each.params).key for each in by_accuracy} == {
        Entry(each.head, each.params).key for each in results
    }
    order = [(-result.mean, result.log_loss) for result in by_accuracy]
    assert order == sorted(order)
    with pytest.raises(HeadstartError, match="choose_by"):
        SweepOptions(choose_by="f1")


def test_scores_are_those_of_the_heads_alone(features, results):
    X_val, y_val = features.split("validation")
    for result in results:
        head = make_head(result.head, **result.params).fit(*features.training_rows())
        assert result.mean == pytest.approx((head.predict(X_val) == y_val).mean())
        loss = -np.log(head.predict_proba(X_val)[np.arange(len(y_val)), y_val]).mean()
        assert result.log_loss == pytest.approx(loss, rel=1e-3)


def test_test_rows_do_not_count(features, results):
    X, y = features.X.copy(), features.y.copy()
    X[features.rows("test")], y[features.rows("test")] = np.nan, 0
    again = sweep(replace(features, X=X, y=y), entries(grids=GRIDS), ALONE)
    assert [(r.head, r.params, r.mean, r.log_loss) for r in again] == [
        (r.head, r.params, r.mean, r.log_loss) for r in results
    ]


def test_on_shuffled_labels_a_sweep_and_its_test_score_are_at_chance():
    drawn = drawn_features(rows=1000, classes=2)
    y = np.random.default_rng(3).permutation(drawn.y)
    for result in sweep(replace(drawn, y=y), entries(grids=GRIDS), ALONE):
        assert result.mean == pytest.approx(0.5, abs=0.15), result.head
    for result in sweep(drawn, entries(grids=GRIDS), ALONE)[:3]:
        assert result.mean > 0.95


def test_a_head_that_the_command_trains_on_shuffled_labels_is_at_chance(tiny_recipe, tmp_path):
    """The images of `tiny_file`, on which any head is right, with the labels in another order."""
    draw_images(tmp_path, each=60)
    images = sorted(tmp_path.rglob("*.png"))
    labels = np.random.default_rng(3).permutation([image.parent.name for image in images])
    lines = [f"{image.relative_to(tmp_path)},{label}" for image, label in zip(images, labels, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *lines]))
    extract(open_source(tmp_path / "table.csv"), tiny_recipe, tmp_path / "shuffled.h5")
    for words in (["train", "shuffled.h5"], ["evaluate", "shuffled-logistic", "shuffled.h5", "--cv", "5"]):
        done = run_command("classify", *words, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"]["value"] == pytest.approx(0.5, abs=0.2)


def test_rows_and_labels_stay_together_whatever_their_order(features, results):
    """Rows of the matrix in another order, labels with them: the validation rows stay the same ones."""
    order = np.random.default_rng(0).permutation(len(features.y))
    moved = {name: getattr(features, name)[order] for name in ("X", "y", "splits")}
    chosen = entries(["centroid", "logistic", "knn"], GRIDS)
    again = sweep(replace(features, **moved), chosen, ALONE)
    expected = {Entry(r.head, r.params).key: r.mean for r in results}
    for result in again:
        assert result.mean == pytest.approx(expected[Entry(result.head, result.params).key])


def test_processes_give_the_same(features, results):
    again = sweep(features, entries(grids=GRIDS), SweepOptions(jobs=2))
    assert [(r.head, r.params, r.mean) for r in again] == [(r.head, r.params, r.mean) for r in results]


def test_seeds_give_mean_and_deviation(features):
    chosen = entries(["keras-linear", "knn"], GRIDS)
    found = {result.head: result for result in sweep(features, chosen, SweepOptions(seeds=3, jobs=1))}
    assert len(found["keras-linear"].accuracies) == 3
    assert found["keras-linear"].deviation == pytest.approx(np.std(found["keras-linear"].accuracies, ddof=1))
    assert len(found["knn"].accuracies) == 1


def test_an_interrupted_sweep_goes_on(features, results, tmp_path, patch_ours):
    journal, train, calls = tmp_path / "journal", sweeps.attempt, []

    def interrupted(*args):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(args)
        return train(*args)

    patch_ours("classify.selection.sweep.attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(features, entries(grids=GRIDS), ALONE, journal=journal)
    kept = len(journal.read_text().splitlines())
    assert kept > 0
    with open(journal, "a") as file:
        file.write('{"features": "torn')  # as a kill leaves it
    trained = []
    patch_ours("classify.selection.sweep.attempt", lambda *args: trained.extend(args[0]) or train(*args))
    again = sweep(features, entries(grids=GRIDS), ALONE, journal=journal)
    assert len(trained) == 9 - kept
    assert [(r.head, r.mean) for r in again] == [(r.head, r.mean) for r in results]
    sweep(features, entries(grids=GRIDS), ALONE, journal=journal)
    assert len(trained) == 9 - kept  # the torn line harmed nothing
    sweep(
        replace(features, feature_sets=(drawn_set(content_digest="e" * 64),)),
        entries(["centroid"], GRIDS),
        ALONE,
        journal=journal,
    )
    assert len(trained) == 10 - kept  # other features are another matter


def result(head: str, mean: float, **params) -> Result:
    return Result(head, params, wilson(100 * mean, 100), 100, 1.0, [mean], mean, 0.0, 0.0)


def test_heads_that_the_validation_rows_cannot_tell_apart_are_counted():
    """The error of 0.9 on 100 rows is 0.03."""
    assert alike([result("knn", mean) for mean in (0.9, 0.95, 0.92, 0.88, 0.86)]) == 3
    assert alike([result("knn", 1.0), result("knn", 0.99)]) == 1


def test_one_standard_error_takes_the_simplest_that_is_good_enough():
    """The error of 0.9 on 100 rows is 0.03."""
    found = [result("boosting", 0.9), result("linear-svm", 0.88, C=1e-2)]
    found += [result("linear-svm", 0.88, C=1e-3)]
    found += [result("centroid", 0.86)]
    assert choose(found) == found[0]
    assert choose(found, entries()) == found[2]


def test_the_simplest_is_so_by_the_order_of_what_was_tried():
    """Of a head or values that the built-in grids do not hold, too."""
    found = [result("logistic", 0.9, C=7.0), result("logistic", 0.89, C=5.0), result("knn", 0.88, k=3)]
    tried = [Entry(one.head, one.params) for one in found]
    assert choose(found, tried) == found[0]
    assert choose(found, tried[::-1]) == found[2]


def test_what_heads_warn_of_is_said_once(features, capfd):
    """Two steps are too few, three times, in two processes."""
    chosen = [Entry("logistic", {"C": C, "max_iter": 2}) for C in (1.0, 2.0, 3.0)]
    sweep(features, chosen, SweepOptions(jobs=2))
    said = capfd.readouterr().err
    assert said.count("converge") == 1 and len(said.splitlines()) == 1
    assert said.startswith("logistic: the logistic head has not converged in 2 steps")


def test_a_file_without_validation_rows_is_refused(features):
    splits = np.where(features.splits == 1, 0, features.splits)
    with pytest.raises(HeadstartError) as caught:
        sweep(replace(features, splits=splits), entries(grids=GRIDS))
    assert_four_parts(str(caught.value))


def test_unknown_heads_list_the_nearest():
    with pytest.raises(HeadstartError, match="nearest: centroid"):
        entries(["centroit"])


def test_the_winner_is_saved_and_alone_judged_on_the_test_rows(features, tmp_path):
    outcome = sweep_and_save(features, entries(["logistic", "knn"], GRIDS), tmp_path / "best", ALONE)
    bundle = Bundle.load(tmp_path / "best")
    assert bundle.name == outcome.winner.head
    assert outcome.test == bundle.evaluate(features, "test")
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    lines = leaderboard_csv(outcome.results).splitlines()
    assert lines[0].startswith("rank,head,params,mean") and len(lines) == 5


def test_the_command(tiny_file, tmp_path):
    words = ["sweep", tiny_file, "--heads", "centroid,ridge", "-o", tmp_path / "best", "--jobs", "1"]
    done = CliRunner().invoke(app, [*map(str, words), "--leaderboard", str(tmp_path / "board.csv"), "--json"])
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)
    assert {row["head"] for row in values["leaderboard"]} == {"centroid", "ridge"}
    assert values["winner"] == values["leaderboard"][0]
    assert len((tmp_path / "board.csv").read_text().splitlines()) == 3
    table = CliRunner().invoke(app, [str(word) for word in words]).stdout
    assert "winner: " in table and "test, read once: " in table


@pytest.mark.parametrize("word", ["C", "=1", ""])
def test_params_that_are_none(word):
    with pytest.raises(HeadstartError) as caught:
        parse_params([word])
    assert_four_parts(str(caught.value))


def test_a_leaderboard_that_cannot_be_written_is_told_before_training(tiny_file, tmp_path):
    words = ["sweep", tiny_file, "--heads", "centroid", "-o", tmp_path / "best", "--jobs", "1"]
    for place in (tiny_file, tiny_file / "board.csv", "."):
        done = CliRunner().invoke(app, [str(word) for word in [*words, "--leaderboard", tmp_path / place]])
        assert (done.exit_code, done.stdout) == (1, "")
        assert_four_parts(done.stderr)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "board.csv").mkdir()
    with pytest.raises(HeadstartError, match="leaderboard"):
        write_leaderboard(tmp_path / "board.csv", [])


def test_trials_go_with_a_search(tmp_path):
    done = CliRunner().invoke(app, ["sweep", "none.h5", "--trials", "5"])
    assert done.exit_code == 2


def test_an_interrupted_sweep_says_how_to_go_on(features, tmp_path, patch_ours):
    def interrupt(*args):
        raise KeyboardInterrupt

    trained = sweeps.attempt
    for done, words in ((0, "nothing was finished yet"), (1, r"best.sweep.jsonl: the same command goes on")):
        steps = iter([trained] * done)
        patch_ours(
            "classify.selection.sweep.attempt", lambda *args, steps=steps: next(steps, interrupt)(*args)
        )
        with pytest.raises(KeyboardInterrupt, match=words):
            sweep_and_save(features, entries(["knn"], {"knn": {"k": (1, 3)}}), tmp_path / "best", ALONE)
    patch_ours("classify.selection.sweep.attempt", trained)
    sweep_and_save(features, entries(["knn"], {"knn": {"k": (1, 3)}}), tmp_path / "best", ALONE)
    assert not (tmp_path / "best.sweep.jsonl").exists()


def test_an_empty_journal_is_gone_on_with(features, tmp_path):
    (tmp_path / "best.sweep.jsonl").touch()
    sweep_and_save(features, entries(["knn"], {"knn": {"k": (1, 3)}}), tmp_path / "best", ALONE)
    assert Bundle.load(tmp_path / "best").name == "knn"
    assert not (tmp_path / "best.sweep.jsonl").exists()


def test_a_disk_that_takes_no_journal_is_told(features, tmp_path):
    (tmp_path / "best.sweep.jsonl").mkdir()
    with pytest.raises(HeadstartError) as caught:
        sweep_and_save(features, entries(["knn"], GRIDS), tmp_path / "best", ALONE)
    assert_four_parts(str(caught.value))


def test_heads_that_cannot_learn_are_left_out_and_said(capsys):
    few = drawn_features(rows=20)
    found = sweep(few, entries(["knn", "centroid"], {"knn": {"k": (1, 12, 13)}, "centroid": {}}), ALONE)
    assert sorted(result.params.get("k", 0) for result in found) == [0, 1, 12]
    assert "left out: the head KNeighborsClassifier cannot learn from these rows" in capsys.readouterr().err
    with pytest.raises(HeadstartError, match="n_neighbors") as caught:
        sweep(few, entries(["knn"], {"knn": {"k": (13, 14)}}), ALONE)
    assert_four_parts(str(caught.value))


def test_test_images_that_training_saw_are_left_out_where_asked_for(tiny_recipe, tmp_path):
    folder, path = tmp_path / "images", tmp_path / "images.h5"
    for split, first in (("train", 0), ("validation", 6), ("test", 12)):
        draw_images(folder / split, each=6, first=first)
    copied = sorted((folder / "train").glob("*/*.png"))[0]
    shutil.copyfile(copied, folder / "test" / copied.parent.name / "a copy.png")
    extract(open_source(folder), tiny_recipe, path)
    words = ("sweep", path, "--heads", "ridge", "-o", tmp_path / "best")
    assert "--unseen-only" in fail(*words) and not (tmp_path / "best").exists()
    done = invoke(*words, "--unseen-only", "--json")
    assert "1 test image left out, as training rows have the same bytes" in done.stderr
    assert json.loads(done.stdout)["test"]["rows"] == len(load_features(path).rows("test")) - 1
