"""Sets of labels: how often they hold the truth, how large they are, and where they are kept."""

import csv
import io
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from invoking import fail, invoke, succeed
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from small import drawn_features, write_two_layers

from classify import HEADS, Bundle, load_features
from classify.bundle.manifest import write_manifest
from classify.bundle.prediction import Answering, Asked
from classify.scores.conformal import Conformal, label_sets
from data import HeadstartError
from data.errors import UsageError

SPLITS, COVERAGE = 200, 0.95


def fitted(X, y):
    return HEADS["lda"]().fit(X, y)


def of_validation_rows(X, y, seed):
    """Train on four of five rows, and keep the scores of the others."""
    head = fitted(X[60:], y[60:])
    return head, Conformal.of(head.predict_proba(X[:60]), y[:60], "validation rows")


def of_folds(X, y, seed):
    """Train on all rows, and keep the scores of five folds."""
    proba = np.empty((len(y), 10))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y):
        proba[test] = fitted(X[train], y[train]).predict_proba(X[test])
    return fitted(X, y), Conformal.of(proba, y, "5 folds")


@pytest.mark.parametrize(("way", "largest"), [(of_validation_rows, 2.0), (of_folds, 1.5)])
def test_sets_hold_the_truth_as_often_as_they_say(way, largest):
    X, y = load_digits(return_X_y=True)
    X = X[:, ::2]  # faster, and harder
    generator = np.random.default_rng(0)
    coverages, sizes, accuracies = np.empty((3, SPLITS))
    for split in range(SPLITS):
        order = generator.permutation(len(y))
        train, test = order[:300], order[300:]
        head, conformal = way(X[train], y[train], split)
        proba = head.predict_proba(X[test])
        sets = conformal.sets(proba, COVERAGE)
        assert sets.any(axis=1).all()
        coverages[split] = sets[np.arange(len(test)), y[test]].mean()
        sizes[split] = sets.sum(axis=1).mean()
        accuracies[split] = (proba.argmax(axis=1) == y[test]).mean()
    error = coverages.std(ddof=1) / np.sqrt(SPLITS)
    assert accuracies.mean() < COVERAGE - 0.02  # one label alone would not do
    assert COVERAGE - 2 * error <= coverages.mean() < 0.98
    assert 1 < sizes.mean() < largest


def test_the_set_is_that_of_the_rank():
    conformal = Conformal.of([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], [0, 1, 0, 1], "4 rows")
    assert conformal.scores.round(6).tolist() == [0.1, 0.2, 0.4, 0.5]
    assert [conformal.highest(share) for share in (0.2, 0.6, 0.8)] == pytest.approx([0.1, 0.4, 0.5])
    assert conformal.sets([[0.7, 0.3], [0.45, 0.55]], 0.8).tolist() == [[True, False], [False, True]]
    assert conformal.sets([[0.5, 0.5]], 0.8).tolist() == [[True, True]]


def test_a_higher_coverage_gives_larger_sets():
    generator = np.random.default_rng(0)
    proba = generator.dirichlet(np.ones(6), 500)
    y = np.array([generator.choice(6, p=row) for row in proba])
    conformal = Conformal.of(proba, y, "validation rows")
    sets = [conformal.sets(proba, coverage) for coverage in (0.5, 0.8, 0.95, 0.998)]
    for smaller, larger in pairwise(sets):
        assert (smaller <= larger).all() and smaller.sum() < larger.sum()


def test_only_so_many_scores_are_kept():
    proba = np.full((25_000, 2), 0.5)
    proba[:, 0] = np.linspace(0, 1, 25_000)
    conformal = Conformal.of(proba, np.zeros(25_000, int), "validation rows")
    assert len(conformal.scores) == 10_000
    assert conformal.highest(0.95) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 95, float("nan")])
def test_coverages_that_there_are_not(coverage):
    with pytest.raises(UsageError, match="no such coverage"):
        Conformal(np.linspace(0, 1, 50), "validation rows").highest(coverage)


def test_too_few_rows_are_told():
    assert Conformal(np.linspace(0, 1, 19), "validation rows").highest(0.95) == 1
    with pytest.raises(HeadstartError, match=r"19 rows or more(.|\n)*18 rows: validation rows"):
        Conformal(np.linspace(0, 1, 18), "validation rows").highest(0.95)


def test_answers_tell_the_labels_of_the_set():
    features = drawn_features(300, classes=3)
    features = replace(features, X=features.X + np.random.default_rng(2).normal(0, 3, (300, 6)))
    bundle = Bundle.of(HEADS["ridge"]().fit(*features.training_rows()), features, "ridge")
    X = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
    answers = Answering(bundle, Asked(coverage=0.9))(X)
    sets = label_sets(bundle.predict_proba(X), bundle.conformal.highest(0.9))
    told = list(answers.probabilities())
    for row, labels, shares in zip(sets, told, answers.proba, strict=True):
        assert set(labels) == {name for name, inside in zip(bundle.class_names, row, strict=True) if inside}
        assert list(labels.values()) == sorted(shares[row].tolist(), reverse=True)
    assert len({len(labels) for labels in told}) > 1
    assert [next(iter(labels)) for labels in told] == answers.labels()
    with pytest.raises(UsageError, match="number or by the coverage"):
        Answering(bundle, Asked(top_k=2, coverage=0.9))


class TestBundle:
    def test_validation_rows_are_scored(self):
        features = drawn_features()
        bundle = Bundle.of(HEADS["ridge"]().fit(*features.training_rows()), features, "ridge")
        X, y = features.split("validation")
        assert bundle.conformal.origin == "validation rows"
        expected = np.sort(1 - bundle.predict_proba(X)[np.arange(len(y)), y])
        assert bundle.conformal.scores.tolist() == expected.tolist()

    def test_images_that_training_saw_are_left_out(self):
        features = drawn_features()
        digests = features.digests.copy()
        digests[features.rows("validation")[:5]] = digests[features.rows("train")[:5]]
        features = replace(features, digests=digests)
        bundle = Bundle.of(HEADS["ridge"]().fit(*features.training_rows()), features, "ridge")
        assert len(bundle.conformal.scores) == len(features.rows("validation")) - 5

    def test_without_validation_rows_there_is_none(self):
        features = drawn_features(splits=np.zeros(100, np.int8))
        bundle = Bundle.of(HEADS["ridge"]().fit(*features.training_rows()), features, "ridge")
        assert bundle.conformal is None
        with pytest.raises(HeadstartError, match=r"cannot tell sets(.|\n)*--cross-conformal 5"):
            Answering(bundle, Asked(coverage=0.9))
        assert bundle.cross_conformal(features, 4).conformal.origin == "4 folds"
        with pytest.raises(HeadstartError, match="fold cross-validation is not possible"):
            bundle.cross_conformal(features, 60)

    def test_folds_score_rows_that_their_head_did_not_see_and_keep_groups(self):
        generator = np.random.default_rng(0)
        X = np.repeat(generator.normal(size=(60, 6)), 2, axis=0).astype(np.float32)  # every image twice
        y = np.repeat(generator.integers(0, 2, 60), 2).astype(np.int32)  # labels that nothing tells
        features = drawn_features(120, X=X, y=y, splits=np.zeros(120, np.int8))
        bundle = Bundle.of(HEADS["knn"](k=1).fit(X, y), features, "knn")
        leaking = bundle.cross_conformal(features, 5).conformal.scores
        groups = tuple(f"image {row // 2}" for row in range(120))
        whole = bundle.cross_conformal(replace(features, groups=groups), 5).conformal.scores
        assert leaking.mean() < 0.25 and 0.3 < whole.mean() < 0.7

    def test_the_temperature_is_that_of_the_bundle(self):
        features = drawn_features()
        head = HEADS["logistic"]().fit(*features.training_rows())
        bundle = Bundle.of(head, features, "logistic").cross_conformal(features, 3)
        warm = replace(bundle, temperature=4.0).cross_conformal(features, 3)
        assert (warm.conformal.scores > bundle.conformal.scores).all()

    def test_it_is_saved(self, tmp_path):
        features = drawn_features()
        bundle = Bundle.of(HEADS["ridge"]().fit(*features.training_rows()), features, "ridge")
        bundle.cross_conformal(features, 5).save(tmp_path / "bundle")
        loaded = Bundle.load(tmp_path / "bundle").conformal
        assert loaded.origin == "5 folds"
        assert loaded.scores.tolist() == bundle.cross_conformal(features, 5).conformal.scores.tolist()
        replace(bundle, conformal=None).save(tmp_path / "bundle")
        assert Bundle.load(tmp_path / "bundle").conformal is None
        assert not (tmp_path / "bundle" / "conformal.npy").exists()

    def test_bundles_of_version_2_have_none(self, tmp_path):
        features = drawn_features()
        Bundle.of(HEADS["ridge"]().fit(*features.training_rows()), features, "ridge").save(tmp_path / "old")
        path = tmp_path / "old" / "bundle.json"
        values = json.loads(path.read_text()) | {"format_version": 2}
        del values["conformal"], values["digests"]
        path.write_text(json.dumps(values))
        (tmp_path / "old" / "conformal.npy").unlink()
        old = Bundle.load(tmp_path / "old")
        assert old.conformal is None
        assert old.predict_proba(features.X).shape == (100, 2)
        with pytest.raises(HeadstartError, match="a bundle of an earlier version"):
            Answering(old, Asked(coverage=0.9))

    @pytest.mark.parametrize("scores", [np.array([0.5, 0.1]), np.zeros((2, 2)), np.array([{}])])
    def test_damaged_scores_are_refused(self, scores, tmp_path):
        features = drawn_features()
        Bundle.of(HEADS["ridge"]().fit(*features.training_rows()), features, "ridge").save(
            tmp_path / "bundle"
        )
        np.save(tmp_path / "bundle" / "conformal.npy", scores, allow_pickle=True)
        write_manifest(tmp_path / "bundle", json.loads((tmp_path / "bundle" / "bundle.json").read_text()))
        with pytest.raises(HeadstartError, match="is not a bundle, or is damaged"):
            Bundle.load(tmp_path / "bundle")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A feature file whose layer `noise` says nothing, and a bundle on it with folds."""
    folder = tmp_path_factory.mktemp("noisy")
    path = write_two_layers(folder)
    words = ("train", path, "--layer", "noise", "--head", "ridge", "--cross-conformal", 5)
    succeed(*words, "-o", folder / "bundle")
    return folder / "bundle", path


class TestCommands:
    def test_csv_json_and_table_tell_the_set(self, noisy):
        words = ("predict", *noisy, "--coverage", 0.5)
        bundle = Bundle.load(noisy[0])
        X = load_features(noisy[1], ["noise"]).X
        sets = bundle.conformal.sets(bundle.predict_proba(np.asarray(X)), 0.5)
        names = [{name for name, own in zip(bundle.class_names, row, strict=True) if own} for row in sets]
        assert 1 < sets.sum(axis=1).mean() < 3
        rows = list(csv.DictReader(io.StringIO(succeed(*words, "--csv"))))
        assert list(rows[0]) == ["digest", "id", "label", "probability", "labels"]
        assert [set(json.loads(row["labels"])) for row in rows] == names
        assert [set(row["probabilities"]) for row in json.loads(succeed(*words, "--json"))] == names
        lines = succeed(*words).splitlines()
        mean = sets.sum(axis=1).mean()
        assert any(f"coverage of 0.5: {mean:.2f} labels on average" in line for line in lines)
        shown = sum(len(labels) for labels in names[:10])
        assert len(lines[lines.index("the first 10") + 2 : -1]) == shown

    def test_images(self, tiny_bundle, images):
        bundle = Bundle.load(tiny_bundle)
        (found,) = bundle.predict(images / "red" / "000.png", coverage=0.5)
        assert list(found.probabilities) == ["red"]
        printed = succeed("predict", tiny_bundle, images / "red", "--coverage", 0.5, "--csv")
        assert {row["labels"] for row in csv.DictReader(io.StringIO(printed))} == {'["red"]'}

    def test_training_says_nothing_of_it_and_saves_the_same_head(self, noisy, tmp_path):
        words = ("train", noisy[1], "--layer", "noise", "--head", "ridge", "-o", tmp_path / "plain")
        plain = succeed(*words)
        assert plain.replace(str(tmp_path / "plain"), str(noisy[0])) == succeed(
            *words[:-1], noisy[0], "--cross-conformal", 5
        )
        one, two = Bundle.load(tmp_path / "plain"), Bundle.load(noisy[0])
        assert (one.conformal.origin, two.conformal.origin) == ("validation rows", "5 folds")
        assert one.scores == two.scores

    def test_what_is_wrong_is_told(self, noisy, tmp_path):
        bundle, path = noisy
        assert "too few rows for sets" in fail("predict", bundle, path, "--coverage", 0.99)
        assert "no such coverage" in fail("predict", bundle, path, "--coverage", 95, code=2)
        assert "17-fold" in fail("train", path, "-o", tmp_path / "x", "--cross-conformal", 17)
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize(
        "words",
        [
            ("predict", "bundle", "a.h5", "--coverage", 0.9, "--top-k", 2),
            ("train", "a.h5", "--cross-conformal", 5, "--memory", "1GB"),
            ("train", "a.h5", "--cross-conformal", 5, "--live", "images"),
        ],
        ids=str,
    )
    def test_usage(self, words):
        result = invoke(*words)
        assert (result.exit_code, result.stdout) == (2, "") and "Usage: " in result.stderr
