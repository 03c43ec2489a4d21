"""Sweeps: chosen by validation rows alone, resumed, shared work without other results."""

import json
import shutil
from dataclasses import replace
from threading import Event, Thread
from time import sleep

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, run_command
from invoking import fail, invoke
from small import drawn_features, drawn_set
from typer.testing import CliRunner

from classify import Bundle, load_features
from classify.cli import app
from classify.commands.train import parse_params
from classify.heads.streaming import train_head
from classify.heads.table import make_head
from classify.scores.cross_validation import cross_validate
from classify.scores.evaluate import losses
from classify.scores.intervals import wilson
from classify.selection import workers
from classify.selection.division import division_of
from classify.selection.leaderboard import Leaderboard, Result, leaderboard_csv, ranked, write_leaderboard
from classify.selection.options import SweepOptions
from classify.selection.sweep import sweep, sweep_and_save
from classify.selection.trials import Entry, entries
from data import HeadstartError, open_source
from extract import extract

ALONE = SweepOptions(jobs=1, cv=0)  # one process, validation rows
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
    by_accuracy = sweep(features, entries(grids=GRIDS), replace(ALONE, choose_by="accuracy"))
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
    again = sweep(features, entries(grids=GRIDS), SweepOptions(jobs=2, cv=0))
    assert [(r.head, r.params, r.mean) for r in again] == [(r.head, r.params, r.mean) for r in results]


def test_seeds_give_mean_and_deviation(features):
    chosen = entries(["keras-linear", "knn"], GRIDS)
    found = {result.head: result for result in sweep(features, chosen, replace(ALONE, seeds=3))}
    assert len(found["keras-linear"].accuracies) == 3
    assert found["keras-linear"].deviation == pytest.approx(np.std(found["keras-linear"].accuracies, ddof=1))
    assert len(found["knn"].accuracies) == 1


def test_an_interrupted_sweep_goes_on(features, results, tmp_path, patch_ours):
    journal, train, calls = tmp_path / "journal", workers.attempt, []

    def interrupted(*args):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(args)
        return train(*args)

    patch_ours("classify.selection.workers.attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(features, entries(grids=GRIDS), ALONE, journal=journal)
    kept = len(journal.read_text().splitlines())
    assert kept > 0
    with open(journal, "a") as file:
        file.write('{"features": "torn')  # as a kill leaves it
    trained = []
    patch_ours("classify.selection.workers.attempt", lambda *args: trained.extend(args[0]) or train(*args))
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


def board(*results: Result, by: str = "accuracy") -> Leaderboard:
    return Leaderboard(tuple(results), by)


def result(head: str, mean: float, **params) -> Result:
    error = (mean * (1 - mean) / 100) ** 0.5
    return Result(
        head, params, wilson(100 * mean, 100), 100, 1 - mean, [mean], mean, 0.0, 0.0, mean,
        errors={"accuracy": error, "log_loss": 0.045, "balanced_accuracy": error},
    )  # fmt: skip


def test_heads_that_the_rows_cannot_tell_apart_are_counted():
    """The error of 0.9 on 100 rows is 0.03."""
    assert board(*(result("knn", mean) for mean in (0.9, 0.92, 0.88, 0.86))).alike == 3
    assert board(*(result("knn", mean) for mean in (0.9, 0.86, 0.85)), by="log_loss").alike == 2
    assert board(result("knn", 1.0), result("knn", 0.99)).alike == 1
    stopped = replace(result("knn", 0.9), stopped=True)
    assert board(result("ridge", 0.9), stopped).alike == 1


def test_one_standard_error_takes_the_simplest_that_is_good_enough():
    """The error of 0.9 on 100 rows is 0.03."""
    found = [result("boosting", 0.9), result("linear-svm", 0.88, C=1e-2)]
    found += [result("linear-svm", 0.88, C=1e-3)]
    found += [result("centroid", 0.86)]
    assert board(*found).choose() == found[0]
    assert board(*found).choose(entries()) == found[2]
    assert board(*found, by="log_loss").choose(entries()) == found[3]


def test_the_simplest_is_so_by_the_order_of_what_was_tried():
    """Of a head or values that the built-in grids do not hold, too."""
    found = [result("logistic", 0.9, C=7.0), result("logistic", 0.89, C=5.0), result("knn", 0.88, k=3)]
    tried = [Entry(one.head, one.params) for one in found]
    assert board(*found).choose(tried) == found[0]
    assert board(*found).choose(tried[::-1]) == found[2]


def test_what_was_stopped_stands_behind_whatever_it_reached():
    stopped = [replace(result("mlp", 1.0), stopped=True, learned=learned) for learned in (10, 30)]
    whole = [result("ridge", 0.5), result("knn", 0.6)]
    assert ranked([*stopped, *whole], "accuracy") == [whole[1], whole[0], stopped[1], stopped[0]]
    lines = leaderboard_csv(ranked([*stopped, *whole], "accuracy")).splitlines()
    assert [line.split(",")[0] for line in lines] == ["rank", "1", "2", "", ""]


def test_balanced_accuracy_ranks_where_asked_for():
    """A head that knows the rare class against one that never says it."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [180, 20])[generator.permutation(200)].astype(np.int32)
    drawn = drawn_features(rows=200, y=labels)
    found = sweep(drawn, entries(["centroid", "knn"], {"centroid": {}, "knn": {"k": (5,)}}), BALANCED)
    for each in found:
        head = make_head(each.head, **each.params).fit(*drawn.training_rows())
        X_val, y_val = drawn.split("validation")
        wanted = np.mean([(head.predict(X_val[y_val == k]) == k).mean() for k in (0, 1)])
        assert each.balanced_accuracy == pytest.approx(wanted)
    assert found[0].balanced_accuracy >= found[1].balanced_accuracy


BALANCED = replace(ALONE, choose_by="balanced_accuracy")


def test_standard_errors_are_those_of_the_mean_over_rows(features):
    """One standard error of the log loss is its deviation over the rows, divided by their root."""
    found = sweep(features, entries(["knn"], {"knn": {"k": (20,)}}), ALONE)[0]
    X_val, y_val = features.split("validation")
    proba = make_head("knn", k=20).fit(*features.training_rows()).predict_proba(X_val)
    lost = losses(y_val, proba)
    assert found.errors["log_loss"] == pytest.approx(lost.std() / len(lost) ** 0.5)
    assert found.errors["accuracy"] == pytest.approx((found.mean * (1 - found.mean) / 40) ** 0.5)


FOLDS = replace(ALONE, cv=4)


def test_by_folds_figures_are_those_of_a_cross_validation(features):
    """To the last digit, of every head: what `evaluate --cv` prints is what the leaderboard had."""
    noisy = replace(features, X=features.X + np.random.default_rng(5).normal(0, 3, features.X.shape))
    noisy = replace(noisy, X=noisy.X.astype(np.float32), groups=tuple(f"g{row // 4}" for row in range(200)))
    noisy = replace(noisy, splits=np.repeat(np.array([0, 0, 0, 1, 2], np.int8), 40))
    for found in sweep(noisy, entries(grids=GRIDS), FOLDS):
        report = cross_validate(make_head(found.head, **found.params), noisy, 4).report()
        assert found.rows == report["rows"] == 160
        assert found.mean == pytest.approx(report["accuracy"]["value"], abs=1e-12)
        assert found.log_loss == pytest.approx(report["log_loss"]["value"], rel=1e-5)
        assert found.balanced_accuracy == pytest.approx(report["balanced_accuracy"]["value"], abs=1e-12)


def test_the_leaderboard_and_train_agree_in_every_digit_that_is_printed():
    """Of every configuration of the built-in grids: accuracy, and log loss before the temperature."""
    noisy = drawn_features(rows=200, classes=3)
    X = noisy.X + np.random.default_rng(5).normal(0, 2, noisy.X.shape).astype(np.float32)
    noisy = replace(noisy, X=X)
    found = sweep(noisy, entries(), replace(ALONE, exhaustive=True))
    assert len(found) == len(entries())
    for each in found:
        head, rows = train_head(each.head, make_head(each.head, **each.params), noisy, None)
        bundle = Bundle.of(head, rows, each.head)
        assert f"{bundle.scores['validation']['accuracy']['value']:.4f}" == f"{each.mean:.4f}"
        before = bundle.provenance["calibration"]["log_loss_before"]
        assert f"{before:.4f}" == f"{each.log_loss:.4f}", each


def test_few_validation_rows_do_not_choose(features):
    """Forty of three classes are few, ninety are not; without any, folds judge, unless asked otherwise."""
    assert (division_of(features).folds, division_of(features).rows) == (5, 160)
    assert "40 validation rows for 3 classes are few" in division_of(features).words
    assert division_of(features, 0).folds == 0
    many = drawn_features(rows=450, classes=3)
    assert (division_of(many).folds, division_of(many).words) == (0, "90 validation rows")
    none = replace(features, splits=np.where(features.splits == 1, 0, features.splits))
    assert division_of(none).folds == 5
    with pytest.raises(HeadstartError) as caught:
        division_of(none, 0)
    assert_four_parts(str(caught.value))
    with pytest.raises(HeadstartError, match="60-fold"):
        division_of(features, 60)


def test_a_class_of_too_few_rows_for_folds_leaves_the_choice_to_validation_rows():
    labels = np.zeros(100, np.int32)
    labels[1:60:2], labels[5] = 1, 2
    division = division_of(drawn_features(classes=3, y=labels))
    assert division.folds == 0
    assert "too few rows for folds" in division.words


def test_the_winner_by_folds_learns_the_training_rows_alone(features, tmp_path):
    outcome = sweep_and_save(features, [Entry("logistic", {})], tmp_path / "best", FOLDS)
    bundle = Bundle.load(tmp_path / "best")
    assert bundle.head.chosen_by_ == "5 folds of the training rows"
    alone = make_head("logistic").fit(*features.training_rows())
    X_test, _ = features.split("test")
    assert bundle.head.predict_proba(X_test) == pytest.approx(alone.predict_proba(X_test))
    assert outcome.to_dict()["folds"] == 4
    calibration = bundle.provenance["calibration"]
    assert (calibration["by"], calibration["rows"]) == ("rows by 4 folds", 160)
    assert calibration["log_loss_before"] == pytest.approx(outcome.winner.log_loss, rel=1e-6)
    assert outcome.to_dict()["calibration"] == calibration


def test_a_journal_of_another_division_is_not_gone_on_with(features, tmp_path):
    journal, chosen = tmp_path / "journal", entries(["centroid"], GRIDS)
    for options, lines in ((ALONE, 1), (FOLDS, 5), (ALONE, 5), (FOLDS, 5)):
        sweep(features, chosen, options, journal=journal)
        assert len(journal.read_text().splitlines()) == lines


def test_what_heads_warn_of_is_said_once(features, capfd):
    """Two steps are too few, three times, in two processes."""
    chosen = [Entry("logistic", {"C": C, "max_iter": 2}) for C in (1.0, 2.0, 3.0)]
    sweep(features, chosen, SweepOptions(jobs=2, cv=0))
    said = capfd.readouterr().err
    assert said.count("converge") == 1 and len(said.splitlines()) == 1
    assert said.startswith("logistic: the logistic head has not converged in 2 steps")


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

    trained = workers.attempt
    for done, words in ((0, "nothing was finished yet"), (1, r"best.sweep.jsonl: the same command goes on")):
        steps = iter([trained] * done)
        patch_ours(
            "classify.selection.workers.attempt", lambda *args, steps=steps: next(steps, interrupt)(*args)
        )
        with pytest.raises(KeyboardInterrupt, match=words):
            sweep_and_save(features, entries(["knn"], {"knn": {"k": (1, 3)}}), tmp_path / "best", ALONE)
    patch_ours("classify.selection.workers.attempt", trained)
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


def test_two_sweeps_onto_one_output_take_turns(features, tmp_path, patch_ours, capfd):
    """The second waits, and says for whom; its own result is what is there in the end."""
    best, began, train = tmp_path / "best", Event(), workers.attempt

    def slow(*args):
        began.set()
        sleep(1)
        return train(*args)

    patch_ours("classify.selection.workers.attempt", slow)
    first = Thread(target=sweep_and_save, args=(features, entries(["centroid"], GRIDS), best, ALONE))
    first.start()
    began.wait()
    outcome = sweep_and_save(features, entries(["knn"], GRIDS), best, ALONE)
    first.join()
    assert "waiting for process" in capfd.readouterr().err
    assert Bundle.load(best).name == outcome.winner.head == "knn"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
