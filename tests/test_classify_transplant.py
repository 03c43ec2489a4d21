"""Heads behind their backbones: the Keras model says what the head says."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from conftest import assert_four_parts
from contracts import drawn
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from classify import Bundle, load_features
from classify.bundle.keras_model import image_model
from classify.finetuning.model import GuideModel
from classify.heads.dense_layer import fold
from classify.heads.table import HEADS, make_head
from classify.scores.calibration import flat, probabilities
from data import HeadstartError
from data.images import load_image
from data.sources.arrays import npy_bytes
from extract import Recipe
from extract.backbones.build import scaled
from extract.backbones.scaling import SCALINGS
from extract.engines.engine import open_engine

LINEAR = [name for name, entry in HEADS.items() if entry.becomes_layers and name != "mlp"]
QUICK = {
    "mlp": {"epochs": 2, "hidden": (8,)},
    "keras-linear": {"epochs": 3, "learning_rate": 0.05},
    "boosting": {"max_iter": 3},
}
each_number_of_classes = pytest.mark.parametrize("classes", [2, 4])


def trained(name: str, X, y):
    return make_head(name, **QUICK.get(name, {})).fit(X, y)


def four_classes(features):
    """Give features labels of four classes, the second without a training row."""
    y = np.array([0, 2, 3])[np.arange(len(features.y)) % 3]
    return replace(features, y=y, class_names=("ant", "bee", "cow", "doe"))


def said(bundle, pixels: np.ndarray, engine: str = "keras") -> np.ndarray:
    """Return what a bundle says of pixels by the way that `predict` takes."""
    (own,) = bundle.feature_sets
    layers = open_engine(engine, own.recipe)(pixels)
    chosen = [layers[own.recipe.layers.index(name)] for name in own.layers]
    return bundle.predict_proba(np.concatenate(chosen, axis=1))


def changed(bundle, head=None, **values):
    """Return a bundle with another head, and other values of its feature set."""
    (own,) = bundle.feature_sets
    return replace(bundle, head=head or bundle.head, feature_sets=(replace(own, **values),))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


@each_number_of_classes
@pytest.mark.parametrize("name", LINEAR)
def test_a_folded_head_has_the_heads_probabilities(name, classes):
    X, y = drawn(classes=classes)
    head = trained(name, X, y)
    kernel, bias = fold(head)
    assert kernel.shape == (X.shape[1], 1 if classes == 2 else classes)
    proba = probabilities(flat(X @ kernel + bias))
    assert proba.std() > 0.1
    np.testing.assert_allclose(proba, head.predict_proba(X), atol=2e-6)


@pytest.mark.parametrize("name", ["logistic", "mlp"])
def test_a_temperature_is_in_the_model(name, small_file):
    features = load_features(small_file)
    bundle = Bundle.of(trained(name, *features.training_rows()), features, name)
    bundle = replace(bundle, temperature=3.0)
    pixels = noise(6, 32, 32, 3)
    found = image_model(bundle, any_size=False).predict(pixels, verbose=0)
    np.testing.assert_allclose(found, said(bundle, pixels), atol=1e-5)
    assert np.abs(found - said(replace(bundle, temperature=1.0), pixels)).max() > 0.01


def test_a_bundle_of_several_recipes_has_no_single_backbone(small_bundle):
    bundle = Bundle.load(small_bundle)
    with pytest.raises(HeadstartError, match="2 recipes") as caught:
        image_model(replace(bundle, feature_sets=bundle.feature_sets * 2))
    assert_four_parts(str(caught.value))


@each_number_of_classes
def test_centroids_of_unlike_classes_fold_with_their_priors(classes):
    X, y = drawn(300, classes=classes)
    kept = (y > 0) | (np.arange(300) % 5 == 0)
    X, y = X[kept], y[kept]
    X[:, 5] = 3.0  # a feature without any deviation
    for head in (NearestCentroid(priors="empirical"), NearestCentroid(shrink_threshold=0.5)):
        kernel, bias = fold(head.fit(X, y))
        proba = probabilities(flat(X @ kernel + bias))
        np.testing.assert_allclose(proba, head.predict_proba(X), atol=1e-8)


@pytest.mark.parametrize("given", [{"with_mean": False}, {"with_std": False}])
def test_a_scaler_folds_by_what_it_does(given):
    X, y = drawn()
    head = make_pipeline(StandardScaler(**given), StandardScaler(), make_head("lda")).fit(X, y)
    kernel, bias = fold(head)
    np.testing.assert_allclose(probabilities(X @ kernel + bias), head.predict_proba(X), atol=1e-8)


def test_heads_that_are_refused_hear_which_are_not():
    X, y = drawn()
    refused = [trained(name, X, y) for name in ("knn", "boosting", "mlp")]
    refused += [NearestCentroid(metric="manhattan").fit(X, y)]
    refused += [make_pipeline(MinMaxScaler(), make_head("lda")).fit(X, y)]
    for head in refused:
        with pytest.raises(HeadstartError, match="centroid, ridge, lda, logistic, linear-svm") as caught:
            fold(head)
        assert_four_parts(str(caught.value))


@pytest.mark.parametrize("name", [*LINEAR, "mlp"])
def test_a_model_says_of_pixels_what_predict_says(name, small_file):
    features = load_features(small_file)
    bundle = Bundle.of(trained(name, *features.training_rows()), features, name)
    pixels = noise(6, 32, 32, 3)
    found = image_model(bundle, any_size=False).predict(pixels, verbose=0)
    assert found.shape == (6, 2)
    np.testing.assert_allclose(found, said(bundle, pixels), atol=1e-5)


def test_images_of_any_size_are_resized_as_the_recipe_says(small_bundle):
    bundle = Bundle.load(small_bundle)
    model = image_model(bundle)
    assert model.input_shape == (None, None, None, 3)
    for size in ((32, 32), (50, 41), (20, 64)):
        image = noise(*size, 3)
        pixels = load_image(npy_bytes(image), (32, 32))[np.newaxis]
        found = model.predict(image[np.newaxis], verbose=0)
        np.testing.assert_allclose(found, said(bundle, pixels), atol=1e-5)


@pytest.mark.parametrize("name", ["ridge", "mlp"])
def test_a_class_without_training_rows_has_exactly_probability_0(name, small_file):
    features = four_classes(load_features(small_file))
    bundle = Bundle.of(trained(name, *features.training_rows()), features, name)
    pixels = noise(6, 32, 32, 3)
    found = image_model(bundle).predict(pixels, verbose=0)
    assert found.shape == (6, 4) and (found[:, 1] == 0).all()
    np.testing.assert_allclose(found, said(bundle, pixels), atol=1e-5)
    assert GuideModel(bundle, augment=False, seed=0).model.output_shape == (None, 3)


def test_layers_side_by_side_are_those_of_the_bundle_in_its_order(small_recipe, small_bundle):
    layers = ("block2_relu", "avg_pool", "block1_relu")
    recipe = replace(small_recipe, layers=layers)
    pixels = noise(40, 32, 32, 3)
    rows = dict(zip(layers, open_engine("keras", recipe)(pixels), strict=True))
    chosen = ("avg_pool", "block1_relu")
    X = np.concatenate([rows[name] for name in chosen], axis=1)
    head = trained("logistic", X, np.arange(40) % 2)
    bundle = changed(Bundle.load(small_bundle), head, recipe=recipe, layers=chosen)
    found = image_model(bundle).predict(pixels, verbose=0)
    np.testing.assert_allclose(found, head.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("name", SCALINGS)
def test_every_scaling_loads_as_stock_keras(name, tmp_path):
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, scaled(inputs, name)).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    pixels, entry = noise(2, 4, 5, 3), SCALINGS[name]
    turned = pixels[..., ::-1] if entry.reverse_channels else pixels
    expected = turned * np.array(entry.scale) + np.array(entry.offset)
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", ["vgg16", "densenet121", "convnexttiny", "efficientnetb0", "mobilenetv3small"]
)
def test_a_saved_model_of_each_kind_of_backbone_loads_as_stock_keras(backbone, small_bundle, tmp_path):
    recipe = Recipe.for_backbone(backbone, weights="none", image_size=32)
    pixels = noise(8, 32, 32, 3)
    (X,) = open_engine("keras", recipe)(pixels)
    bundle = changed(Bundle.load(small_bundle), trained("ridge", X, np.arange(8) % 2), recipe=recipe)
    image_model(bundle).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), said(bundle, pixels), atol=1e-5)


def test_layers_of_ones_own_in_a_keras_head_are_refused(small_file):
    class Own(keras.layers.Dense):
        pass

    features = load_features(small_file)
    head = make_head("keras-linear", epochs=1, build=lambda width, units: keras.Sequential([Own(units)]))
    bundle = Bundle.of(head.fit(*features.training_rows()), features)
    with pytest.raises(HeadstartError, match="Own") as caught:
        image_model(bundle)
    assert_four_parts(str(caught.value))


def test_a_model_that_trains_leaves_the_head_of_the_bundle_as_it_was(small_file):
    features = load_features(small_file)
    for name in ("keras-linear", "mlp"):
        bundle = Bundle.of(trained(name, *features.training_rows()), features, name)
        before = bundle.predict_proba(features.X)
        model = GuideModel(bundle, augment=False, seed=0).model
        model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
        model.fit(noise(8, 32, 32, 3), np.arange(8) % 2, verbose=0)
        assert (bundle.predict_proba(features.X) == before).all()


def test_augmentation_and_dropout_are_in_front_and_behind_and_sleep_in_inference(small_bundle):
    bundle = Bundle.load(small_bundle)
    model = GuideModel(bundle, augment=True, seed=0).model
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[:5] == ["InputLayer", "Sequential", "Rescaling", "Functional", "GlobalAveragePooling2D"]
    assert kinds[5:] == ["Dropout", "Dense"] and model.layers[5].rate == 0.2
    pixels = noise(4, 32, 32, 3)
    shares = 1 / (1 + np.exp(-model.predict(pixels, verbose=0)[:, 0]))
    np.testing.assert_allclose(shares, said(bundle, pixels)[:, 1], atol=1e-5)
