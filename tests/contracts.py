"""Contract suites: one class of tests, inherited once for each implementation."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_four_parts, extracted, trained
from sklearn.exceptions import NotFittedError
from skops.io import dump, get_untrusted_types, load

from classify import Bundle
from classify.bundle.predict import predict
from data import HeadstartError
from extract import FeatureFile, Recipe
from extract.backbones.weights import load_backbone
from extract.engines.engine import open_engine
from extract.feature_file.diff import diff
from extract.feature_file.verify import verify
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo


def drawn(rows: int = 90, width: int = 6, classes: int = 3, shift: float = 2.0, seed: int = 0):
    """Draw features of unlike means and scales whose column of the class is raised."""
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(rows) % classes)
    X = generator.normal(0, 1, (rows, width))
    X[np.arange(rows), y] += shift
    return X * np.linspace(0.1, 10, width) + np.linspace(5, -50, width), y


class StoreContract:
    """What holds for every layout of a feature file; a subclass names it as `layout`.

    It gives the fixtures `contents`, and `part`, a part that holds three rows of two layers.
    """

    layout: str

    @pytest.fixture
    def write(self, tmp_path, part):
        def write(contents, rows=(0, 1, 2)):
            write_feature_file(tmp_path / "file", contents, [(part, row) for row in rows], self.layout)
            return tmp_path / "file"

        return write

    @pytest.fixture
    def path(self, write, contents):
        return write(contents)

    def bytes_of(self, path):
        files = path.rglob("*") if path.is_dir() else [path]
        return {file.relative_to(path.parent): file.read_bytes() for file in files}

    def test_what_is_written_is_read(self, path, contents, part):
        file = FeatureFile(path)
        assert file.contents.same_as(contents)
        assert file.recipe == contents.recipe
        assert file.outputs == ("avg_pool", "conv1_relu")
        for output in file.outputs:
            features = file.features(output)
            assert (features.shape, features.dtype) == (part.features(output).shape, np.float32)
            np.testing.assert_array_equal(features, part.features(output))
            np.testing.assert_array_equal(file.probe[output], part.probe[output])
        assert file.rejected == {b"\xff" * 32: "broken"}
        assert file.engine(2) == contents.engines[0]
        assert file.summary()["layout"] == self.layout
        assert file.summary()["bytes"] == sum(map(len, self.bytes_of(path).values()))

    @pytest.mark.parametrize(
        "rows", [1, -1, slice(2, 0, -1), [2, 0, 0], np.array([True, False, True]), [], [[1], [2]]]
    )
    def test_rows_are_chosen_as_of_an_array(self, path, part, rows):
        chosen = FeatureFile(path).features("avg_pool")[rows]
        np.testing.assert_array_equal(chosen, np.array(part.features("avg_pool"))[rows])
        assert chosen.dtype == np.float32

    @pytest.mark.parametrize("rows", [3, [0, -4], [True, False], [0.5]])
    def test_rows_that_are_none(self, path, rows):
        with pytest.raises(IndexError):
            FeatureFile(path).features("avg_pool")[rows]

    def test_features_are_read_only(self, path):
        with pytest.raises((ValueError, TypeError)):
            FeatureFile(path).features("avg_pool")[0, 0] = 1

    def test_a_written_file_is_sound(self, path):
        assert verify(path).to_dict() == {"problems": (), "damaged": (), "damaged_ids": (), "remedy": ""}

    def test_equal_content_is_equal_byte_for_byte(self, path, write, contents):
        first = self.bytes_of(path)
        assert self.bytes_of(write(contents)) == first

    @pytest.mark.parametrize(
        "change",
        [
            {"labels": np.array([1, 1, -1], np.int32)},
            {"splits": np.array([0, 1, 1], np.int8)},
            {"ids": ("a.jpg", "b/é.jpg", "犬.png")},
            {"class_names": ("cat", "wolf")},
            {"groups": ()},
            {"rejected": ()},
            {"source": {"kind": "csv"}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_the_content_digest_sees_every_change(self, path, write, contents, change):
        first = FeatureFile(path).content_digest
        changed = replace(contents, **change)
        assert not contents.same_as(changed)
        assert FeatureFile(write(changed)).content_digest != first
        assert diff(path, path).only_first == ()

    def test_features_of_another_image_are_refused(self, path, write, contents):
        """Each checksum is keyed by its image, so rows cannot be mixed up and given new checksums."""
        before = self.bytes_of(path)
        with pytest.raises(HeadstartError) as caught:
            write(contents, (0, 2, 1))
        assert_four_parts(str(caught.value))
        assert contents.ids[1] in str(caught.value)
        assert self.bytes_of(path) == before


class LinearHeadContract:
    """What holds for every linear head with a temperature; a subclass names it as `Head`."""

    Head: type

    def test_rows_without_an_error_leave_probabilities_finite(self):
        X, y = drawn(shift=50)
        new, truth = drawn(shift=50, seed=1)
        proba = self.Head().fit(X, y).predict_proba(new)
        assert (proba.argmax(axis=1) == truth).all()
        assert (proba > 1e-9).all()

    def test_what_fit_refuses(self):
        X, y = drawn()
        holed = X.copy()
        holed[3, 2] = np.nan
        refused = [
            ((holed, y), "NaN"),
            ((X, y, holed, y), "NaN"),
            ((X, np.zeros(len(X))), "one class"),
            ((X, y, X), "X_val and y_val belong together"),
            ((X, y, None, y), "X_val and y_val belong together"),
            ((X, y, X, y + 1), r"classes that y does not: \[3\]"),
            ((X, y, X[:, 1:], y), "features"),
        ]
        for given, words in refused:
            with pytest.raises(ValueError, match=words):
                self.Head().fit(*given)
        with pytest.raises(ValueError, match="NaN"):
            self.Head().fit(X, y).predict(holed)

    def test_an_unfitted_head_says_so(self):
        for ask in ("predict", "predict_proba", "decision_function"):
            with pytest.raises(NotFittedError):
                getattr(self.Head(), ask)(np.zeros((2, 5)))

    @pytest.mark.parametrize("classes", [2, 3])
    def test_skops_keeps_a_head_without_pickle(self, classes, tmp_path):
        X, y = drawn(classes=classes)
        head = self.Head().fit(X, np.array(["ant", "bee", "cow"])[y])
        path, name = tmp_path / "head.skops", f"{self.Head.__module__}.{self.Head.__name__}"
        dump(head, path)
        assert get_untrusted_types(file=path) == [name]
        again = load(path, trusted=[name])
        assert (again.predict_proba(X) == head.predict_proba(X)).all()
        assert (again.predict(X) == head.predict(X)).all()
        assert again.get_params() == head.get_params()
        for learned in ("coef_", "intercept_", "inverse_temperature_", "alpha_"):
            assert np.array_equal(getattr(again, learned, None), getattr(head, learned, None))


class EngineContract:
    """What holds for every engine; a subclass names it as `name`."""

    name: str

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tiny_recipe):
        return open_engine(cls.name, tiny_recipe)

    @pytest.fixture
    def pixels(self):
        return drawn_pixels()

    def test_shape_and_type(self, engine, pixels):
        (features,) = engine(pixels)
        assert (features.shape, features.dtype) == ((9, 1024), np.float32)
        assert np.isfinite(features).all()
        assert features.std(axis=0).max() > 0

    def test_order_and_short_batches(self, engine, pixels):
        """A row's feature is its own, whatever stands beside it in the batch."""
        (whole,) = engine(pixels)
        (backwards,) = engine(pixels[::-1])
        apart = np.concatenate([engine(pixels[:4])[0], engine(pixels[4:8])[0], engine(pixels[8:])[0]])
        scale = np.abs(whole).max()
        np.testing.assert_allclose(backwards[::-1], whole, atol=1e-5 * scale)
        np.testing.assert_allclose(apart, whole, atol=1e-5 * scale)

    def test_equals_the_guides_own_pipeline(self, engine, pixels, tiny_recipe):
        """Rescaling, the frozen base with training=False, global average pooling."""
        base = load_backbone("mobilenet", (32, 32), tiny_recipe.weights)
        import keras

        inputs = keras.Input((32, 32, 3))
        scaled = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(inputs)
        model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(base(scaled, training=False)))
        expected = model.predict(pixels, verbose=0)
        np.testing.assert_allclose(engine(pixels)[0], expected, atol=1e-4 * max(1, np.abs(expected).max()))

    def test_description_is_json(self, engine):
        described = engine.describe()
        assert described.engine == self.name and described.version and described.device
        assert EngineInfo.from_dict(json.loads(json.dumps(described.to_dict()))) == described

    def test_several_layers_come_in_the_order_of_the_recipe(self, engine, pixels, tiny_recipe):
        layers = ("conv_pw_3_relu", "avg_pool", "conv1_relu")
        recipe = Recipe("mobilenet", tiny_recipe.weights, layers, image_size=(32, 32))
        several = open_engine(self.name, recipe)(pixels)
        assert [features.shape for features in several] == [(9, 128), (9, 1024), (9, 32)]
        (alone,) = engine(pixels)
        np.testing.assert_allclose(several[1], alone, atol=1e-5 * np.abs(alone).max())

    def test_height_and_width_may_differ(self, tiny_recipe):
        recipe = Recipe("mobilenet", tiny_recipe.weights, image_size=(32, 64))
        assert open_engine(self.name, recipe)(np.zeros((1, 32, 64, 3), np.float32))[0].shape == (1, 1024)

    def test_batches_may_be_started_ahead(self, engine, pixels):
        batches = [pixels[:4], pixels[4:8], pixels[8:]]
        finish = [engine.start(batch) for batch in batches[: engine.ahead + 1]]
        for batch, done in zip(batches, finish, strict=False):
            np.testing.assert_allclose(done()[0], engine(batch)[0], atol=1e-5)

    def test_a_batch_may_be_larger_than_the_best(self, tiny_recipe, engine, pixels):
        other = open_engine(self.name, tiny_recipe)
        other.batch_size = 4
        np.testing.assert_allclose(other(pixels)[0], engine(pixels)[0], atol=1e-5)


def drawn_pixels() -> np.ndarray:
    """Draw nine images of 32 pixels a side."""
    return np.random.default_rng(0).uniform(0, 255, (9, 32, 32, 3)).astype(np.float32)


class BackboneContract:
    """What holds for a backbone of every kind, by every engine that computes it.

    A subclass names `engines`, and gives the fixtures `recipe`, of images of 32 pixels a side with three
    channels in 0..1, and `expected`, a function from pixels in 0..255 to the features that another program
    computes of them; `tolerance` is a share of the largest.
    """

    engines: tuple[str, ...] = ("keras", "openvino")
    tolerance = 1e-5

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, recipe):
        return [open_engine(name, recipe) for name in cls.engines]

    def near(self, found, wanted, more=1.0):
        np.testing.assert_allclose(found, wanted, atol=more * self.tolerance * np.abs(wanted).max())

    def test_features_are_those_of_another_program(self, opened, expected):
        pixels = drawn_pixels()
        wanted = expected(pixels)
        assert wanted.std(axis=0).max() > 0
        for engine in opened:
            (features,) = engine(pixels)
            assert features.dtype == np.float32
            self.near(features, wanted)

    def test_a_row_is_its_own_in_any_batch(self, opened):
        pixels = drawn_pixels()
        for engine in opened:
            (whole,) = engine(pixels)
            self.near(np.concatenate([engine(pixels[:2])[0], engine(pixels[2:])[0]]), whole)
            self.near(engine(pixels[::-1])[0][::-1], whole)

    def test_its_recipe_says_digests_and_no_path(self, recipe):
        kind, digest = recipe.backbone.split(":")
        assert kind and len(digest) == len(recipe.weights) == 64 and int(digest + recipe.weights, 16)
        assert "/" not in recipe.to_json().replace(recipe.scaling, "")
        assert Recipe.from_json(recipe.to_json()) == recipe

    def test_it_has_a_bundle_that_finds_it_again(self, recipe, tmp_path, monkeypatch):
        folder = trained(extracted(recipe, tmp_path / "rows.h5"))
        bundle = Bundle.load(folder)
        images = sorted((tmp_path / "images").rglob("*.png"))[:3]
        assert [each.label for each in predict(bundle, images)] == ["blue"] * 3
        assert set(FeatureFile(tmp_path / "rows.h5").summary()["weights"]) == {
            "name",
            "origin",
            "licence",
            "model",
        }
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "empty"))
        with pytest.raises(HeadstartError, match="is not in the cache") as caught:
            predict(bundle, images)
        assert_four_parts(str(caught.value))
        assert bundle.feature_sets[0].weights["model"] in str(caught.value)
