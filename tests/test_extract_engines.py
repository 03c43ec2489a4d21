"""One contract for every engine."""

import json

import numpy as np
import pytest

from data import HeadstartError
from extract import Recipe
from extract.engines import ENGINES, open_engine, probe_image


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tiny_recipe):
    return open_engine(request.param, tiny_recipe)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (9, 32, 32, 3)).astype(np.float32)


def test_shape_and_type(engine, pixels):
    (features,) = engine(pixels)
    assert (features.shape, features.dtype) == ((9, 1024), np.float32)
    assert np.isfinite(features).all()
    assert features.std(axis=0).max() > 0


def test_order_and_short_batches(engine, pixels):
    """A row's feature is its own, whatever stands beside it in the batch."""
    (whole,) = engine(pixels)
    (backwards,) = engine(pixels[::-1])
    apart = np.concatenate([engine(pixels[:4])[0], engine(pixels[4:8])[0], engine(pixels[8:])[0]])
    scale = np.abs(whole).max()
    np.testing.assert_allclose(backwards[::-1], whole, atol=1e-5 * scale)
    np.testing.assert_allclose(apart, whole, atol=1e-5 * scale)


def test_equals_the_guides_own_pipeline(engine, pixels, tiny_recipe):
    """Rescaling, the frozen base with training=False, global average pooling."""
    import keras

    from extract.weights import load_backbone

    base = load_backbone("mobilenet", (32, 32), tiny_recipe.weights)
    inputs = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(base(scaled, training=False)))
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(engine(pixels)[0], expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_description_is_json(engine):
    described = json.loads(json.dumps(engine.describe()))
    assert {"engine", "version", "device"} <= set(described)


def test_several_layers_come_in_the_order_of_the_recipe(tiny_recipe, pixels):
    layers = ("conv_pw_3_relu", "avg_pool", "conv1_relu")
    recipe = Recipe("mobilenet", tiny_recipe.weights, layers, image_size=(32, 32))
    several = open_engine("keras", recipe)(pixels)
    assert [features.shape for features in several] == [(9, 128), (9, 1024), (9, 32)]
    (alone,) = open_engine("keras", tiny_recipe)(pixels)
    np.testing.assert_allclose(several[1], alone, atol=1e-5 * np.abs(alone).max())


def test_height_and_width_may_differ(tiny_recipe):
    recipe = Recipe("mobilenet", tiny_recipe.weights, image_size=(32, 64))
    assert open_engine("keras", recipe)(np.zeros((1, 32, 64, 3), np.float32))[0].shape == (1, 1024)


def test_unknown_layer_and_engine_list_the_nearest(tiny_recipe):
    recipe = Recipe("mobilenet", tiny_recipe.weights, ("conv_pw_3_rel",), image_size=(32, 32))
    with pytest.raises(HeadstartError, match="conv_pw_3_relu"):
        open_engine("keras", recipe)
    with pytest.raises(HeadstartError, match="nearest: keras"):
        open_engine("kera", tiny_recipe)


def test_probe_image_is_frozen():
    """Its feature is stored in files; should the image change, every file would seem to have drifted."""
    image = probe_image((150, 150))
    assert (image.shape, image.dtype) == ((150, 150, 3), np.float32)
    assert (image.min(), image.max(), image.sum(dtype=np.float64)) == (0, 255, 8565115)
    assert image[149, 3].tolist() == [221, 250, 23]
