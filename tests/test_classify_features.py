"""Feature files as a matrix: joined by image, and refused where heads would learn or score wrongly."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, refused
from invoking import fail, invoke, succeed
from small import drawn_features, drawn_set

from classify import Bundle, load_features
from classify.features.load import joined
from classify.features.matrix import FeatureSet
from classify.features.rows import renumbered
from classify.heads.table import make_head
from data import HeadstartError, open_source
from extract import Recipe, extract
from extract.engines.engine import Engine
from extract.recipe import EngineInfo


def trained(features) -> Bundle:
    return Bundle.of(make_head("logistic").fit(*features.training_rows()), features, "logistic")


def another(features, width: int = 3, **changes):
    """Draw other features of the same images, in the opposite order."""
    X = np.random.default_rng(5).normal(size=(len(features.y), width)).astype(np.float32)
    X[:, 0] = features.y
    values = {name: getattr(features, name)[::-1].copy() for name in ("y", "digests", "splits")}
    sets = (drawn_set(width, "e" * 64, image_size=(299, 299)),)
    ids = tuple(f"other/{name}" for name in features.ids[::-1])
    other = replace(features, X=X[::-1].copy(), ids=ids, feature_sets=sets, path="other.h5", **values)
    return replace(other, **changes)


def rows_of(features, rows):
    """Keep some rows."""
    values = {name: getattr(features, name)[rows] for name in ("X", "y", "digests", "splits")}
    return replace(features, ids=tuple(np.array(features.ids)[rows]), **values)


DISAGREEMENTS = {
    "labels": ({"y": np.zeros(100, np.int32)}, ("one label", "50 images", "0001.png")),
    "splits": ({"splits": np.zeros(100, np.int8)}, ("one split", "40 images")),
    "classes": ({"class_names": ("bee", "ant")}, ("one label", "100 images")),
    "another class": ({"class_names": ("ant", "cow")}, ("one label", "50 images")),
    "images": ({"digests": np.zeros((100, 32), np.uint8)}, ("lacks 100 images",)),
    "recipe": ({"feature_sets": (drawn_set(3),)}, ("of one recipe", "avg_pool")),
}


class TestJoining:
    def test_rows_of_one_image_stand_side_by_side(self):
        one = drawn_features()
        both = joined([one, another(one)])
        assert both.X.shape == (100, 9)
        assert np.array_equal(both.X[:, :6], one.X)
        assert np.array_equal(both.X[:, 6], one.y)  # of the same image, though the order is another
        assert (both.ids, both.path) == (one.ids, "drawn.h5 + other.h5")
        assert [each.recipe.image_size for each in both.feature_sets] == [(150, 150), (299, 299)]
        assert both.content_digest not in {one.content_digest, "e" * 64}

    def test_classes_are_matched_by_name(self):
        one = drawn_features()
        other = another(one)
        turned = replace(other, y=(1 - other.y).astype(np.int32), class_names=("bee", "ant", "cow"))
        assert np.array_equal(joined([one, turned]).X, joined([one, other]).X)

    def test_images_that_one_file_lacks_are_refused_or_left_out(self):
        one = drawn_features()
        other = rows_of(another(one), np.arange(2, 100))  # in the opposite order: without the last two
        refused(
            lambda: joined([one, other]), "'other.h5' lacks 2 images", "0098.png, 0099.png", "--join inner"
        )
        refused(lambda: joined([other, one]), "'other.h5' lacks 2 images")
        assert joined([one, other], "inner").ids == one.ids[:98]
        fewer = rows_of(one, np.arange(50, 100))
        both = joined([fewer, other], "inner")
        assert both.ids == one.ids[50:98]
        assert np.array_equal(both.X[:, 6], both.y)

    def test_an_image_that_is_there_twice_stays_twice(self):
        one = drawn_features()
        one.digests[7], one.X[7], one.y[7] = one.digests[5], one.X[5], one.y[5]
        assert joined([one, another(one)]).ids == one.ids

    @pytest.mark.parametrize(("changes", "words"), DISAGREEMENTS.values(), ids=DISAGREEMENTS)
    def test_files_that_do_not_belong_together(self, changes, words):
        one = drawn_features()
        refused(lambda: joined([one, another(one, **changes)]), *words)

    def test_no_image_in_common(self):
        one = drawn_features()
        strange = another(one, digests=np.zeros((100, 32), np.uint8))
        refused(lambda: joined([one, strange], "inner"), "no image in common")
        refused(lambda: joined([one, strange], "outer"), "unknown join 'outer'")


def test_names_in_two_forms_of_unicode_are_one_unless_a_list_tells_them_apart():
    y, plain, split = np.array([0, 1], np.int32), "\u00e9", "e\u0301"
    assert renumbered(y, ("a", split), ("b", plain)).tolist() == [-2, 1]
    assert renumbered(y, (plain, split), ("b", plain)).tolist() == [1, -2]


class TestSelecting:
    def test_the_columns_of_a_bundle_in_its_order(self):
        one = drawn_features()
        both = joined([one, another(one)])
        turned = both.select(both.feature_sets[::-1])
        assert np.array_equal(turned.X, np.concatenate([both.X[:, 6:], both.X[:, :6]], axis=1))
        assert both.select(both.feature_sets).X is both.X
        assert np.array_equal(both.select(one.feature_sets).X, one.X)

    def test_a_head_of_one_recipe_is_judged_on_joined_files(self):
        one = drawn_features()
        bundle = trained(one)
        together, alone = (bundle.evaluate(each) for each in (joined([another(one), one]), one))
        assert together["confusion"] == alone["confusion"]
        assert together["log_loss"]["value"] == pytest.approx(alone["log_loss"]["value"])

    def test_a_head_of_two_recipes_wants_both_files(self):
        one = drawn_features()
        bundle = trained(joined([one, another(one)]))
        words = "xception 150x150 avg_pool; xception 299x299 avg_pool"
        refused(lambda: bundle.evaluate(one), words, "name the feature files of all recipes")
        assert bundle.evaluate(joined([another(one), one]))["rows"] == 20


def test_rows_that_are_not_finite_are_named():
    features = drawn_features()
    features.X[[3, 70], 2] = np.nan, -np.inf
    refused(features.training_rows, "1 such row", "0003.png", "repair")
    refused(lambda: features.split("train", "validation"), "2 such rows", "0003.png, 0070.png")
    features.split("test")


def test_a_group_in_two_splits_is_refused():
    groups = tuple(f"p{row // 5}" for row in range(100))
    splits = np.repeat(np.array([0, 0, 0, 1, 2], np.int8), 20)
    features = drawn_features(groups=groups, splits=splits)
    features.training_rows()
    features.splits[4] = 2
    refused(features.training_rows, "1 group in several: p0", "CSV")
    unlabelled = replace(features, y=np.where(features.splits == 2, -1, features.y))
    unlabelled.training_rows()  # nothing is judged by rows without labels


@pytest.fixture(scope="module")
def two_files(tmp_path_factory, tiny_recipe) -> list[Path]:
    """Feature files of the same 120 drawn images at 32 and at 40 pixels."""
    folder = tmp_path_factory.mktemp("two")
    source = open_source(draw_images(folder / "images", each=60))
    paths = [folder / "small.h5", folder / "large.h5"]
    for path, size in zip(paths, (32, 40), strict=True):
        extract(source, Recipe.for_backbone("mobilenet", weights="none", image_size=size), path)
    return paths


class TestCommands:
    def test_two_files_from_training_to_prediction(self, two_files):
        small, large = two_files
        printed = succeed("train", small, large)
        folder = small.with_name("small+large-logistic")
        assert f"next: python -m classify evaluate {folder} {small} {large}" in printed
        assert succeed("evaluate", folder, large, small).startswith("test, ")
        bundle, features = Bundle.load(folder), load_features(two_files)
        images = sorted((small.parent / "images" / "red").iterdir())[:4]
        rows = [features.ids.index(f"red/{path.name}") for path in images]
        expected = bundle.predict_proba(features.X[rows])
        found = [list(one.probabilities.values()) for one in bundle.predict(images)]
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert "name the feature files of all recipes" in fail("evaluate", folder, small)

    def test_heads_on_two_files_are_compared_on_the_same_rows(self, two_files, tmp_path):
        folders = [tmp_path / path.stem for path in two_files]
        for path, folder in zip(two_files, folders, strict=True):
            succeed("train", path, "-o", folder)
        printed = succeed("evaluate", *folders, *two_files)
        assert "McNemar" in printed
        assert "was made by another recipe" in fail("evaluate", *folders, two_files[0])
        assert invoke("evaluate", *folders, folders[0], two_files[0]).exit_code == 2

    def test_a_sweep_over_two_files(self, two_files, tmp_path):
        words = ("sweep", *two_files, "--heads", "centroid,ridge", "-o", tmp_path / "best", "--jobs", 1)
        assert "winner" in invoke(*words).stdout
        assert len(Bundle.load(tmp_path / "best").feature_sets) == 2

    def test_training_images_in_the_test_split(self, tiny_recipe, tmp_path):
        images = tmp_path / "images"
        for number, split in enumerate(("train", "validation", "test")):
            draw_images(images / split, each=8, first=10 * number)
        shutil.copy(images / "train" / "red" / "003.png", images / "test" / "red" / "again.png")
        file = tmp_path / "leak.h5"
        extract(open_source(images), tiny_recipe, file)
        words = ("sweep", file, "--heads", "centroid", "-o", tmp_path / "best")
        assert "1 image of 17, known by their bytes: test/red/again.png" in fail(*words)
        assert {path.name for path in tmp_path.iterdir()} == {"images", "leak.h5"}
        succeed("train", file, "-o", tmp_path / "head")
        assert "--unseen-only" in fail("evaluate", tmp_path / "head", file)
        assert "test, 16 rows" in succeed("evaluate", tmp_path / "head", file, "--unseen-only")

    def test_abstaining(self, two_files, tmp_path):
        succeed("train", two_files[0], "-o", tmp_path / "head")
        strange = draw_images(tmp_path / "strange", classes=("green",), each=1)
        bundle = Bundle.load(tmp_path / "head")
        (plain,) = bundle.predict([strange])
        assert (plain.label in bundle.class_names, plain.unknown, plain.distance) == (True, None, None)
        familiar = sorted((two_files[0].parent / "images" / "red").iterdir())[:20]
        least = 1 / (len(bundle.detector.scores) + 1)
        answers = bundle.predict(familiar, abstain=least)
        assert sum(one.unknown for one in answers) <= 3
        assert {one.label for one in answers if not one.unknown} <= set(bundle.class_names)
        assert all((one.label, one.probability) == ("unknown", None) for one in answers if one.unknown)
        with pytest.raises(HeadstartError, match="threshold") as caught:
            bundle.predict(familiar, abstain=0.001)
        assert_four_parts(str(caught.value))
        assert "between 0 and 1" in fail("predict", tmp_path / "head", strange, "--abstain", 2, code=2)


class Layers(Engine):
    """An engine of two layers: the mean of each channel, and the first pixel."""

    batch_size, ahead = 2, 0

    def __init__(self):
        self.sizes = []

    def start(self, batch):
        self.sizes.append(len(batch))
        return lambda: [batch.mean(axis=(1, 2)), batch[:, 0, 0]]

    def describe(self):
        return EngineInfo("layers")


def test_a_feature_set_computes_its_columns_batch_by_batch():
    recipe = Recipe("xception", "00", layers=("means", "pixel"), image_size=(4, 4))
    own, engine = FeatureSet(recipe, ("pixel", "means"), (3, 3), {}, ""), Layers()
    pixels = np.random.default_rng(0).random((5, 4, 4, 3)).astype(np.float32)
    found = own.features(engine, pixels)
    np.testing.assert_array_equal(found, np.concatenate([pixels[:, 0, 0], pixels.mean(axis=(1, 2))], axis=1))
    assert engine.sizes == [2, 2, 1]
    np.testing.assert_array_equal(own.features(engine, pixels, np.array([4, 0])), found[[4, 0]])
    assert own.features(engine, pixels[:0]).shape == (0, own.width)
