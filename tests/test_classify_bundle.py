"""Bundles on disk: what they hold, that they survive, and what they refuse."""

import base64
import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import refused
from folders import waiting_told
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from skops.io import dump
from small import drawn_features, drawn_set

from classify import Bundle
from classify.bundle.folder import _write, read_as
from classify.bundle.manifest import read_manifest, write_manifest
from classify.features.matrix import FeatureMatrix
from classify.heads.table import HEADS, make_head
from classify.scores.evaluate import evaluate
from classify.scores.temperature import Calibration
from data import HeadstartError
from data.output.swap import swapped

QUICK = {name: {} for name in HEADS}
QUICK["keras-linear"] = {"epochs": 20, "learning_rate": 0.1}
QUICK["mlp"] = {"epochs": 6, "learning_rate": 0.05, "hidden": (8,)}
QUICK["boosting"] = {"max_iter": 60}
FILES = {name: "head.keras" if name == "mlp" else "head.skops" for name in HEADS}
ARRAYS = {"seen.npy", "detector.npz", "conformal.npy"}
each_head = pytest.mark.parametrize("name", QUICK)


def trained(name: str = "logistic", features=None) -> Bundle:
    """Train a head on drawn features."""
    features = features or drawn_features()
    return Bundle.of(make_head(name, **QUICK[name]).fit(*features.training_rows()), features, name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    """A bundle of two classes by each head, on disk."""
    folder = tmp_path_factory.mktemp("saved")
    return {name: Path(trained(name).save(folder / name) and folder / name) for name in QUICK}


def below(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes, and folders with none."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("classes", [2, 3])
@each_head
def test_a_bundle_comes_back_as_it_was_saved(name, classes, tmp_path):
    features = drawn_features(classes=classes)
    bundle = trained(name, features)
    assert bundle.save(str(tmp_path / "saved")) is bundle
    assert set(below(tmp_path / "saved")) == {
        "bundle.json",
        FILES[name],
        *ARRAYS,
    }  # so no pickle
    loaded = Bundle.load(str(tmp_path / "saved"))
    assert replace(loaded, head=None) == replace(bundle, head=None)
    assert np.array_equal(loaded.seen, bundle.seen)
    assert np.array_equal(loaded.detector.score(features.X), bundle.detector.score(features.X))
    assert type(loaded.head) is type(bundle.head)
    proba = loaded.predict_proba(features.X)
    assert proba.shape == (100, classes)
    assert np.array_equal(proba, bundle.predict_proba(features.X))
    assert loaded.evaluate(features) == bundle.evaluate(features)
    assert Bundle.load(loaded.save(tmp_path / "again") and tmp_path / "again").scores == bundle.scores


def test_bundle_json_explains_itself(saved):
    features = drawn_features()
    values = json.loads((saved["logistic"] / "bundle.json").read_text("utf-8"))
    assert (values["format"], values["format_version"], values["name"]) == ("headstart bundle", 4, "logistic")
    assert values["class_names"] == ["ant", "bee"]
    assert values["digests"].keys() == {"bundle.json", "head.skops", *ARRAYS}
    (own,), (known,) = values["feature_sets"], features.feature_sets
    assert own["recipe"] == json.loads(known.recipe.to_json())
    assert (own["layers"], own["weights"]) == (["avg_pool"], known.weights)
    assert own["content_digest"] == features.content_digest
    assert values["scores"].keys() == {"train", "validation"}  # none of test
    assert values["scores"]["validation"]["rows"] == 20
    assert values["scores"]["validation"]["accuracy"].keys() == {"value", "low", "high"}
    assert values["provenance"]["rows"] == {"train": 60, "validation": 20, "test": 20}
    assert {"numpy", "scikit-learn", "keras", "tensorflow"} <= values["provenance"]["versions"].keys()


def test_parameters_found_by_a_grid_search_can_be_saved(tmp_path):
    features = drawn_features()
    head = make_head(
        "keras-linear", epochs=np.int64(1), dropout=np.float64(0.1)
    )  # as from an array of values
    bundle = Bundle.of(head.fit(*features.training_rows()), features).save(tmp_path / "saved")
    loaded = Bundle.load(tmp_path / "saved")
    assert loaded.name == "KerasHead"
    assert loaded.head.get_params() == bundle.head.get_params()


def test_a_search_is_refused_when_saved_not_when_loaded(tmp_path):
    features = drawn_features()
    search = GridSearchCV(make_head("logistic"), {"C": [1.0, 10.0]}, cv=2).fit(*features.training_rows())
    refused(lambda: Bundle.of(search, features).save(tmp_path / "saved"), "best_estimator_")
    assert list(tmp_path.iterdir()) == []
    Bundle.load(Bundle.of(search.best_estimator_, features).save(tmp_path / "saved") and tmp_path / "saved")


@each_head
def test_a_class_that_training_never_saw_has_probability_0(name, tmp_path):
    features = drawn_features(120, 3)
    features.splits[features.y == 1] = 2
    trained(name, features).save(tmp_path / "saved")
    bundle = Bundle.load(tmp_path / "saved")
    proba = bundle.predict_proba(features.X)
    assert (proba[:, 1] == 0).all()
    assert proba.sum(axis=1) == pytest.approx(1)
    seen = features.y != 1
    assert (proba.argmax(axis=1) == features.y)[seen].mean() > 0.9  # columns in the order of class_names
    report = bundle.evaluate(features)
    assert [row["name"] for row in report["classes"]] == ["ant", "bee", "cow"]
    assert report["classes"][1]["recall"]["value"] == 0


UNFIT = {  # what no bundle can be made of, and the words for it
    "unfitted": (lambda X, y: LogisticRegression(), "is not fitted"),
    "unfitted pipeline": (lambda X, y: make_head("logistic"), "is not fitted"),
    "unfitted net": (lambda X, y: make_head("keras-linear"), "is not fitted"),
    "a class": (lambda X, y: LogisticRegression, "is not fitted"),
    "text labels": (lambda X, y: LogisticRegression().fit(X, np.array(["ant", "bee"])[y]), "'ant', 'bee'"),
    "other labels": (lambda X, y: LogisticRegression().fit(X, y + 1), "received: 1, 2"),
    "labels of floats": (lambda X, y: LogisticRegression().fit(X, y / 1), "received: 0.0, 1.0"),
    "several labels": (lambda X, y: DecisionTreeClassifier().fit(X, np.c_[y, y]), "other labels"),
    "LinearSVC": (lambda X, y: LinearSVC().fit(X, y), "LinearSVC gives no probabilities"),
    "RidgeClassifier": (lambda X, y: RidgeClassifier().fit(X, y), "gives no probabilities"),
    "a regression": (lambda X, y: LinearRegression().fit(X, y), "gives no probabilities"),
    "other features": (lambda X, y: LogisticRegression().fit(X[:, :3], y), "3 features"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_head_that_fits_no_bundle_is_refused(name):
    features = drawn_features()
    make, words = UNFIT[name]
    head = make(*features.training_rows())
    refused(lambda: Bundle.of(head, features), words)


def test_a_bundle_needs_features():
    features = drawn_features()
    head = make_head("centroid").fit(*features.training_rows())
    refused(lambda: Bundle.of(head, features.X), "load_features")


def test_test_rows_are_not_read():
    clean, garbage = drawn_features(), drawn_features()
    test = garbage.splits == 2
    garbage.X[test], garbage.y[test] = np.nan, 1 - garbage.y[test]
    one, two = trained(features=clean), trained(features=garbage)
    assert one.scores == two.scores
    assert np.array_equal(one.predict_proba(clean.X), two.predict_proba(clean.X))
    assert two.evaluate(clean, "test")["accuracy"]["value"] > 0.9


def test_a_file_without_validation_rows_trains():
    features = drawn_features()
    features.splits[features.splits == 1] = 0
    assert trained(features=features).scores.keys() == {"train"}


def test_evaluate_is_that_of_its_probabilities():
    features = drawn_features(classes=3)
    bundle = trained(features=features)
    for split in ("train", "validation", "test"):
        X, y = features.split(split)
        expected = evaluate(y, bundle.predict_proba(X), features.class_names)
        assert bundle.evaluate(features, split) == {"split": split, **expected}
        assert bundle.scores.get(split, expected) == expected


OTHERS = {
    "recipe": (
        {"feature_sets": (drawn_set(image_size=(299, 299), exif_orientation=False),)},
        ("image_size=(150, 150)", "image_size=(299, 299)", "exif_orientation=True", "exif_orientation=False"),
    ),
    "classes": ({"class_names": ("cat", "dog")}, ("rows of ant, bee", "cat (10 rows), dog (10 rows)")),
    "layers": (
        {"feature_sets": (replace(drawn_set(), layers=("block13_pool",)),)},
        ("avg_pool", "block13_pool"),
    ),
    "width": ({"width": 7}, ("6", "7")),
}


@pytest.mark.parametrize(("values", "words"), OTHERS.values(), ids=OTHERS)
def test_features_of_another_kind_are_refused(values, words):
    bundle, other = trained(), drawn_features(**values)
    refused(lambda: bundle.evaluate(other), "drawn.h5", *words)


def test_labels_are_matched_by_the_names_of_the_classes():
    bundle, one = trained(), drawn_features()
    turned = replace(one, y=(1 - one.y).astype(np.int32), class_names=("bee", "ant"))
    assert bundle.evaluate(turned) == bundle.evaluate(one)
    alone = bundle.evaluate(replace(one, y=np.minimum(one.y, 0) - (one.y > 0), class_names=("ant",)))
    assert alone["rows"] == 10 and [row["rows"] for row in alone["classes"]] == [10, 0]


def test_a_bundle_of_version_1_still_works(saved, tmp_path):
    """Version 1 had one recipe, no temperature, no detector, and did not know its training images."""
    shutil.copytree(saved["logistic"], tmp_path / "old")
    values = json.loads((tmp_path / "old" / "bundle.json").read_text())
    (own,) = values.pop("feature_sets")
    for name in ("temperature", "detector", "seen", "conformal", "digests"):
        del values[name]
    probe = base64.b64encode(np.arange(6, dtype="<f4").tobytes()).decode()
    values |= {name: own[name] for name in ("recipe", "layers", "weights")} | {"format_version": 1}
    values["probe"] = {"avg_pool": probe}
    values["provenance"] |= {name: own[name] for name in ("content_digest", "engine")}
    (tmp_path / "old" / "bundle.json").write_text(json.dumps(values))
    for name in ARRAYS:
        (tmp_path / "old" / name).unlink()
    old, new = (Bundle.load(folder) for folder in (tmp_path / "old", saved["logistic"]))
    assert old.feature_sets == new.feature_sets
    assert old.feature_sets[0].probe["avg_pool"].tolist() == list(range(6))
    assert (old.temperature, old.detector, len(old.seen), old.conformal) == (1.0, None, 0, None)
    assert old.evaluate(drawn_features()) == new.evaluate(drawn_features())


def leaking() -> FeatureMatrix:
    """Draw features whose first test image, by its bytes, is the first training image."""
    features = drawn_features()
    features.digests[features.rows("test")[0]] = features.digests[features.rows("train")[0]]
    return features


def test_training_images_in_the_test_split_are_refused():
    features = leaking()
    bundle = trained(features=features)
    (name,) = (features.ids[row] for row in features.rows("test")[:1])
    refused(lambda: bundle.evaluate(features), "1 image of 20", name, "--unseen-only")
    assert bundle.evaluate(features, "train")["rows"] == 60
    assert bundle.evaluate(features.without("test", bundle.seen))["rows"] == 19
    clean = drawn_features()
    clean.digests[:] = features.digests
    clean.splits[:] = 2  # another file, whose test rows are all of ours
    refused(lambda: bundle.evaluate(clean), "61 images of 100")


def test_a_temperature_mends_confidence_and_leaves_decisions():
    features = drawn_features(400, 3)
    blurred = replace(features, X=features.X + np.random.default_rng(2).normal(0, 3, features.X.shape))
    head = make_head("knn", k=1).fit(*blurred.training_rows())
    plain, mended = (Bundle.of(head, blurred, calibrate=calibrate) for calibrate in (False, True))
    assert mended.temperature > 1.5  # 0 and 1 are too sure
    assert (
        plain.predict_proba(blurred.X).argmax(axis=1) == mended.predict_proba(blurred.X).argmax(axis=1)
    ).all()
    one, two = (bundle.evaluate(blurred) for bundle in (plain, mended))
    assert two["log_loss"]["value"] < one["log_loss"]["value"] / 2
    assert two["ece"]["value"] < one["ece"]["value"]


class TestTemperature:
    """By default one is fitted where there are rows that the head did not see."""

    @pytest.fixture
    def noisy(self):
        features = drawn_features(200, 3, width=6)
        return replace(features, X=features.X + np.random.default_rng(1).normal(0, 2, features.X.shape))

    def test_validation_rows_give_it(self, noisy):
        head = make_head("knn", k=3).fit(*noisy.training_rows())
        bundle, plain = Bundle.of(head, noisy), Bundle.of(head, noisy, calibrate=False)
        told = bundle.provenance["calibration"]
        assert told["temperature"] == bundle.temperature > 1
        assert (told["by"], told["rows"]) == ("validation rows", len(noisy.rows("validation")))
        values = (told["log_loss_before"], told["log_loss_after"])
        assert values == tuple(
            pytest.approx(each.evaluate(noisy, "validation")["log_loss"]["value"], rel=1e-12)
            for each in (plain, bundle)
        )
        assert values[1] < values[0]
        assert plain.temperature == 1 and "calibration" not in plain.provenance

    def test_folds_that_chose_a_penalty_give_it_where_there_are_none(self, noisy):
        noisy.splits[noisy.splits == 1] = 0
        head = make_head("logistic").fit(*noisy.training_rows())
        bundle = Bundle.of(head, noisy, calibrate=True)
        told = bundle.provenance["calibration"]
        assert told == head.calibration_.to_dict() == Bundle.of(head, noisy).provenance["calibration"]
        assert (told["by"], told["rows"]) == ("training rows by 5 folds", len(noisy.rows("train")))
        assert told["log_loss_after"] <= told["log_loss_before"]

    @pytest.mark.parametrize("split", ["none", "seen", "of another class"])
    def test_without_such_rows_there_is_none(self, noisy, split):
        held = noisy.splits == 1
        if split == "none":
            noisy.splits[held] = 0
        elif split == "seen":
            noisy.digests[held] = noisy.digests[noisy.rows("train")[: held.sum()]]
        else:
            noisy.splits[(noisy.splits == 0) & (noisy.y == 2)] = 2
            noisy.splits[held & (noisy.y != 2)] = 2
        head = make_head("knn").fit(*noisy.training_rows())
        bundle = Bundle.of(head, noisy)
        assert bundle.temperature == 1 and "calibration" not in bundle.provenance
        refused(lambda: Bundle.of(head, noisy, calibrate=True), "rows that the head did not see")

    def test_one_that_was_fitted_already_is_taken(self, noisy, tmp_path):
        head = make_head("knn").fit(*noisy.training_rows())
        given = Calibration(1.5, "rows by 10 folds", 160, 0.5, 0.4)
        bundle = Bundle.of(head, noisy, calibrate=given).save(tmp_path / "saved")
        assert Bundle.load(tmp_path / "saved").temperature == bundle.temperature == 1.5
        assert Bundle.load(tmp_path / "saved").provenance["calibration"] == given.to_dict()

    def test_a_stored_logistic_head_keeps_it(self, noisy, tmp_path):
        noisy.splits[noisy.splits == 1] = 0
        head = make_head("logistic").fit(*noisy.training_rows())
        Bundle.of(head, noisy).save(tmp_path / "saved")
        assert Bundle.load(tmp_path / "saved").head.calibration_ == head.calibration_ is not None


def test_without_validation_rows_there_is_no_detector():
    features = drawn_features()
    features.splits[features.splits == 1] = 0
    assert Bundle.of(make_head("logistic").fit(*features.training_rows()), features).detector is None


def test_only_the_differing_fields_are_named():
    bundle, other = trained(), drawn_features(feature_sets=(drawn_set(image_size=(299, 299)),))
    with pytest.raises(HeadstartError) as caught:
        bundle.evaluate(other)
    assert "pooling" not in str(caught.value)
    assert "xception" not in str(caught.value)


def test_a_split_without_rows_is_refused():
    features = drawn_features()
    bundle = trained(features=features)
    features.y[features.splits == 2] = -1
    refused(lambda: bundle.evaluate(features), "'test'", "train 60", "validation 20", "test 0")
    refused(lambda: bundle.evaluate(features, "tests"), "unknown split 'tests'", "test, train, validation")


class TestSaving:
    """A bundle is replaced as a whole or not at all, and nothing else is touched."""

    def test_a_bundle_replaces_a_bundle(self, tmp_path):
        trained("keras-linear").save(tmp_path / "saved")
        new = trained(features=drawn_features(classes=3)).save(tmp_path / "saved")
        assert below(tmp_path / "saved").keys() == {"bundle.json", "head.skops", *ARRAYS}
        assert Bundle.load(tmp_path / "saved").class_names == new.class_names

    @pytest.mark.parametrize(
        "files",
        [
            {"target": "a file"},
            {"target/photo.jpg": "precious"},
            {"target/bundle.json": '{"name": "of a web site"}', "target/photo.jpg": "precious"},
            {"target/bundle.json": "no JSON", "target/photo.jpg": "precious"},
        ],
        ids=["file", "folder", "another program's bundle.json", "broken bundle.json"],
    )
    def test_what_is_no_bundle_is_refused_and_stays(self, files, tmp_path):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        before = below(tmp_path)
        refused(lambda: trained().save(tmp_path / "target"), "target", "-o")
        assert below(tmp_path) == before

    def test_of_two_at_once_the_second_replaces_what_the_first_wrote(self, tmp_path):
        """Both find nothing there; the second must not take the first's files for a stranger's."""
        first, second = trained("keras-linear"), trained(features=drawn_features(classes=3))
        waiting = Thread(target=second.save, args=(tmp_path / "saved",))
        with waiting_told() as told, swapped(tmp_path / "saved", lambda: []) as new:
            waiting.start()
            assert told.wait(60)
            _write(new, first)
        waiting.join(60)
        assert below(tmp_path / "saved").keys() == {"bundle.json", "head.skops", *ARRAYS}
        assert Bundle.load(tmp_path / "saved").class_names == second.class_names

    def test_missing_folders_above_are_made_and_an_empty_one_is_taken(self, tmp_path):
        trained().save(tmp_path / "not" / "yet" / "saved")
        (tmp_path / "empty").mkdir(mode=0o700)
        trained().save(tmp_path / "empty")
        assert below(tmp_path / "empty").keys() == below(tmp_path / "not/yet/saved").keys()
        assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700

    def test_foreign_files_stay_also_with_names_that_a_bundle_may_have(self, tmp_path):
        trained().save(tmp_path / "saved")
        (tmp_path / "saved/figures").mkdir()
        for name in ("notes.txt", "figures/roc.png"):
            (tmp_path / "saved" / name).write_text("precious")
        trained(features=drawn_features(classes=3)).save(tmp_path / "saved")
        held = below(tmp_path / "saved")
        assert held["notes.txt"] == held["figures/roc.png"] == b"precious"
        assert len(Bundle.load(tmp_path / "saved").class_names) == 3
        (tmp_path / "saved/head.keras").write_text("exported here")
        before = below(tmp_path)
        refused(lambda: trained().save(tmp_path / "saved"), "head.keras", "-o")
        assert below(tmp_path) == before

    @pytest.mark.parametrize("blow", ["disk", "interrupt", "rename"])
    def test_a_failed_save_leaves_the_old_bundle_and_nothing_else(
        self, blow, saved, tmp_path, monkeypatch, patch_ours
    ):
        shutil.copytree(saved["logistic"], tmp_path / "saved")
        before, bundle = below(tmp_path), trained(features=drawn_features(classes=3))
        if blow == "rename":
            patch_ours("data.output.swap._exchanged", lambda one, two: False)
            fail_once_to_rename_to(tmp_path / "saved", monkeypatch)
        else:
            bundle = replace(bundle, head=Unsaveable(UNSAVEABLE[blow]))
        with pytest.raises((HeadstartError, KeyboardInterrupt)):
            bundle.save(tmp_path / "saved")
        assert below(tmp_path) == before

    def test_a_folder_with_a_similar_name_stays(self, tmp_path):
        (tmp_path / "saved.tmp").mkdir()
        (tmp_path / "saved.tmp" / "photo.jpg").write_text("precious")
        trained().save(tmp_path / "saved")
        assert below(tmp_path / "saved.tmp") == {"photo.jpg": b"precious"}
        assert Bundle.load(tmp_path / "saved").name == "logistic"


UNSAVEABLE = {"disk": OSError("no space left on device"), "interrupt": KeyboardInterrupt()}


class Unsaveable:
    """A head whose net stops being written halfway."""

    n_features_in_ = 6

    def __init__(self, error: BaseException):
        self.model_, self._error = self, error

    def save(self, path):
        Path(path).write_text("the first half")
        raise self._error


def fail_once_to_rename_to(target: Path, monkeypatch) -> None:
    """Let the first rename to a path fail, by whichever function."""
    failures = [OSError("input/output error")]

    def failing(original):
        def rename(source, destination, **options):
            if Path(destination) == target and failures:
                raise failures.pop()
            return original(source, destination, **options)

        return rename

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))


class Stranger(BaseEstimator):
    """A head of a type that nobody has vouched for."""

    ran: list = []  # noqa: RUF012

    def __setstate__(self, state):
        Stranger.ran.append(state)
        super().__setstate__(state)


def resealed(folder: Path) -> None:
    """Give a changed bundle the digests of its files as they are now."""
    write_manifest(folder, json.loads((folder / "bundle.json").read_text("utf-8")))


def change_json(**changes):
    """Return a function that changes values of a folder's bundle.json; None removes one."""

    def change(folder: Path) -> None:
        values = json.loads((folder / "bundle.json").read_text("utf-8")) | changes
        text = json.dumps({name: value for name, value in values.items() if value is not None})
        (folder / "bundle.json").write_text(text)

    return change


def write(name: str, data: bytes):
    """Return a function that writes a file into a folder."""
    return lambda folder: (folder / name).write_bytes(data)


def halve(folder: Path) -> None:
    head = next(folder.glob("head.*"))
    head.write_bytes(head.read_bytes()[: head.stat().st_size // 2])


DAMAGE = {
    "no folder": shutil.rmtree,
    "no bundle.json": lambda folder: (folder / "bundle.json").unlink(),
    "cut bundle.json": write("bundle.json", b'{"format": "headstart bundle", '),
    "not UTF-8": write("bundle.json", b'{"format": "\xff"}'),
    "a list": write("bundle.json", b"[]"),
    "a text": write("bundle.json", b'"headstart bundle"'),
    "another format": change_json(format="other"),
    "a later version": change_json(format_version=99),
    "no recipes": change_json(feature_sets=None),
    "no widths": change_json(feature_sets=[{"layers": ["avg_pool"]}]),
    "no training images": lambda folder: (folder / "seen.npy").unlink(),
    "junk for a detector": write("detector.npz", b"junk"),
    "no scores for sets of labels": lambda folder: (folder / "conformal.npy").unlink(),
    "no class names": change_json(class_names=None),
    "no head in bundle.json": change_json(head=None),
    "no head file": lambda folder: next(folder.glob("head.*")).unlink(),
    "junk for a head": lambda folder: next(folder.glob("head.*")).write_bytes(b"junk"),
    "half a head": halve,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("digests", ["of the sound files", "of the damaged files"])
@each_head
def test_a_damaged_bundle_is_refused(name, digests, damage, saved, tmp_path):
    shutil.copytree(saved[name], tmp_path / "saved")
    damage(tmp_path / "saved")
    if digests == "of the damaged files":
        with suppress(Exception):  # of a bundle.json that says too little for any
            resealed(tmp_path / "saved")
    refused(lambda: Bundle.load(tmp_path / "saved"), str(tmp_path / "saved"))


def flipped(path: Path, place: int, mask: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= mask
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["head.skops", *sorted(ARRAYS)])
def test_a_changed_byte_is_refused_wherever_it_is(file, saved, tmp_path):
    shutil.copytree(saved["logistic"], tmp_path / "saved")
    path = tmp_path / "saved" / file
    sound = path.read_bytes()
    for place in {*np.linspace(0, len(sound) - 1, 25).astype(int).tolist()}:
        flipped(path, place, 1)
        refused(lambda: Bundle.load(tmp_path / "saved"), "is damaged", f"changed or missing: {file}", "train")
        path.write_bytes(sound)
    path.unlink()
    refused(lambda: Bundle.load(tmp_path / "saved"), "is damaged", f"changed or missing: {file}")


@pytest.mark.parametrize("mask", [1, 4, 32])
def test_a_changed_byte_of_bundle_json_is_refused_or_says_the_same(mask, saved, tmp_path):
    """An 8 becomes a 9 and an a becomes an A; a blank that becomes another blank changes nothing."""
    shutil.copytree(saved["centroid"], tmp_path / "saved")
    path = tmp_path / "saved" / "bundle.json"
    sound, read = path.read_bytes(), read_manifest(tmp_path / "saved")
    for place in range(0, len(sound), 3):
        flipped(path, place, mask)
        try:
            assert read_as(tmp_path / "saved", lambda values: values) == read, place
        except HeadstartError as error:
            assert str(tmp_path / "saved") in error.happened
        path.write_bytes(sound)


def test_a_damaged_bundle_may_be_trained_again(saved, tmp_path):
    shutil.copytree(saved["logistic"], tmp_path / "saved")
    flipped(tmp_path / "saved" / "seen.npy", -1, 1)
    trained().save(tmp_path / "saved")
    assert Bundle.load(tmp_path / "saved").name == "logistic"


def test_a_bundle_of_version_3_has_no_digests_and_is_read(saved, tmp_path):
    shutil.copytree(saved["logistic"], tmp_path / "old")
    change_json(format_version=3, digests=None)(tmp_path / "old")
    old, new = (Bundle.load(folder) for folder in (tmp_path / "old", saved["logistic"]))
    assert replace(old, head=None) == replace(new, head=None)
    change_json(format_version=3)(shutil.copytree(saved["logistic"], tmp_path / "mixed"))
    refused(lambda: Bundle.load(tmp_path / "mixed"), "is damaged", "bundle.json")


def test_a_recipe_of_a_later_version_is_refused(saved, tmp_path):
    shutil.copytree(saved["logistic"], tmp_path / "saved")
    own = json.loads((tmp_path / "saved" / "bundle.json").read_text())["feature_sets"][0]
    own["recipe"]["sharpness"] = 1
    change_json(feature_sets=[own])(tmp_path / "saved")
    resealed(tmp_path / "saved")
    refused(lambda: Bundle.load(tmp_path / "saved"), "sharpness")


def test_a_head_of_an_unknown_type_is_not_loaded(saved, tmp_path):
    shutil.copytree(saved["logistic"], tmp_path / "saved")
    dump(Stranger(), tmp_path / "saved" / "head.skops")
    resealed(tmp_path / "saved")
    refused(lambda: Bundle.load(tmp_path / "saved"), "Stranger", "not trusted")
    assert not Stranger.ran


@pytest.mark.parametrize(
    ("field", "value"), [("left", 0), ("right", 10**6), ("feature_idx", 6), ("feature_idx", -1)]
)
def test_trees_that_lead_astray_are_not_loaded(saved, tmp_path, field, value):
    bundle = Bundle.load(saved["boosting"])
    nodes = bundle.head._predictors[0][0].nodes
    nodes[field][np.flatnonzero(nodes["is_leaf"] == 0)[0]] = value
    bundle.save(tmp_path / "saved")
    refused(lambda: Bundle.load(tmp_path / "saved"), "refers to what is not there")


def test_a_net_with_code_in_it_is_not_loaded(saved, tmp_path):
    import keras

    shutil.copytree(saved["mlp"], tmp_path / "saved")
    net = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x), keras.layers.Dense(1)])
    net.save(tmp_path / "saved" / "head.keras")
    resealed(tmp_path / "saved")
    refused(lambda: Bundle.load(tmp_path / "saved"), str(tmp_path / "saved"))
