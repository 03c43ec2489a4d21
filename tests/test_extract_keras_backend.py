"""Which backend Keras computes with, and the Keras engine on others than TensorFlow."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, assert_four_parts

from data import HeadstartError
from extract import Recipe
from extract.backbones import keras_backend as chosen
from extract.engines import conversion
from extract.engines.probe import probe_image, relative_difference
from extract.engines.runtime import runtime_class
from extract.model_files.core import cpu_core

# A backbone of each family, and a size at which it is quick.
FAMILIES = {
    "convnexttiny": 64,
    "densenet121": 64,
    "efficientnetb0": 64,
    "efficientnetv2b0": 64,
    "inceptionresnetv2": 96,
    "inceptionv3": 96,
    "mobilenetv2": 64,
    "mobilenetv3large": 64,
    "mobilenetv3small": 64,
    "nasnetmobile": 64,
    "resnet50": 64,
    "resnet50v2": 64,
    "vgg16": 64,
    "xception": 96,
}


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Set what is installed, what KERAS_BACKEND names and what Keras' own file says."""

    def tell(installed=(), variable=None, file=None):
        monkeypatch.setattr(chosen, "is_installed", lambda name: name in installed)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setenv("KERAS_BACKEND", variable or "")
        if file is not None:
            (tmp_path / "keras.json").write_text(file)

    return tell


@pytest.mark.parametrize(
    ("installed", "variable", "file", "wanted"),
    [
        (("tensorflow", "jax"), None, None, "tensorflow"),
        (("tensorflow", "jax"), "jax", '{"backend": "tensorflow"}', "jax"),
        (("tensorflow", "jax"), None, '{"backend": "jax"}', "jax"),
        (("tensorflow",), None, '{"backend": "jax"}', "tensorflow"),
        (("torch", "jax"), None, '{"backend": "tensorflow"}', "jax"),
        (("torch",), None, "{", "torch"),
        (("torch",), "jax", None, "jax"),
        (("openvino",), None, '{"backend": "tensorflow"}', "openvino"),
        ((), None, "[]", "tensorflow"),
    ],
)
def test_what_is_named_is_taken_and_else_what_is_installed(told, installed, variable, file, wanted):
    told(installed, variable, file)
    assert chosen.wanted_backend() == wanted


@pytest.mark.parametrize(
    ("variable", "words"), [("jax", "pip install jax"), (None, "TensorFlow, JAX, PyTorch")]
)
def test_a_backend_that_is_not_installed_is_told(told, monkeypatch, variable, words):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    told((), variable)
    with pytest.raises(HeadstartError, match=words) as caught:
        chosen.keras_backend()
    assert_four_parts(str(caught.value))


def test_backends_that_cannot_compute_are_told():
    with pytest.raises(HeadstartError, match="expected: TensorFlow or JAX or PyTorch") as caught:
        runtime_class("openvino")
    assert_four_parts(str(caught.value))


def test_keras_imported_with_another_is_told(monkeypatch):
    import keras

    other = next(name for name in chosen.BACKENDS if name != keras.config.backend())
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())
    with pytest.raises(HeadstartError, match=f"set KERAS_BACKEND={other} before Python starts"):
        chosen.use_backend(other)
    with pytest.raises(HeadstartError, match="expected: jax, tensorflow, torch"):
        chosen.use_backend("jaxx")


def test_what_is_installed_takes_the_place_of_keras_own_choice(without_tensorflow):
    """Keras itself takes TensorFlow where nothing is named, installed or not."""
    pytest.importorskip("jax", reason="needs the extra jax")
    code = """
import os
from extract.backbones.keras_backend import is_installed, keras_backend
assert not is_installed("tensorflow")
print(keras_backend(), os.environ["KERAS_BACKEND"])
import keras
print(keras.config.backend(), keras_backend())
"""
    done = _run(["-c", code], without_tensorflow)
    assert done.stdout.split() == ["jax"] * 4, done.stderr


@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_a_broken_tensorflow_gives_way_and_is_named(broken_tensorflow, images, tmp_path, engine):
    """It is installed, so that a look for it says that it is there."""
    pytest.importorskip("jax", reason="needs the extra jax")
    words = ["--backbone", "mobilenet", "--weights", "none", "--image-size", "32", "--engine", engine]
    words += ["-o", "x.h5", "--json"]
    places = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "", "HEADSTART_CACHE": str(tmp_path / "cache")}
    environment = {**os.environ, "PYTHONPATH": broken_tensorflow, **places}
    done = _run(["-m", "extract", "run", "images", *words], environment, tmp_path)
    assert done.returncode == 0, done.stderr
    told = "TensorFlow cannot be imported (ImportError: libcudart.so: cannot open shared object file)"
    assert done.stderr.count(f"{told}; Keras computes with JAX") == 1
    assert json.loads(done.stdout)["computed"] == 16
    refused = _run(
        ["-c", "from extract.backbones.keras_backend import *; need_tensorflow('this')"], environment
    )
    assert_four_parts(refused.stderr[refused.stderr.index("this needs TensorFlow") :])
    assert "libcudart.so" in refused.stderr and "--force-reinstall tensorflow" in refused.stderr


def test_the_suite_of_engines_holds_on_jax(without_tensorflow, tmp_path):
    """In a process of its own, where TensorFlow cannot be imported; also that it agrees with OpenVINO."""
    pytest.importorskip("jax", reason="needs the extra jax")
    words = ["-m", "pytest", "-q", "-x", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
    words += ["-p", "no:cacheprovider", "-k", "TestKeras or test_engines_agree or reduced_precision"]
    words += [ROOT / "tests" / "test_extract_engines.py"]
    done = _run(words, {**without_tensorflow, "KERAS_BACKEND": "jax"}, tmp_path)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and "skipped" not in done.stdout


def _run(words, environment, folder=None):
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def _assert_conversions_agree(recipe, within=1e-5):
    """Features of both ways to OpenVINO's format differ by rounding alone, as a share of the largest."""
    core = cpu_core()
    images = probe_image(recipe.image_size)[np.newaxis]
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    with_tensorflow, without = (
        next(iter(core.compile_model(model, "CPU", options)([images]).values()))
        for model in (conversion.float_model(recipe), conversion._translated(recipe))
    )
    scale = np.abs(with_tensorflow).max()  # with random weights anything from 1e-3 to 1e5
    assert relative_difference(without / scale, with_tensorflow / scale) < within


def test_a_model_converted_without_tensorflow_gives_the_same_features(tiny_recipe):
    _assert_conversions_agree(tiny_recipe)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", FAMILIES)
def test_every_family_is_converted_without_tensorflow(backbone, cache):
    size = FAMILIES[backbone]
    # Random weights amplify: Keras and OpenVINO are 1e-5 apart there, with TensorFlow's conversion too.
    _assert_conversions_agree(Recipe.for_backbone(backbone, weights="none", image_size=size), within=3e-5)


@pytest.mark.slow
def test_xception_with_its_weights_is_converted_without_tensorflow(imagenet):
    _assert_conversions_agree(Recipe("xception", imagenet.digest))


def test_what_cannot_be_converted_is_told(tiny_recipe):
    unknown = Recipe("mobilenet", "00" * 32, image_size=(32, 32))
    with pytest.raises(HeadstartError, match="install TensorFlow, or compute with --engine keras") as caught:
        conversion._translated(unknown)
    assert "the weights of mobilenet that this recipe names are not in the cache" in str(caught.value)
