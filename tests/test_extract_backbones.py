"""The backbone table against keras.applications itself."""

import importlib

import numpy as np
import pytest

from data import HeadstartError
from extract.backbones.applications import BACKBONES, checked_size
from extract.backbones.build import build_backbone, scaled
from extract.backbones.download import KERAS_ADDRESS
from extract.backbones.scaling import SCALINGS
from extract.engines.probe import probe_image

OF_KERAS = {name: entry for name, entry in BACKBONES.items() if ":" not in entry.model}


@pytest.mark.parametrize("name", OF_KERAS)
def test_every_entry_is_a_model_of_keras(name):
    import keras

    entry = BACKBONES[name]
    assert callable(getattr(keras.applications, entry.model))
    assert name == entry.model.lower()
    assert entry.min_size <= (entry.default_size or entry.native_size) <= entry.native_size
    assert entry.scaling in SCALINGS
    assert entry.published


def test_every_model_of_keras_has_an_entry():
    import keras

    models = {name for name in dir(keras.applications) if name[0].isupper()}
    assert models == {entry.model for entry in BACKBONES.values() if ":" not in entry.model}


@pytest.mark.parametrize(
    ("scaling", "module"),
    [
        ("minus_one_to_one", "xception"),
        ("imagenet_mean_std", "densenet"),
        ("bgr_minus_mean", "resnet"),
        ("none", "convnext"),
    ],
)
def test_scaling_equals_preprocess_input(scaling, module):
    preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input
    pixels = probe_image((16, 16))[np.newaxis]
    ours = np.asarray(scaled(pixels, scaling))
    np.testing.assert_allclose(ours, preprocess(pixels.copy()), atol=1e-4)


def test_backbones_of_one_module_share_its_scaling():
    """Where Keras has one preprocess_input for a module, its models have one scaling here."""
    import keras

    by_module = {}
    for entry in OF_KERAS.values():
        by_module.setdefault(getattr(keras.applications, entry.model).__module__, set()).add(entry.scaling)
    assert all(len(scalings) == 1 for scalings in by_module.values())


def test_efficientnet_has_the_step_that_keras_adds_with_imagenet_weights(tmp_path, monkeypatch):
    """It divides by sqrt(std) once more only if weights="imagenet": to load them is not enough."""
    import keras
    from keras.src.utils import file_utils

    bare = build_backbone("efficientnetb0", (32, 32))
    names = {weight.path.split("/")[-1]: number for number, weight in enumerate(bare.weights)}
    tensors = bare.get_weights()
    tensors[names["mean"]] = np.array([0.485, 0.456, 0.406], np.float32)
    tensors[names["variance"]] = np.array([0.229, 0.224, 0.225], np.float32)
    bare.set_weights(tensors)
    bare.save_weights(tmp_path / "b0.weights.h5")
    bare.load_weights(tmp_path / "b0.weights.h5")  # Keras' Normalization takes up its mean when it is loaded
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(tmp_path / "b0.weights.h5"))
    theirs = keras.applications.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(32, 32, 3))
    pixels = probe_image((32, 32))[np.newaxis]
    stem = [keras.Model(model.input, model.get_layer("stem_conv_pad").output) for model in (bare, theirs)]
    expected = np.asarray(stem[1](pixels))
    np.testing.assert_allclose(np.asarray(stem[0](scaled(pixels, "efficientnet"))), expected, atol=1e-5)
    assert np.abs(np.asarray(stem[0](pixels)) - expected).max() > 0.1


@pytest.mark.parametrize(
    "name", ["xception", "mobilenetv3small", "nasnetmobile", "efficientnetb0", "resnet50v2"]
)
def test_weights_files_are_those_that_keras_asks_for(name, monkeypatch):
    import keras
    from keras.src.utils import file_utils

    asked = []

    def get_file(fname, origin, cache_subdir, file_hash=None):
        asked.append((fname, origin, file_hash))
        raise InterruptedError

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(InterruptedError):
        getattr(keras.applications, BACKBONES[name].model)(include_top=False, weights="imagenet")
    entry = BACKBONES[name].published
    assert asked == [(entry.name, KERAS_ADDRESS + entry.path, entry.file_hash)]


def test_sizes():
    assert checked_size("xception") == (150, 150)
    assert checked_size("xception", 299) == (299, 299)
    assert checked_size("resnet50") == (224, 224)
    assert checked_size("xception", (71, 200)) == (71, 200)
    with pytest.raises(HeadstartError, match="71 pixels or more"):
        checked_size("xception", 70)


def test_unknown_backbone_lists_the_nearest():
    with pytest.raises(HeadstartError, match="nearest: xception"):
        checked_size("exception")
